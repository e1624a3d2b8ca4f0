// Lets links of the conversation lead to allowed hosts alone. Runs in the page's head, where the server has
// put `allowed`, the names of those hosts. The observer takes targets away before anyone can follow them; the
// listener covers the moment in between.

/** @param {Element} anchor */
const permitted = (anchor) => {
  /** @type {URL} */
  let url;
  try {
    url = new URL(anchor.getAttribute("href") ?? "", location.href);
  } catch {
    return false;
  }
  if (url.protocol === "mailto:" || url.origin === location.origin) return true;
  if (url.protocol === "blob:" || url.protocol === "data:") return anchor.hasAttribute("download");
  if (url.protocol !== "https:" && url.protocol !== "http:") return false;
  return allowed.some(
    (host) =>
      host === url.host ||
      host === url.hostname ||
      (host.startsWith("*.") && url.hostname.endsWith(host.slice(1))),
  );
};

/** @param {Element} anchor */
const guard = (anchor) => {
  const target = anchor.getAttribute("href");
  if (!anchor.closest(".chatlab-conversation") || target === null || permitted(anchor)) return;
  anchor.removeAttribute("href");
  anchor.classList.add("chatlab-held-link");
  anchor.setAttribute(
    "title",
    (chatlabWords["chat.held-link"] ?? "").replace("{link}", () => target),
  );
};

/** @param {Node} node */
const guardAll = (node) => {
  if (!(node instanceof Element)) return;
  if (node.matches("a[href]")) guard(node);
  node.querySelectorAll("a[href]").forEach(guard);
};

new MutationObserver((changes) => {
  for (const { type, target, addedNodes } of changes) {
    if (type !== "attributes") addedNodes.forEach(guardAll);
    else if (target instanceof Element && target.matches("a[href]")) guard(target);
  }
}).observe(document.documentElement, {
  childList: true,
  subtree: true,
  attributes: true,
  attributeFilter: ["href"],
});

for (const kind of ["click", "auxclick"]) {
  document.addEventListener(
    kind,
    (event) => {
      if (!(event.target instanceof Element)) return;
      const anchor = event.target.closest(".chatlab-conversation a[href]");
      if (!anchor || permitted(anchor)) return;
      event.preventDefault();
      event.stopPropagation();
      guard(anchor);
    },
    true,
  );
}
