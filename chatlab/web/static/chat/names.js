// What people who do not see the page are told of it: the names of its icons, and where the keyboard can
// scroll. Gradio's own say too little: both arrows are called alike, and an arrow is a button inside of a
// button. Runs in the page's head.

/** @type {[selector: string, key: string][]} */
const NAMES = [
  ["#conversations-panel > .toggle-button", "name.conversations-panel"],
  ["#settings-panel > .toggle-button", "name.close-options"],
  ["#conversation > .top-panel button:first-child", "button.clear"],
  ["#conversation [role=log]", "name.conversation"],
  ["#conversation .scroll-down-button-container button", "name.to-end"],
  ["#message textarea", "chat.message"],
  ["#message [role=group]", "chat.message"],
  [
    "#message :is(.upload-button, input[type=file], [aria-label='Click to upload or drop files'])",
    "name.upload",
  ],
  ["#conversation button[aria-label='Copy conversation']", "name.copy-all"],
  ["#conversation button[aria-label='Copied conversation']", "name.copied-all"],
  ["#message .thumbnails", "name.attached"],
  ["#message .thumbnail-wrapper", "name.attached-file"],
  ["#message .delete-button", "name.remove-file"],
  ["#message .loader", "name.uploading"],
  ["[data-testid=toast-close]", "both.close"],
  ["#message .submit-button", "name.send"],
  ["#message .stop-button", "name.stop"],
  ["#conversation .user-row textarea", "name.your-message"],
  ["#conversation .examples", "name.examples"],
];
const SCROLLED = "#conversation .md :is(pre, table), #conversation .content-preview";

/** @param {Element} around */
const nameAll = (around) => {
  for (const [selector, key] of NAMES) {
    const name = chatlabWords[key] ?? key;
    for (const one of around.querySelectorAll(selector)) {
      one.setAttribute("aria-label", name);
      if (one.matches("button")) one.setAttribute("title", name);
    }
  }
  for (const one of around.querySelectorAll("#conversation .message-buttons button")) {
    const name = one.getAttribute("aria-label");
    const back = name === chatlabWords["button.retry"] || name === chatlabWords["button.undo"];
    one.classList.toggle("chatlab-takes-back", back);
  }
  // An icon's own title would be said in English, in place of its button's.
  for (const title of around.querySelectorAll("#conversation button svg > title")) title.textContent = "";
  for (const icon of around.querySelectorAll("button svg[aria-label]")) icon.removeAttribute("aria-label");
  // Below whatever prefix this page is.
  const compare = document.querySelector(".chatlab-compare");
  for (const one of around.querySelectorAll("#conversation .placeholder a[href=compare]")) {
    if (compare instanceof HTMLAnchorElement) one.setAttribute("href", compare.href);
    one.removeAttribute("target");
  }
  // A list of what is no item, whose texts are hidden behind other names.
  around.querySelector("#conversation .examples")?.setAttribute("role", "group");
  for (const one of around.querySelectorAll("#conversation .example")) one.removeAttribute("aria-label");
  for (const arrow of around.querySelectorAll("#conversation .title > .arrow"))
    arrow.toggleAttribute("inert", true);
  // Older versions call the text of a selector a list.
  for (const one of around.querySelectorAll("input[role=listbox]")) one.setAttribute("role", "combobox");
  for (const title of around.querySelectorAll("#conversation .thought-group > .title")) {
    const details = title.parentElement?.querySelector(":scope > :not(.title, .chatlab-branch)");
    title.setAttribute("aria-expanded", String(Boolean(details)));
  }
  /** @type {NodeListOf<HTMLElement>} */
  const scrolled = around.querySelectorAll(SCROLLED);
  for (const one of scrolled) one.tabIndex = 0;
};

/** @type {Set<Node>} */
const changed = new Set();
/** @param {Node | null} node */
const isWithinChanged = (node) => {
  for (let around = node?.parentNode; around; around = around.parentNode)
    if (changed.has(around)) return true;
  return false;
};
const nameChanged = () => {
  document.documentElement.lang = chatlabWords.language ?? "en"; // Gradio's page says the browser's
  const outermost = [...changed].filter((one) => one.isConnected && !isWithinChanged(one));
  changed.clear();
  for (const one of outermost) if (one instanceof Element) nameAll(one.parentElement ?? one);
};
// Together before the page is painted: while it is set up, they are hundreds, one within the other.
new MutationObserver((changes) => {
  if (!changed.size) requestAnimationFrame(nameChanged);
  for (const { target } of changes) changed.add(target);
}).observe(document.documentElement, { childList: true, subtree: true });
