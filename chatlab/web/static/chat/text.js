// Text of the chat page as it was written. The page is sent HTML, with the text that it was made of beside it
// (chatlab.web.chat.gradio_patches.shown_text): that text is what is edited and copied. Runs in the page's
// head.

const BLOCK = /<div class="text">[^]*?(?:<span hidden content="[^"]*"><\/span>\n*|$)/g;
const BOXES = "#message textarea, #system textarea, .chatlab-conversation textarea";

/** @param {string} shown */
const asWritten = (shown) =>
  shown.replace(BLOCK, (block) => {
    const { body } = new DOMParser().parseFromString(block, "text/html");
    return body.querySelector("span[hidden]")?.getAttribute("content") ?? body.textContent ?? "";
  });

/** @param {HTMLTextAreaElement} box */
const prepare = (box) => {
  if (box.dir !== "auto") box.dir = "auto";
  if (!box.closest(".chatlab-conversation")) return;
  const text = asWritten(box.value);
  if (text === box.value) return;
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
};

/** @param {Element} around */
const prepareAll = (around) => {
  /** @type {NodeListOf<HTMLTextAreaElement>} */
  const boxes = around.querySelectorAll(BOXES);
  boxes.forEach(prepare);
  // Gradio names each message by all of its HTML.
  for (const one of around.querySelectorAll(".chatlab-conversation [data-testid][aria-label]"))
    one.removeAttribute("aria-label");
};

new MutationObserver((changes) => {
  const around = new Set(changes.map(({ target }) => target));
  for (const one of around)
    if (one instanceof Element && one.isConnected) prepareAll(one.parentElement ?? one);
}).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["aria-label"] });

/**
 * An answer as its model wrote it, with the page's watermark: Gradio copies its notes, thoughts and figures
 * with it.
 *
 * @param {Element} button
 */
const answerBeside = (button) => {
  // In panels they are in the row, otherwise they follow it.
  const buttons = button.closest(".message-buttons");
  const row = button.closest(".bot-row") ?? buttons?.previousElementSibling;
  if (!buttons || !row?.matches(".bot-row")) return "";
  const texts = row.querySelectorAll("[data-testid=bot]:not(:has(.thought-group)) span[hidden][content]");
  const said = [...texts].map((one) => one.getAttribute("content"));
  return said.length ? [...said, watermark()].filter(Boolean).join("\n\n") : "";
};

const watermark = () =>
  window.gradio_config?.components.find(({ props }) => props.elem_id === "conversation")?.props.watermark;

let copied = "";
document.addEventListener(
  "click",
  ({ target }) => {
    copied = target instanceof Element ? answerBeside(target) : "";
  },
  true,
);

const { clipboard } = navigator; // there is none on a page that is not loaded safely
if (clipboard) {
  const write = clipboard.writeText.bind(clipboard);
  clipboard.writeText = (text) => write(copied || asWritten(text));
}
