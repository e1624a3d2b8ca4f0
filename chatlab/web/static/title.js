// A title that is edited where it stands.
import { isComposing, make, say } from "./dom.js";

/**
 * Puts an input in place of a title until it was edited. Enter and a click elsewhere save, Escape does not;
 * while an input method composes, both keys are its own.
 *
 * @param {HTMLElement} shown the element that shows the title
 * @param {{
 *   title: string,
 *   className: string,
 *   longest: number,
 *   save: (wanted: string) => unknown,
 * }} options longest: characters; save: gets what was typed, if that is another title
 */
export const editTitle = (shown, { title, className, longest, save }) => {
  const input = make("input", {
    className,
    "aria-label": say("both.new-title"),
    maxlength: longest,
    dir: "auto",
  });
  input.value = title;
  let over = false;
  /** @param {boolean} taken */
  const end = (taken) => {
    if (over) return;
    over = true;
    const wanted = taken ? input.value.trim() : "";
    const hadFocus = document.activeElement === input;
    input.replaceWith(shown);
    if (hadFocus) shown.focus();
    if (wanted && wanted !== title) save(wanted);
  };
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (isComposing(event) || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault(); // the key would be pressed on the title, which has the focus next
    end(event.key === "Enter");
  });
  input.addEventListener("blur", () => end(true));
  shown.replaceWith(input);
  input.focus();
  input.select();
};
