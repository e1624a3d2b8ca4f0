// The menu of backends: which there are, of what kind, what they are for and whether they are ready. It is
// opened in the message box, to choose who is asked, and under an answer, to have another one beside it.
import { button, isComposing, make } from "../dom.js";

/**
 * @typedef {{ name: string, label: string, kind: string, description: string, problem: string }} Choice
 *   problem: what to do before it can be used, "" if it is ready
 * @typedef {{ chosen: string, choices: Choice[] }} Backends
 * @typedef {{
 *   label: string,
 *   value: () => Backends,
 *   changed: (redraw: () => void) => void,
 *   choose: (name: string) => void,
 * }} Menu
 */

const EDGE = 8; // pixels between the menu and the window's edge, and what it is opened from
const LIST = "chatlab-backends-list";
const touched = matchMedia("(pointer: coarse)"); // there, focus on a text box would open the keyboard

/** @type {Backends} */
let backends = { chosen: "", choices: [] };

/**
 * The button in the message box that says who is asked, and opens the menu.
 *
 * @param {HTMLElement} element
 * @param {Menu} options
 */
export function backendMenu(element, { label, value, changed, choose }) {
  const href = new URL("backends.css", import.meta.url).href;
  document.head.append(make("link", { rel: "stylesheet", href }));
  const name = make("span", { className: "chatlab-chosen", dir: "auto" });
  const chosen = (/** @type {string} */ to) => {
    backends = { ...backends, chosen: to };
    say();
    choose(to);
    /** @type {HTMLElement | null} */
    const box = document.querySelector("#message textarea");
    if (!touched.matches) box?.focus();
  };
  const opener = button(name, () => openMenu(opener, label, chosen), {
    className: "chatlab-backend",
    "aria-haspopup": "dialog",
  });
  const say = () => {
    const found = backends.choices.find((one) => one.name === backends.chosen);
    name.textContent = found?.label ?? backends.chosen;
    opener.setAttribute("aria-label", `${label}: ${name.textContent}`);
    opener.classList.toggle("chatlab-not-ready", Boolean(found?.problem));
  };
  const redraw = () => {
    backends = value();
    if (!opener.isConnected) element.replaceChildren(opener);
    say();
  };
  changed(redraw);
  redraw();
}

/**
 * Opens the menu above or below the element that asks for it; on a phone, as a sheet.
 *
 * @param {HTMLElement} opener
 * @param {string} label
 * @param {(name: string) => void} choose
 */
export function openMenu(opener, label, choose) {
  const search = make("input", {
    type: "search",
    role: "combobox",
    placeholder: "Find a backend",
    autocomplete: "off",
    dir: "auto",
    "aria-label": label,
    "aria-expanded": "true",
    "aria-controls": LIST,
    "aria-autocomplete": "list",
  });
  const list = make("div", { role: "listbox", id: LIST, "aria-label": label, tabindex: "-1" });
  const none = make("p", { className: "chatlab-none", role: "status" });
  const dialog = make("dialog", { className: "chatlab-backends", "aria-label": label }, search, list, none);

  /** @param {string} name */
  const pick = (name) => {
    dialog.close();
    choose(name);
  };
  const draw = () => {
    const found = backends.choices.filter(matching(search.value));
    list.replaceChildren(...found.map((one, n) => option(one, n, () => pick(one.name))));
    none.textContent = found.length ? "" : "No backend is called that.";
    const chosen = found.findIndex((one) => one.name === backends.chosen);
    activate(list, search, search.value.trim() ? 0 : Math.max(0, chosen));
  };
  search.addEventListener("input", draw);
  dialog.addEventListener("keydown", (event) => {
    if (isComposing(event)) return;
    const at = active(list);
    if (event.key === "ArrowDown") activate(list, search, at + 1);
    else if (event.key === "ArrowUp") activate(list, search, at - 1);
    else if (event.key === "Enter") /** @type {HTMLElement | undefined} */ (list.children[at])?.click();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  draw();
  dialog.showModal();
  (touched.matches ? list : search).focus();
  place(dialog, opener);
  list.children[active(list)]?.scrollIntoView({ block: "nearest" });
}

/**
 * @param {string} words
 * @returns {(one: Choice) => boolean}
 */
const matching = (words) => {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return ({ name, label, kind, description }) => {
    const said = `${name} ${label} ${kind} ${description}`.toLowerCase();
    return wanted.every((word) => said.includes(word));
  };
};

/**
 * @param {Choice} choice
 * @param {number} number
 * @param {() => void} pick
 */
const option = ({ name, label, kind, description, problem }, number, pick) =>
  make(
    "div",
    {
      role: "option",
      id: `${LIST}-${number}`,
      "aria-selected": String(name === backends.chosen),
      onclick: pick,
    },
    make("span", { className: "chatlab-option-name", dir: "auto" }, label),
    make("span", { className: "chatlab-option-kind" }, kind),
    make("span", { className: problem ? "chatlab-error" : "chatlab-ready" }, problem || "ready"),
    description && make("span", { className: "chatlab-option-about", dir: "auto" }, description),
  );

/** @param {Element} list */
const active = (list) => [...list.children].findIndex((one) => one.classList.contains("chatlab-active"));

/**
 * @param {Element} list
 * @param {Element} search
 * @param {number} at
 */
const activate = (list, search, at) => {
  const to = Math.min(Math.max(at, 0), list.children.length - 1);
  [...list.children].forEach((one, n) => one.classList.toggle("chatlab-active", n === to));
  const now = list.children[to];
  search.setAttribute("aria-activedescendant", now?.id ?? "");
  now?.scrollIntoView({ block: "nearest" });
};

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLElement} opener
 */
const place = (dialog, opener) => {
  const from = opener.getBoundingClientRect();
  const above = from.top - EDGE;
  const below = innerHeight - from.bottom - EDGE;
  const up = above > below;
  dialog.style.setProperty("--room", `${Math.max(above, below) - EDGE}px`);
  const { width, height } = dialog.getBoundingClientRect();
  const top = up ? above - Math.min(height, above - EDGE) : from.bottom + EDGE;
  dialog.style.setProperty("--top", `${top}px`);
  dialog.style.setProperty("--left", `${Math.max(EDGE, Math.min(from.left, innerWidth - width - EDGE))}px`);
};
