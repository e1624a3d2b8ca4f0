// The menu of backends: which there are, of what kind, what they are for and whether they are ready. It is
// opened in the message box, to choose who is asked, and under an answer, to have another one beside it.
// Of some, any model that their server lists can be chosen, as `name:model`: they are asked for theirs when
// the menu is opened.
/** @import { Api } from "../dom.js" */
/** @import { ModelsListed } from "../server.d.ts" */
import { asking, button, isComposing, make, say, sentence } from "../dom.js";

/**
 * @typedef {{
 *   name: string, label: string, kind: string, description: string, problem: string, discovers: boolean,
 * }} Choice
 *   problem: what to do before it can be used, "" if it is ready
 * @typedef {{ chosen: string, choices: Choice[] }} Backends
 *   chosen: "" leaves it as it is
 * @typedef {{
 *   root: string,
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
/** @type {Api} */
let api = asking("");
/**
 * What is known of the models of each backend, by its name; null while its server is asked.
 *
 * @type {Map<string, ModelsListed | null>}
 */
const listed = new Map();

/**
 * The button in the message box that says who is asked, and opens the menu.
 *
 * @param {HTMLElement} element
 * @param {Menu} options
 */
export function backendMenu(element, { root, label, value, changed, choose }) {
  api = asking(root);
  const href = new URL("backends.css", import.meta.url).href;
  document.head.append(make("link", { rel: "stylesheet", href }));
  const name = make("span", { className: "chatlab-chosen", dir: "auto" });
  const chosen = (/** @type {string} */ to) => {
    backends = { ...backends, chosen: to };
    sayChosen();
    choose(to);
    /** @type {HTMLElement | null} */
    const box = document.querySelector("#message textarea");
    if (!touched.matches) box?.focus();
  };
  const opener = button(name, () => openMenu(opener, label, chosen), {
    className: "chatlab-backend",
    "aria-haspopup": "dialog",
  });
  const sayChosen = () => {
    const found = base(backends.chosen);
    name.textContent = labelOf(backends.chosen);
    opener.setAttribute("aria-label", say("menu.chosen", { label, backend: name.textContent }));
    opener.classList.toggle("chatlab-not-ready", Boolean(found?.problem));
  };
  const redraw = () => {
    const now = value();
    backends = { ...now, chosen: now.chosen || backends.chosen };
    if (!opener.isConnected) element.replaceChildren(opener);
    sayChosen();
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
    placeholder: say("menu.find"),
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
    const found = backends.choices.flatMap(withModels).filter(matching(search.value));
    list.replaceChildren(...found.map((one, n) => option(one, n, () => pick(one.name))));
    const said = backends.choices.map(aboutModels).filter(Boolean);
    none.textContent = (found.length ? said : [say("menu.nothing"), ...said]).join("\n");
    const chosen = found.findIndex((one) => one.name === backends.chosen);
    activate(list, search, search.value.trim() ? 0 : Math.max(0, chosen));
  };
  search.addEventListener("input", draw);
  const arrived = () => {
    if (!dialog.open) return;
    const id = search.getAttribute("aria-activedescendant");
    const name = id && document.getElementById(id)?.dataset.name;
    draw();
    place(dialog, opener);
    const at = [...list.children].findIndex((one) => one instanceof HTMLElement && one.dataset.name === name);
    if (at >= 0) activate(list, search, at); // what was reached by keys stays reached
  };
  for (const one of backends.choices) if (one.discovers && !one.problem) void lookUp(one.name).then(arrived);
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
 * The configured backend that a choice is, or is a model of.
 *
 * @param {string} name
 */
const base = (name) =>
  backends.choices.find((one) => one.name === name) ??
  backends.choices.find((one) => one.discovers && name.startsWith(`${one.name}:`));

/** @param {string} name */
const labelOf = (name) => {
  const found = base(name);
  if (!found || found.name === name) return found?.label ?? name;
  return `${found.label} · ${name.slice(found.name.length + 1)}`;
};

/** @param {string} name */
const lookUp = async (name) => {
  if (!listed.get(name)?.models.length) listed.set(name, null);
  /** @type {Promise<ModelsListed>} */
  const asked = api(`backends/${encodeURIComponent(name)}/models`);
  listed.set(name, await asked.catch((error) => ({ models: [], problem: sentence(error) })));
};

/**
 * A backend, and after it each of the models that its server lists.
 *
 * @param {Choice} choice
 * @returns {Choice[]}
 */
const withModels = (choice) => {
  const models = listed.get(choice.name)?.models ?? [];
  return [
    choice,
    ...models.map((model) => ({
      name: `${choice.name}:${model}`,
      label: model,
      kind: choice.label,
      description: "",
      problem: "",
      discovers: false,
    })),
  ];
};

/**
 * Why the models of a backend are not in the menu, if they are not.
 *
 * @param {Choice} choice
 */
const aboutModels = ({ name, label, discovers }) => {
  if (!discovers || !listed.has(name)) return "";
  const found = listed.get(name);
  if (!found) return say("menu.looking", { backend: label });
  if (found.problem) return say("menu.unknown", { backend: label, problem: found.problem });
  return found.models.length ? "" : say("menu.no-models", { backend: label });
};

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

/** @param {string} name */
const isModel = (name) => base(name)?.name !== name;

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
      "data-name": name,
      id: `${LIST}-${number}`,
      "aria-selected": String(name === backends.chosen),
      onclick: pick,
    },
    make("span", { className: "chatlab-option-name", dir: "auto" }, label),
    make("span", { className: "chatlab-option-kind" }, kind),
    make(
      "span",
      { className: problem ? "chatlab-error" : "chatlab-ready" },
      problem || (isModel(name) ? "" : say("menu.ready")),
    ),
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
