// A title that is edited where it stands.
import { isComposing, make, say } from "./dom.js";

/**
 * An input in place of a title. Enter and a click elsewhere save, Escape does not; while an input method
 * composes, both keys are its own.
 *
 * @param {string} title
 * @param {string} className
 * @param {number} longest characters
 * @param {(wanted: string | null) => void} done gets what was typed, or null
 */
export const titleInput = (title, className, longest, done) => {
  const input = make("input", {
    className,
    "aria-label": say("both.new-title"),
    maxlength: longest,
    dir: "auto",
  });
  input.value = title;
  let over = false;
  /** @param {boolean} save */
  const end = (save) => {
    if (over) return;
    over = true;
    done(save ? input.value.trim() : null);
  };
  input.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (isComposing(event)) return;
    if (event.key === "Enter") end(true);
    if (event.key === "Escape") end(false);
  });
  input.addEventListener("blur", () => end(true));
  return input;
};
