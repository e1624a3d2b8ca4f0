// What was typed and not sent outlives a reload, be it the person's or Gradio's own: once it has lost its
// server and found it again, it loads the page anew. Runs in the page's head.

const KEY = "chatlab-draft";
/** The conversation that is shown: a draft belongs to one. */
const shown = () => new URLSearchParams(location.search).get("c") ?? "";
/** @returns {HTMLTextAreaElement | null} */
const box = () => document.querySelector("#message textarea");

window.addEventListener("pagehide", () => {
  const text = box()?.value;
  if (text === undefined) return; // nothing has been typed on a page that was not there yet
  try {
    if (text) sessionStorage.setItem(KEY, JSON.stringify({ conversation: shown(), text }));
    else sessionStorage.removeItem(KEY);
  } catch {
    // a browser that stores nothing
  }
});

/** @returns {string} */
const draft = () => {
  try {
    const { conversation, text } = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
    return conversation === shown() && typeof text === "string" ? text : "";
  } catch {
    return "";
  }
};

const typed = draft();
if (typed) {
  const waiting = new MutationObserver(() => {
    const there = box();
    if (!there) return;
    waiting.disconnect();
    if (there.value) return; // somebody was faster
    there.value = typed;
    there.dispatchEvent(new Event("input", { bubbles: true }));
  });
  waiting.observe(document.documentElement, { childList: true, subtree: true });
}
