// Runs in the page's head with `allowed`, the hosts that links of the conversation may lead to.
// The observer takes targets away before anyone can follow them; the listener covers the moment in between.
const permitted = (anchor) => {
  let url;
  try {
    url = new URL(anchor.getAttribute("href"), location.href);
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
const guard = (anchor) => {
  if (!anchor.closest(".chatlab-conversation") || !anchor.hasAttribute("href") || permitted(anchor)) return;
  const target = anchor.getAttribute("href");
  anchor.removeAttribute("href");
  anchor.classList.add("chatlab-held-link");
  anchor.title = "This page does not open links to other hosts: " + target;
};
new MutationObserver((changes) => {
  for (const change of changes) {
    if (change.type === "attributes") {
      if (change.target.matches("a[href]")) guard(change.target);
      continue;
    }
    for (const node of change.addedNodes) {
      if (node.nodeType !== 1) continue;
      if (node.matches("a[href]")) guard(node);
      node.querySelectorAll("a[href]").forEach(guard);
    }
  }
}).observe(document.documentElement, {
  childList: true,
  subtree: true,
  attributes: true,
  attributeFilter: ["href"],
});
for (const kind of ["click", "auxclick"])
  document.addEventListener(
    kind,
    (event) => {
      const anchor = event.target.closest && event.target.closest(".chatlab-conversation a[href]");
      if (anchor && !permitted(anchor)) {
        event.preventDefault();
        event.stopPropagation();
        guard(anchor);
      }
    },
    true,
  );
