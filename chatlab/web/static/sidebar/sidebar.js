// The sidebar of both pages: the stored conversations and the comparison sessions. Everything here is asked
// of this page's own server, and text is only ever set as text.
/** @import { Imported, ImportProgress } from "../server.d.ts" */
/** @import { Api } from "../dom.js" */
import { asking, button, make, menu, say, sentence } from "../dom.js";
import { along, amount } from "./along.js";
import { chats, FORMATS } from "./chats.js";
import { comparisons } from "./comparisons.js";

/**
 * What the lists of the sidebar may ask of it. open: shows a conversation at a turn, "" a new one;
 * openComparison: shows a session, "" a new one; changed: something in the lists is another from now on;
 * removed: deletes what is at a path, leaves it where it is open, and offers to undo that.
 *
 * @typedef {{
 *   root: string,
 *   sharing: boolean,
 *   signedIn: boolean,
 *   open: (conversation: string, turn: string) => void,
 *   openComparison: (session: string) => void,
 *   api: Api,
 *   tell: (text: string, undo?: () => void) => void,
 *   failed: (error: unknown) => void,
 *   changed: () => void,
 *   removed: (path: string, title: string, leave: () => void) => Promise<void>,
 *   download: (path: string) => void,
 * }} Sidebar
 */

/** @typedef {"chats" | "comparisons"} Shown */

/**
 * @param {HTMLElement} element
 * @param {Pick<Sidebar, "root" | "sharing" | "signedIn" | "open" | "openComparison"> &
 *   { first: Shown }} options root: where the app is mounted; first: which list the page begins with;
 *   signedIn: whether people sign in
 */
export function sidebar(element, { first, ...given }) {
  const { root, signedIn } = given;
  const api = asking(root);
  const told = make("div", { className: "chatlab-told", role: "status" });

  /**
   * @param {string} text
   * @param {() => void} [undo]
   */
  const tell = (text, undo) => {
    // What had the focus is there no more: deleted, or the offer that was taken.
    const hadFocus = told.contains(document.activeElement);
    told.replaceChildren(text);
    if (hadFocus)
      element.querySelector(/** @type {"button"} */ (".chatlab-tabs [aria-pressed=true]"))?.focus();
    if (!undo) return;
    const back = button(say("both.undo"), undo, { className: "chatlab-undo" });
    told.append(" ", back);
    back.focus();
  };
  /** @param {unknown} error */
  const failed = (error) => tell(sentence(error));
  // Tabs of this browser tell each other, so that each lists the same.
  const channel = "BroadcastChannel" in window ? new BroadcastChannel(`chatlab lists ${root}`) : null;
  channel?.addEventListener("message", () => refresh());
  const changed = () => {
    refresh();
    channel?.postMessage("");
  };
  /** @type {Sidebar["removed"]} */
  const removed = async (path, title, leave) => {
    try {
      await api(path, "DELETE");
    } catch (error) {
      return failed(error);
    }
    leave();
    changed();
    const restore = async () => {
      try {
        await api(`${path}/restore`, "POST", {});
      } catch (error) {
        return failed(error);
      }
      tell("");
      changed();
    };
    tell(say("sidebar.deleted", { title }), restore);
  };
  /** @param {string} path */
  const download = (path) => {
    const link = make("a", { href: `${root}/-/${path}`, download: true });
    document.body.append(link);
    link.click();
    link.remove();
  };
  /** @type {Sidebar} */
  const own = { ...given, api, tell, failed, changed, removed, download };

  const search = make("input", {
    className: "chatlab-search",
    type: "search",
    placeholder: say("sidebar.search"),
    dir: "auto",
    "aria-label": say("sidebar.search-label"),
  });
  const places = {
    chats: make("div", { className: "chatlab-list", role: "list", "aria-label": say("sidebar.chats") }),
    comparisons: make("div", {
      className: "chatlab-list",
      role: "list",
      "aria-label": say("sidebar.comparisons-list"),
    }),
  };
  const lists = {
    chats: chats(places.chats, search, own),
    comparisons: comparisons(places.comparisons, own),
  };

  /** @param {Shown} wanted */
  const turn = (wanted) => {
    for (const [name, tab] of Object.entries(tabs)) {
      tab.setAttribute("aria-pressed", String(name === wanted));
    }
    places.chats.hidden = search.hidden = wanted !== "chats";
    places.comparisons.hidden = wanted !== "comparisons";
    tell("");
    lists[wanted].refresh();
  };
  const tabs = {
    chats: button(say("sidebar.chats"), () => turn("chats")),
    comparisons: button(say("sidebar.comparisons-list"), () => turn("comparisons")),
  };

  const chosenFile = make("input", {
    type: "file",
    hidden: true,
    accept: ".json,.jsonl",
    "aria-label": say("sidebar.to-import"),
    onchange: () => {
      for (const file of chosenFile.files ?? []) importFile(file);
      chosenFile.value = "";
    },
  });
  /** @param {File} file */
  const importFile = async (file) => {
    tell(say("sidebar.reading", { file: file.name }));
    /** @returns {Promise<ImportProgress>} */
    const progress = () => api("import");
    const telling = setInterval(async () => {
      const { turns } = await progress().catch(() => ({ turns: null }));
      if (turns) tell(say("sidebar.importing", { file: file.name, turns }));
    }, 2000);
    try {
      const { most_mb } = await progress();
      if (file.size > most_mb * 1e6) throw new Error(say("sidebar.too-large", { most: most_mb }));
      /** @type {Imported} */
      const found = await api("import", "POST", file);
      if (found.comparisons && !found.conversations) turn("comparisons");
      const said = say("sidebar.imported", { count: amount(found), file: file.name });
      tell([said, ...found.problems].join(" "));
      changed();
    } catch (error) {
      failed(error);
    } finally {
      clearInterval(telling);
    }
  };

  const refresh = () => {
    lists.chats.refresh();
    lists.comparisons.refresh();
  };

  const exports = FORMATS.map(([format, text]) => button(text, () => download(`export?format=${format}`)));
  const foot = make(
    "div",
    { className: "chatlab-foot" },
    button(say("sidebar.import"), () => chosenFile.click()),
    menu(say("sidebar.export-all-label"), say("sidebar.export-all"), ...exports),
    chosenFile,
  );
  const begin = make(
    "div",
    { className: "chatlab-begin" },
    button(say("sidebar.new"), () => lists.chats.choose(""), { className: "chatlab-new" }),
    button(say("sidebar.new-comparison"), () => given.openComparison("")),
  );
  const choice = make("div", {
    className: "chatlab-tabs",
    role: "group",
    "aria-label": say("sidebar.listed"),
  });
  choice.append(tabs.chats, tabs.comparisons);
  element.replaceChildren(begin, choice, search, places.chats, places.comparisons, told, foot);
  if (signedIn) told.before(along(api, tell, failed, changed));

  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(lists.chats.refresh, 150);
  });
  turn(first);
  return lists;
}
