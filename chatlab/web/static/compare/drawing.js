// Drawing anew without disturbing whoever reads or types.
import { follow } from "../follow.js";

const NEAR = 80; // pixels from the page's end that still are the end

/**
 * Keeps the page's end in sight for whoever looks at it, while `change` makes the page longer.
 *
 * @param {() => void} change
 */
export const following = (change) => {
  follow(document.scrollingElement ?? document.documentElement, NEAR, change);
};

/** @type {(() => void)[]} */
const waiting = [];

/**
 * Does what draws anew, once nobody holds down a button: one that is replaced between a press and its release
 * is not clicked. What is asked for meanwhile is done in its order.
 *
 * @param {() => void} act
 */
export const unpressed = (act) => {
  waiting.push(act);
  if (waiting.length === 1) whenReleased();
};
const whenReleased = () => {
  if (document.querySelector(PRESSED)) setTimeout(whenReleased, 20);
  else waiting.splice(0).forEach((act) => act());
};
const PRESSED = "button:active, summary:active, a:active, label:active";

/**
 * Has an element contain what is wanted, and leaves where it is what is there already: an element that is put
 * back loses a press, and how far it was scrolled.
 *
 * @param {HTMLElement} parent
 * @param {HTMLElement[]} wanted
 */
export const arrange = (parent, wanted) => {
  for (const old of [...parent.children]) if (!wanted.some((one) => one === old)) old.remove();
  wanted.forEach((one, at) => {
    if (parent.children[at] !== one) parent.insertBefore(one, parent.children[at] ?? null);
  });
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
 * Leaves the focus, within `main`, on what it is on, and its menus open, while `change` draws them anew.
 *
 * @param {HTMLElement} main
 * @param {() => void} change
 */
export const keepingFocus = (main, change) => {
  const open = new Set(
    menus(main)
      .filter((one) => one.open)
      .map(name),
  );
  refocusing(main, change);
  for (const one of menus(main)) one.open ||= open.has(name(one));
};

/** @param {HTMLElement} main */
const menus = (main) => [...main.querySelectorAll(/** @type {"details"} */ ("details.menu"))];

/** @param {HTMLDetailsElement} menu */
const name = (menu) => position(menu.querySelector("summary") ?? menu);

/**
 * @param {HTMLElement} main
 * @param {() => void} change
 */
const refocusing = (main, change) => {
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
