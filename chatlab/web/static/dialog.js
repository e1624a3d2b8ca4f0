// The one dialog of a page.
/** @import { Child } from "./dom.js" */
import { button, make, say } from "./dom.js";

const dialog = make("dialog", { id: "dialog" });
document.body.append(dialog);
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});

/**
 * @param {string} title
 * @param {Child[]} content
 */
export const show = (title, ...content) => {
  dialog.setAttribute("aria-label", title);
  const head = make(
    "header",
    {},
    make("h2", {}, title),
    button(say("both.close"), close, { className: "plain" }),
  );
  dialog.replaceChildren(head, make("div", {}, content));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
};

export const close = () => dialog.close();

/**
 * Where a sentence is to stand that is read now: a dialog hides what is not in it.
 *
 * @param {HTMLElement} otherwise
 */
export const inFront = (otherwise) => (dialog.open ? dialog : otherwise);
