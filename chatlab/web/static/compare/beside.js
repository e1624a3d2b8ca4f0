// The sidebar of the comparison page: open beside it where there is room, over it where there is none.
/** @import { Page } from "./page.js" */
import { say } from "../dom.js";
import { isClosed, storeClosed } from "../sidebar/closed.js";
import { sidebar } from "../sidebar/sidebar.js";

const wide = matchMedia("(min-width: 1100px)");

/**
 * Puts the sidebar beside the page, and returns its list of sessions.
 *
 * @param {Page} page
 */
export const beside = (page) => {
  const panel = /** @type {HTMLElement} */ (document.getElementById("conversations"));
  const fold = /** @type {HTMLButtonElement} */ (document.getElementById("fold"));
  /** @param {boolean} open */
  const show = (open) => {
    panel.hidden = !open;
    document.body.classList.toggle("beside", open && wide.matches);
    fold.setAttribute("aria-expanded", String(open));
    fold.title = say(open ? "sidebar.hide" : "sidebar.show");
    fold.setAttribute("aria-label", fold.title);
  };
  const leave = () => !wide.matches && show(false);
  fold.textContent = "☰";
  fold.hidden = false;
  fold.addEventListener("click", () => {
    const open = Boolean(panel.hidden);
    show(open);
    if (wide.matches) storeClosed(!open);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || wide.matches || panel.hidden || event.defaultPrevented) return;
    show(false);
    fold.focus();
  });
  const arrange = () => show(wide.matches && !isClosed());
  wide.addEventListener("change", arrange);
  arrange();
  const list = /** @type {HTMLElement} */ (panel.firstElementChild);
  const person = list.querySelector("form");
  const { comparisons } = sidebar(list, {
    root: page.root,
    sharing: page.options.sharing,
    signedIn: person !== null,
    open: (conversation, turn) => {
      const query = new URLSearchParams({
        ...(conversation && { c: conversation }),
        ...(turn && { t: turn }),
      });
      location.assign(`${page.root}/?${query}`);
    },
    openComparison: (session) => {
      if (session) page.open(session);
      else page.begin();
      leave();
    },
    first: "comparisons",
  });
  if (person) list.append(person);
  return comparisons;
};
