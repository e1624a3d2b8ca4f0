// Drawing anew without disturbing whoever reads or types.

/**
 * Keeps the page's end in sight for whoever looks at it, while `change` makes the page longer.
 *
 * @param {() => void} change
 */
export const following = (change) => {
  const scroll = document.scrollingElement ?? document.documentElement;
  const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  change();
  if (below) scroll.scrollTop = scroll.scrollHeight;
};

/**
 * The value of the nearest data attribute of this name, around an element.
 *
 * @param {Element} element
 * @param {string} name
 */
const near = (element, name) => element.closest(`[data-${name}]`)?.getAttribute(`data-${name}`);

/**
 * Where the focus is, in words that hold when the same thing is drawn anew.
 *
 * @param {Element} element
 * @param {"round" | "message"} within
 */
export const position = (element, within = "round") =>
  [
    near(element, within),
    near(element, "lane"),
    near(element, "criterion"),
    element.tagName,
    element.getAttribute("aria-label") || element.textContent,
  ].join("|");

/**
 * Leaves the focus, within `main`, on what it is on, while `change` draws that anew.
 *
 * @param {HTMLElement} main
 * @param {() => void} change
 */
export const keepingFocus = (main, change) => {
  const had = document.activeElement;
  if (!(had instanceof HTMLElement) || !main.contains(had)) return change();
  const here = position(had);
  const message = position(had, "message"); // of another version, if this one has gone
  change();
  if (document.activeElement === had) return;
  if (had.isConnected) return had.focus();
  /** @type {HTMLElement[]} */
  const all = [...main.querySelectorAll(/** @type {"button"} */ ("button, summary, input"))];
  const same = all.find((one) => position(one) === here);
  (same ?? all.find((one) => position(one, "message") === message))?.focus();
};
