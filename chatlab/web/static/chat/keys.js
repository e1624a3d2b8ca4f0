// Keys of the chat page: Esc stops, Up edits the last message, Enter sends an edit, ? shows them all. The
// message box takes text while an answer runs, and has the focus again once it has ended. Runs in the page's
// head. docs/shortcuts.md lists them.

const SHORTCUTS = [
  [chatlabWords["keys.enter"], chatlabWords["keys.send"]],
  [chatlabWords["keys.shift-enter"], chatlabWords["keys.break"]],
  [chatlabWords["keys.esc"], chatlabWords["keys.stop"]],
  [chatlabWords["keys.up"], chatlabWords["keys.edit-last"]],
  ["?", chatlabWords["keys.show"]],
];

/** @returns {HTMLTextAreaElement | null} */
const messageBox = () => document.querySelector("#message textarea");

/** @returns {HTMLElement | null} */
const stopButton = () => document.querySelector("#message .stop-button");

/** @returns {HTMLElement | null} */
const optionsButton = () => document.querySelector("#settings");

const NARROW = 768; // pixels of width below which the list of conversations covers the page

const BEGUN = 1000; // milliseconds in which an answer begins, or its message has arrived

const showShortcuts = () => {
  const dialog = document.createElement("dialog");
  dialog.className = "chatlab-shortcuts";
  dialog.setAttribute("aria-labelledby", "chatlab-shortcuts-title");
  const title = document.createElement("h2");
  title.id = "chatlab-shortcuts-title";
  title.textContent = chatlabWords["keys.title"] ?? "";
  const list = document.createElement("dl");
  for (const [keys, does] of SHORTCUTS) {
    const term = document.createElement("dt");
    const said = document.createElement("dd");
    term.textContent = keys ?? "";
    said.textContent = does ?? "";
    list.append(term, said);
  }
  const close = document.createElement("button");
  close.textContent = chatlabWords["keys.close"] ?? "";
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(title, list, close);
  document.body.append(dialog);
  dialog.showModal();
};

/** @param {Element} target */
const takesText = (target) => Boolean(target.closest("input, textarea, select, [contenteditable=true]"));

/** @param {KeyboardEvent} event */
const plain = (event) => !(event.shiftKey || event.ctrlKey || event.altKey || event.metaKey);

/**
 * @param {KeyboardEvent} event
 * @param {HTMLTextAreaElement} box
 */
const inMessage = (event, box) => {
  // What is typed waits for the answer.
  if (event.key === "Enter" && plain(event)) {
    const waits = stopButton() !== null || isToWait();
    toStop &&= waits;
    return waits;
  }
  if (event.key !== "ArrowUp" || !plain(event) || box.value || stopButton()) return false;
  const last = editButton();
  last?.click();
  if (last) setTimeout(() => focusEdit(), 0);
  return Boolean(last);
};

const focusEdit = () => {
  /** @type {HTMLTextAreaElement | null} */
  const edited = document.querySelector("#conversation textarea");
  edited?.focus();
  edited?.setSelectionRange(edited.value.length, edited.value.length);
};

// Gradio's page says by nothing but a translated label what a button does. Of a person's message the one
// after copying edits it; of one that is edited, the first sends it and the second leaves it.

/** @returns {HTMLElement | undefined} */
const editButton = () => {
  const conversation = document.querySelector("#conversation.chatlab-editable");
  const own = [...(conversation?.querySelectorAll(".message-buttons-right") ?? [])].at(-1);
  /** @type {NodeListOf<HTMLElement> | undefined} */
  const buttons = own?.querySelectorAll("button");
  return buttons?.[conversation?.classList.contains("chatlab-copied") ? 1 : 0];
};

/**
 * @param {Element} edited
 * @returns {NodeListOf<HTMLElement> | never[]}
 */
const editButtons = (edited) => {
  const row = edited.closest(".message-row"); // in panels they are in it, otherwise they follow it
  return (
    (row?.querySelector(".message-buttons") ?? row?.nextElementSibling)?.querySelectorAll("button") ?? []
  );
};

/**
 * @param {KeyboardEvent} event
 * @param {Element} edited
 */
const inEdit = (event, edited) => {
  if (event.key !== "Escape" && !(event.key === "Enter" && plain(event))) return false;
  const [send, cancel] = editButtons(edited);
  (event.key === "Enter" ? send : cancel)?.click();
  messageBox()?.focus();
  return true;
};

/**
 * Leaves the options, or the list of conversations where it covers the page.
 *
 * @param {Element} target
 */
