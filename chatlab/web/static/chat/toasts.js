// What Gradio tells for a moment, in the page's words: its own are in English whatever the page speaks, and
// speak of Gradio. Runs in the page's head.

/** @type {[said: RegExp, key: string][]} */
const SAID = [
  [/^This application is currently busy/, "chat.busy"],
  [/^Connection (errored out|to the server was lost)|^Could not parse server response/, "chat.broken"],
  [/^Server stopped/, "both.away"],
  [/^An error occurred\.|^Error uploading file|^Upload failed/, "chat.failed"],
];

/** @param {Element} toast */
const reword = (toast) => {
  const title = toast.querySelector(".toast-title")?.firstChild;
  if (title?.nodeValue?.trim() === "Error") title.nodeValue = `${chatlabWords["chat.error"]} `;
  for (const text of toast.querySelectorAll(".toast-message-text")) {
    const key = SAID.find(([said]) => said.test(text.textContent.trim()))?.[1];
    if (key) text.textContent = chatlabWords[key] ?? "";
  }
};

// Before it is painted.
new MutationObserver((changes) => {
  const toasts = new Set(
    changes.map(({ target }) => (target instanceof Element ? target.closest(".toast-wrap") : null)),
  );
  for (const around of toasts) around?.querySelectorAll(".toast-body").forEach(reword);
}).observe(document.documentElement, { childList: true, subtree: true });
