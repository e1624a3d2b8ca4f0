// Text of the chat page as it was written. Each block reads from the side that its own words begin at, and
// the reference that keeps a word in angle brackets from being HTML (chatlab.render.angle_brackets) is a
// bracket again where a message is edited or copied. Runs in the page's head.

const REFERENCE = "&#x0003c;";
const BLOCKS = ".chatlab-conversation .md > :not(pre, .code_wrap, [dir])";
const BOXES = "#message textarea, #system textarea, .chatlab-conversation textarea";

/** @param {string} text */
const asWritten = (text) => text.replaceAll(REFERENCE, "<");

/** @param {HTMLTextAreaElement} box */
const prepare = (box) => {
  if (box.dir !== "auto") box.dir = "auto";
  const text = asWritten(box.value);
  if (text === box.value) return;
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
};

/** @param {Element} around */
const prepareAll = (around) => {
  /** @type {NodeListOf<HTMLElement>} */
  const blocks = around.querySelectorAll(BLOCKS);
  for (const block of blocks) block.dir = "auto";
  /** @type {NodeListOf<HTMLTextAreaElement>} */
  const boxes = around.querySelectorAll(BOXES);
  boxes.forEach(prepare);
};

new MutationObserver((changes) => {
  const around = new Set(changes.map(({ target }) => target));
  for (const one of around)
    if (one instanceof Element && one.isConnected) prepareAll(one.parentElement ?? one);
}).observe(document.documentElement, { childList: true, subtree: true });

const { clipboard } = navigator; // there is none on a page that is not loaded safely
if (clipboard) {
  const write = clipboard.writeText.bind(clipboard);
  clipboard.writeText = (text) => write(asWritten(text));
}
