// The marks by which the server tells the page of turns, and the rows of controls below their messages.
import { make } from "../dom.js";

/**
 * A value that the server wrote into the classes of a mark: "id" of "chatlab-turn-id" by "turn".
 *
 * @param {Element} mark
 * @param {string} name
 */
export const valueOf = (mark, name) =>
  [...mark.classList].find((one) => one.startsWith(`chatlab-${name}-`))?.slice(name.length + 9) || "";

/**
 * Whether chatlab itself painted a mark: a line of figures stands in a title that is in no one's text.
 *
 * @param {Element} mark
 */
export const isOurs = (mark) => {
  const group = mark.closest(".title")?.parentElement;
  const inText = group?.parentElement?.closest(".md, .prose, .thought .md");
  return Boolean(group?.matches("#conversation .thought-group")) && !inText;
};

/** @param {Element} mark */
export const isPending = (mark) => mark.classList.contains("chatlab-pending");

/**
 * Puts a row of controls under the message that a mark is of, unless it is there already.
 *
 * @param {Element} mark
 * @param {() => (Node | string)[]} controls
 */
export const put = (mark, controls) => {
  const group = mark.closest(".thought-group");
  /** @type {HTMLElement | null | undefined} */
  const row = group?.querySelector(":scope > .chatlab-branch");
  if (!group || row?.dataset.for === mark.className) return;
  row?.remove();
  group.append(make("div", { className: "chatlab-branch", "data-for": mark.className }, controls()));
};

const MARKS = ".chatlab-at:not(.chatlab-pending), .chatlab-more, .chatlab-later";

// Gradio uses an element again for another message.
/** @param {Element} page */
export const removeStaleRows = (page) =>
  page.querySelectorAll(".chatlab-branch").forEach((row) => {
    if (!row.parentElement?.querySelector(`:scope > .title :is(${MARKS})`)) row.remove();
  });
