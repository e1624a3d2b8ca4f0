// The head of an open session: its title, what it is like, and what may be done with all of it.
/** @import { UndoneView } from "../server.d.ts" */
/** @import { Page } from "./page.js" */
import { button, make, menu, say } from "../dom.js";
import { editTitle } from "../title.js";
import { close, show } from "../dialog.js";
import { ranking, report, share } from "./dialogs.js";

const LONGEST_TITLE = 80; // characters

/** Where there is no room for all of it beside the title, the rest is in a menu. */
export const narrow = matchMedia("(max-width: 640px)");

/** @param {Page} page */
export const headTools = (page) => {
  const { view } = page;
  const asked = view.rounds.length > 0;
  return [
    title(page),
    view.blind && !narrow.matches
      ? make("span", { className: "quiet" }, say(view.hidden ? "compare.blind" : "compare.was-blind"))
      : null,
    narrow.matches ? null : history(page),
    view.hidden && asked ? button(say("compare.reveal-names-asks"), () => reveal(page)) : null,
    asked ? button(say("both.undo"), () => undo(page)) : null,
    narrow.matches
      ? menu(say("compare.session"), say("compare.session-menu"), history(page), ...sessionTools(page))
      : make("span", { className: "tools" }, sessionTools(page)),
  ].filter((one) => one !== null);
};

/**
 * What may be done with the whole session; what would tell names is left out while they are hidden.
 *
 * @param {Page} page
 */
const sessionTools = (page) => {
  const { rounds, hidden } = page.view;
  const named = rounds.length > 0 && !hidden;
  return [
    named ? button(say("compare.ranking"), () => ranking(page)) : null,
    named ? button(say("compare.report"), () => report(page)) : null,
    page.options.sharing && !hidden ? button(say("compare.share"), () => share(page)) : null,
    page.options.storage ? null : button(say("compare.new"), page.begin), // the sidebar has it
  ];
};

/** @param {Page} page */
const title = (page) => {
  const text = page.view.title || say("compare.new");
  /** @param {string} wanted */
  const save = async (wanted) => {
    if (!(await page.session("/title", "POST", { title: wanted }))) return;
    page.view.title = wanted;
    page.drawHead();
    page.retitled();
  };
  const edit = () =>
    editTitle(shown, { title: page.view.title, className: "title", longest: LONGEST_TITLE, save });
  const shown = button(text, edit, {
    className: "plain title",
    title: say("compare.edit-title"),
    dir: "auto",
  });
  return shown;
};

/** @param {Page} page */
const history = (page) => {
  const chosen = () => void page.session("/mode", "POST", { mode: mode.value });
  const mode = make(
    "select",
    { "aria-label": say("compare.history"), onchange: chosen },
    make("option", { value: "own" }, say("compare.own-history")),
    make("option", { value: "shared" }, say("compare.shared-history")),
  );
  mode.value = page.view.mode;
  return mode;
};

/** @param {Page} page */
const undo = async (page) => {
  /** @type {UndoneView | null} */
  const back = await page.session("/undo");
  if (back) page.composer.fill(back.text);
};

/**
 * Asks whether the names are to be told, which cannot be taken back.
 *
 * @param {Page} page
 */
export const reveal = (page) => {
  const yes = async () => {
    close();
    await page.session("/reveal");
  };
  const sure = button(say("compare.reveal-names"), yes, { className: "primary" });
  show(
    say("compare.reveal-title"),
    make("p", {}, say("compare.reveal-about")),
    make("div", { className: "tools" }, sure, button(say("compare.keep-hidden"), close)),
  );
  sure.focus();
};
