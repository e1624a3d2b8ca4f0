// The list of conversations beside the chat. Everything here is asked of this page's own server, and text is
// only ever set as text.
/**
 * @import {
 *   ConversationChange, ConversationList, ConversationListed, Imported, ShareLink,
 * } from "../server.d.ts"
 */
import { asking, button, make, menu, sentence } from "../dom.js";
import { titleInput } from "../title.js";

const DAY = 86_400_000; // milliseconds
const LONGEST_TITLE = 200; // characters
/** @type {[format: string, text: string][]} */
const FORMATS = [
  ["jsonl", "JSONL"],
  ["markdown", "Markdown"],
  ["html", "HTML"],
];

/**
 * @param {string} className
 * @param {string} text
 * @param {string} label
 * @param {() => void} act
 */
const named = (className, text, label, act) =>
  button(text, act, { className, "aria-label": label, title: label });

/** @param {Pick<ConversationListed, "title">} conversation */
const titleOf = (conversation) => conversation.title || "Untitled";

/** @param {ConversationListed} conversation */
const groupOf = (conversation) => {
  if (conversation.pinned) return "Pinned";
  const today = new Date().setHours(0, 0, 0, 0);
  const then = new Date(conversation.updated);
  const days = Math.ceil((today - then.getTime()) / DAY);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days <= 7) return "Last 7 days";
  if (days <= 30) return "Last 30 days";
  return then.toLocaleDateString(undefined, { month: "long", year: "numeric" });
};

// What was found stands between two characters of Unicode's private use.
/** @param {string} text */
const snippet = (text) => {
  const pieces = text.split(/(\uE000[^\uE001]*\uE001)/);
  const shown = pieces.map((piece) =>
    piece.startsWith("\uE000") ? make("mark", {}, piece.slice(1, -1)) : piece,
  );
  return make("span", { className: "chatlab-snippet", dir: "auto" }, shown);
};

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
const counted = (count, one, many) => (count === 1 ? `1 ${one}` : `${count} ${many}`);

/**
 * @param {HTMLElement} element
 * @param {{
 *   root: string,
 *   sharing: boolean,
 *   open: (conversation: string, turn: string) => void,
 * }} options root: where the app is mounted; open: shows a conversation, "" a new one
 */
