// Elements of a page, and questions to the page's own server: what the scripts of both pages share.
/** @import { Refusal } from "./server.d.ts" */

/** @typedef {string | number | Node | null | undefined | false} Child */
/** @typedef {string | number | boolean | null | undefined} Value */
/**
 * Attributes by name; `className` is the class, and what begins with "on" listens to an event.
 *
 * @typedef {{
 *   onclick?: (event: MouseEvent) => unknown,
 *   onkeydown?: (event: KeyboardEvent) => unknown,
 *   onpaste?: (event: ClipboardEvent) => unknown,
 *   onsubmit?: (event: SubmitEvent) => unknown,
 *   onchange?: (event: Event) => unknown,
 *   oninput?: (event: Event) => unknown,
 *   ontoggle?: (event: Event) => unknown,
 *   [name: string]: Value | ((event: never) => unknown),
 * }} Attributes
 */

/**
 * Makes an element; text is only ever set as text. Attributes and children that are null or false are left
 * out.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} attributes
 * @param {(Child | Child[])[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      made.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (name === "className") made.className = String(value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    made.append(child instanceof Node ? child : String(child));
  }
  return made;
};

/**
 * @param {Child} text
 * @param {((event: MouseEvent) => unknown) | null} act
 * @param {Attributes} attributes
 */
export const button = (text, act, attributes = {}) =>
  make("button", { type: "button", onclick: act ?? undefined, ...attributes }, text);

/**
 * HTML that this page's own server made safe (chatlab.render.markdown).
 *
 * @param {string} html
 * @param {string} className
 */
export const safe = (html, className = "text") => {
  const made = make("div", { className });
  made.innerHTML = html;
  return made;
};

/**
 * Whether a key is the input method's, which composes: Enter then confirms what it offers, and Safari says so
 * by the key's old number alone.
 *
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/**
 * The words of the page's language, by key: the server writes them into the page.
 *
 * @type {Record<string, string>}
 */
const words =
  window.chatlabWords ??
  Object.fromEntries(
    JSON.parse(document.getElementById("chatlab-words")?.textContent || "[]").map(
      (/** @type {string} */ one) => [one.slice(0, one.indexOf(" ")), one.slice(one.indexOf(" ") + 1)],
    ),
  );

/**
 * A criterion or a reason of votes: those that come with chatlab in the page's language.
 *
 * @param {string} text
 */
export const voteWord = (text) => words[`compare.vote-${text.replaceAll(" ", "-")}`] ?? text;

/**
 * A text of the page's language, with what it has places for.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export const say = (key, values = {}) =>
  (words[key] ?? key).replace(/\{([\w-]+)\}/g, (/** @type {string} */ place, /** @type {string} */ name) =>
    String(values[name] ?? place),
  );

/** @param {unknown} error */
export const sentence = (error) => (error instanceof Error ? error.message : String(error));

/** The server cannot be asked: it is away, or something on the way to it. */
export class Away extends Error {}

/**
 * Asks this page's own server; throws an Error with the server's sentence. A Blob is sent as it is, with its
 * name if it has one; anything else as JSON. The type of the reply is the one that the caller expects.
 *
 * @typedef {<T>(path: string, method?: string, body?: object) => Promise<T>} Api
 */

/**
 * @param {string} root where the app is mounted
 * @returns {Api}
 */
export const asking =
  (root) =>
  async (path, method = "GET", body) => {
    const answer = await fetch(`${root}/-/${path}`, {
      method,
      headers: { "x-chatlab": "1", ...headersOf(body) },
      body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
    }).catch(notAnswered);
    // An answer that was cut in the middle is none: every one of the server's is JSON.
    const said = await answer.json().catch(() => (answer.ok ? notAnswered() : {}));
    if (answer.ok) return said;
    const { error } = /** @type {Partial<Refusal>} */ (said);
    const isAway = !error && answer.status >= 502 && answer.status <= 504; // a proxy says so
    throw new (isAway ? Away : Error)(error || say("both.refused", { status: answer.status }));
  };

/** @returns {never} */
const notAnswered = () => {
  throw new Away(say("both.away"));
};

/**
 * @param {object | undefined} body
 * @returns {Record<string, string>}
 */
const headersOf = (body) => {
  if (body === undefined) return {};
  if (!(body instanceof Blob)) return { "content-type": "application/json" };
  return { "x-filename": encodeURIComponent((body instanceof File && body.name) || "file") };
};

/**
 * A button that unfolds others, between which the arrow keys move; it folds again when one is chosen, at
 * Escape, at a click elsewhere, and when the focus goes elsewhere.
 *
 * @param {string} label
 * @param {Child} shown
 * @param {Child[]} items
 */
export const menu = (label, shown, ...items) => {
  const made = make("details", { className: "menu" });
  const head = make("summary", { "aria-label": label, title: label }, shown);
  // Before what was chosen acts: a dialog leads back to what had the focus, and what draws anew keeps open
  // what is open.
  const chosen = (/** @type {Event} */ event) => {
    if (!(event.target instanceof Element && event.target.closest("button, a"))) return;
    made.open = false;
    head.focus();
  };
  made.addEventListener("click", chosen, true);
  made.addEventListener("keydown", (event) => {
    if (!moveIn(made, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  made.addEventListener("focusout", ({ relatedTarget: to }) => {
    if (to instanceof Node && !made.contains(to)) made.open = false;
  });
  made.append(head, make("div", {}, items));
  return made;
};

/**
 * Moves the focus in a menu, which it unfolds, as a key says; whether it is one that does.
 *
 * @param {HTMLDetailsElement} menu
 * @param {string} key
 */
const moveIn = (menu, key) => {
  if (!["ArrowDown", "ArrowUp", "Home", "End"].includes(key) || document.activeElement?.matches("select"))
    return false;
  menu.open = true;
  const items = [...menu.querySelectorAll(/** @type {"button"} */ ("summary ~ * :is(button, a, select)"))];
  const at = items.findIndex((one) => one === document.activeElement);
  const last = items.length - 1;
  const to = { ArrowDown: at === last ? 0 : at + 1, ArrowUp: at <= 0 ? last : at - 1, Home: 0, End: last }[
    key
  ];
  items[to ?? 0]?.focus();
  return true;
};

/** @returns {NodeListOf<HTMLDetailsElement>} */
const openMenus = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("click", (event) => {
  for (const open of openMenus()) {
    if (!(event.target instanceof Node && open.contains(event.target))) open.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of openMenus()) {
    open.open = false;
    open.querySelector("summary")?.focus();
    event.preventDefault();
  }
});