const leavePanel = (target) => {
  const panel = target.closest("#settings-panel.open, #conversations-panel.open");
  const isList = panel?.id === "conversations-panel";
  if (!panel || target.matches("[aria-expanded=true]")) return false; // what is unfolded there is left first
  if (isList && (window.innerWidth >= NARROW || takesText(target) || panel.querySelector("details[open]")))
    return false;
  /** @type {HTMLElement | null} */
  const toggle = panel.querySelector(".toggle-button");
  toggle?.click();
  (isList ? toggle : optionsButton())?.focus();
  return true;
};

/**
 * Whether a key was one of these.
 *
 * @param {KeyboardEvent} event
 * @param {Element} target
 */
const used = (event, target) => {
  if (target.matches("#conversation textarea")) return inEdit(event, target);
  const box = messageBox();
  if (box && target === box && event.key !== "Escape") return inMessage(event, box);
  if (event.key === "Escape" && plain(event) && leavePanel(target)) return true;
  if (event.key === "Escape" && plain(event) && (target === box || !takesText(target))) {
    const stop = document.querySelector("dialog[open]") ? null : stopButton();
    stop?.click();
    return Boolean(stop);
  }
  if (event.key !== "?" || takesText(target) || document.querySelector("dialog[open]")) return false;
  showShortcuts();
  return true;
};

document.addEventListener(
  "keydown",
  (event) => {
    if (!(event.target instanceof Element)) return;
    const composing = event.isComposing || event.keyCode === 229; // the key is the input method's
    if (composing) {
      if (event.target.matches("#message textarea, #conversation textarea")) event.stopPropagation();
    } else if (used(event, event.target)) {
      event.preventDefault();
      event.stopPropagation();
    }
  },
  true,
);

// What is sent while a conversation is being opened belongs to that one: it is sent once it is there.
let toSend = false;
const isToWait = () => {
  if (!window.chatlabOpening) return false;
  toSend = true;
  return true;
};
document.addEventListener(
  "click",
  (event) => {
    if (!(event.target instanceof Element)) return;
    if (event.target.closest("#message .submit-button") && isToWait()) event.stopPropagation();
    if (event.target.closest("#message .stop-button")) {
      const isRepeated = toStop;
      toStop = !hasBegun();
      if (!toStop || isRepeated) return;
      event.stopPropagation();
      setTimeout(() => toStop && stopButton()?.click(), BEGUN);
    } else if (event.target.closest("#conversation, #message")) toStop = false;
  },
  true,
);
document.addEventListener("input", ({ target }) => {
  if (target === messageBox()) toSend = false; // the person goes on writing it
});
window.addEventListener("chatlab-opened", () => {
  if (!toSend || window.chatlabOpening) return;
  toSend = false;
  /** @type {HTMLElement | null} */
  const send = document.querySelector("#message .submit-button");
  send?.click();
});

// A stop may come before the message has arrived, when there is nothing yet that it could end: then it waits
// until the answer begins.
let toStop = false;
const hasBegun = () => {
  const said = document.querySelectorAll("#conversation :is([data-testid=user], [data-testid=bot])");
  return said[said.length - 1]?.matches("[data-testid=bot]") ?? false;
};

// Whoever opens the options by a key goes on in them.
let toOptions = false;
document.addEventListener("click", ({ target, detail }) => {
  if (target instanceof Element && target.closest("#settings")) toOptions = detail === 0;
});
const enterOptions = () => {
  const panel = toOptions && document.querySelector("#settings-panel.open .sidebar-content");
  if (!panel) return;
  const first = [...panel.querySelectorAll("input, textarea")].find((one) => one.checkVisibility());
  if (!(first instanceof HTMLElement)) return; // not yet: Gradio makes them when the panel is first opened
  toOptions = false;
  first.focus();
};
new MutationObserver(enterOptions).observe(document.documentElement, {
  subtree: true,
  childList: true,
  attributeFilter: ["class"],
});

let answering = false;
const touched = window.matchMedia("(pointer: coarse)"); // there, focus would open the keyboard
new MutationObserver(() => {
  const stop = stopButton();
  if (toStop && stop && hasBegun()) stop.click();
  const now = stop !== null;
  const ended = answering && !now;
  answering = now;
  const away = document.activeElement;
  if (ended && !touched.matches && (!away || away === document.body || away.closest("#message")))
    messageBox()?.focus();
}).observe(document.documentElement, { childList: true, subtree: true });