export function sidebar(element, { root, open, sharing }) {
  const api = asking(root);
  const create = named("chatlab-new", "New chat", "New chat", () => choose(""));
  const search = make("input", {
    className: "chatlab-search",
    type: "search",
    placeholder: "Search",
    dir: "auto",
    "aria-label": "Search conversations",
  });
  const list = make("div", { className: "chatlab-list", role: "list" });
  const told = make("div", { className: "chatlab-told", role: "status" });
  const end = make("div", { className: "chatlab-end" });
  const chosenFile = make("input", {
    type: "file",
    hidden: true,
    accept: ".json,.jsonl",
    "aria-label": "Conversations to import",
    onchange: () => {
      for (const file of chosenFile.files ?? []) importFile(file);
      chosenFile.value = "";
    },
  });
  const exports = FORMATS.map(([format, text]) => button(text, () => download(`export?format=${format}`)));
  const foot = make(
    "div",
    { className: "chatlab-foot" },
    button("Import…", () => chosenFile.click()),
    menu("Export all conversations", "Export all…", ...exports),
    chosenFile,
  );
  element.replaceChildren(create, search, list, told, foot);

  let chosen = "";
  /** @type {Map<string, string>} */
  const titles = new Map();
  /** @type {string | null} */
  let next = null;
  let asked = 0;
  let loading = false;

  /** @param {ConversationListed} conversation */
  const row = (conversation) => {
    const made = make("div", { className: "chatlab-row", role: "listitem", "data-id": conversation.id });
    const name = titleOf(conversation);
    const title = named("chatlab-title", name, name, () => choose(conversation.id, conversation.turn ?? ""));
    title.dir = "auto";
    if (conversation.snippet) title.append(snippet(conversation.snippet));
    titles.set(conversation.id, conversation.title);
    made.append(title, menu(`More about ${name}`, "⋯", ...actions(conversation, title)));
    if (conversation.id === chosen) made.setAttribute("aria-current", "true");
    return made;
  };

  /**
   * @param {ConversationListed} conversation
   * @param {HTMLElement} title
   */
  const actions = (conversation, title) => {
    const { id, pinned } = conversation;
    return [
      button("Rename", () => rename(conversation, title)),
      button(pinned ? "Unpin" : "Pin", () => change(conversation, { pinned: !pinned })),
      ...FORMATS.map(([format, text]) =>
        button(`Export as ${text}`, () => download(`conversations/${id}/export?format=${format}`)),
      ),
      sharing && button("Copy a link for others", () => share(conversation)),
      sharing && button("End all links", () => endLinks(conversation)),
      button("Delete", () => remove(conversation)),
    ];
  };

  /**
   * @param {string} text
   * @param {() => void} [undo]
   */
  const tell = (text, undo) => {
    told.replaceChildren(text);
    if (undo) told.append(" ", button("Undo", undo, { className: "chatlab-undo" }));
  };
  /** @param {unknown} error */
  const failed = (error) => tell(sentence(error));
  /** @param {string} path */
  const download = (path) => {
    const link = make("a", { href: `${root}/-/${path}`, download: true });
    document.body.append(link);
    link.click();
    link.remove();
  };

  /** @param {File} file */
  const importFile = async (file) => {
    tell(`Reading ${file.name}…`);
    try {
      /** @type {Imported} */
      const { conversations, comparisons, problems } = await api("import", "POST", file);
      const chats = counted(conversations, "conversation", "conversations");
      const sessions = counted(comparisons, "comparison session", "comparison sessions");
      const count = comparisons ? `${chats} and ${sessions}` : chats;
      tell([`Imported ${count} of ${file.name}.`, ...problems].join(" "));
      refresh();
    } catch (error) {
      failed(error);
    }
  };

  /**
   * @param {ConversationListed} conversation
   * @param {ConversationChange} what
   */
  const change = (conversation, what) =>
    api(`conversations/${conversation.id}`, "PATCH", what).then(() => refresh(), failed);

  /** @param {ConversationListed} conversation */
  const share = async (conversation) => {
    try {
      /** @type {ShareLink} */
      const { token } = await api(`conversations/${conversation.id}/shares`, "POST");
      const link = new URL(`${root}/-/shared/${token}`, location.href).href;
      const copied = await navigator.clipboard?.writeText(link).then(
        () => true,
        () => false,
      );
      tell(`${copied ? "Copied. " : ""}Anybody with this link can read it: ${link}`);
    } catch (error) {
      failed(error);
    }
  };

  /** @param {ConversationListed} conversation */
  const endLinks = (conversation) =>
    api(`conversations/${conversation.id}/shares`, "DELETE").then(
      () => tell("Nobody can read it by a link any more."),
      failed,
    );

  /** @param {Pick<ConversationListed, "id" | "title">} conversation */
  const remove = async (conversation) => {
    try {
      await api(`conversations/${conversation.id}`, "DELETE");
    } catch (error) {
      return failed(error);
    }
    if (conversation.id === chosen) choose("");
    refresh();
    const restore = () =>
      api(`conversations/${conversation.id}/restore`, "POST").then(() => {
        tell("");
        refresh();
      }, failed);
    tell(`Deleted “${titleOf(conversation)}”.`, restore);
  };

  /**
   * @param {ConversationListed} conversation
   * @param {HTMLElement} title
   */
  const rename = (conversation, title) => {
    const input = titleInput(conversation.title, "chatlab-rename", LONGEST_TITLE, (wanted) => {
      input.replaceWith(title);
      if (wanted && wanted !== conversation.title) change(conversation, { title: wanted });
    });
    title.replaceWith(input);
    input.focus();
    input.select();
  };

  /**
   * @param {ConversationListed[]} found
   * @param {boolean} more
   */
  const show = (found, more) => {
    if (!more) list.replaceChildren();
    end.remove();
    const searched = search.value.trim() !== "";
    for (const conversation of found) {
      const name = searched ? "Found" : groupOf(conversation);
      if (list.dataset.last !== name || !list.children.length) {
        list.append(make("div", { className: "chatlab-day" }, name));
      }
      list.dataset.last = name;
      list.append(row(conversation));
    }
    if (!list.children.length) {
      const none = searched ? "Nothing found." : "No conversations yet.";
      list.append(make("div", { className: "chatlab-none", role: "listitem" }, none));
    }
    if (next) list.append(end);
  };

  let later = 0;
  const isInUse = () => list.querySelector(".chatlab-rename, details[open]"); // not under somebody's hand

  /** @param {boolean} more */
  const load = async (more) => {
    if (more && (loading || !next)) return;
    loading = true;
    asked += 1;
    const mine = asked;
    const words = search.value.trim();
    const query = new URLSearchParams(words ? { q: words } : more && next ? { after: next } : {});
    try {
      /** @type {ConversationList} */
      const found = await api(`conversations?${query}`);
      if (mine !== asked) return; // a later question has been asked
      if (!more && isInUse()) {
        later = setTimeout(refresh, 1000);
        return;
      }
      next = found.next;
      show(found.conversations, more);
    } catch (error) {
      failed(error);
    } finally {
      loading = false;
    }
  };
  const refresh = () => {
    clearTimeout(later);
    if (isInUse()) later = setTimeout(refresh, 1000);
    else load(false);
  };

  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(refresh, 150);
  });
  const seen = new IntersectionObserver(
    (entries) => {
      if (entries.some((one) => one.isIntersecting)) load(true);
    },
    { rootMargin: "200px" },
  );
  seen.observe(end);

  /**
   * @param {string} id
   * @param {string} turn
   */
  const choose = (id, turn = "") => {
    mark(id);
    open(id, turn);
  };
  /** @param {string} id */
  const mark = (id) => {
    chosen = id;
    list.querySelectorAll("[aria-current]").forEach((other) => other.removeAttribute("aria-current"));
    /** @type {HTMLElement[]} */
    const rows = [...list.querySelectorAll(/** @type {"div"} */ (".chatlab-row"))];
    rows.find((one) => one.dataset.id === id)?.setAttribute("aria-current", "true");
  };
  // Gradio's own button, with the sign of a waste basket, would only empty the page.
  document.addEventListener(
    "click",
    (event) => {
      if (!chosen || !(event.target instanceof Element && event.target.closest(CLEAR))) return;
      event.preventDefault();
      event.stopPropagation();
      remove({ id: chosen, title: titles.get(chosen) ?? "" });
    },
    true,
  );
  refresh();
  return { refresh, mark };
}
const CLEAR = "#conversation .top-panel button:first-child";
