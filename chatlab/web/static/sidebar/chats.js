// The stored conversations in the sidebar.
/** @import { ConversationChange, ConversationList, ConversationListed, ShareLink } from "../server.d.ts" */
/** @import { Sidebar } from "./sidebar.js" */
import { button, make, say } from "../dom.js";
import { sharing as shareWith } from "../sharing.js";
import { editTitle } from "../title.js";
import { dayOf, listRow, pagedList } from "./list.js";

const LONGEST_TITLE = 200; // characters
/** @type {[format: string, text: string][]} */
export const FORMATS = [
  ["jsonl", "JSONL"],
  ["markdown", "Markdown"],
  ["html", "HTML"],
];

/** @param {Pick<ConversationListed, "title">} conversation */
const titleOf = (conversation) => conversation.title || say("both.untitled");

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
 * @param {HTMLElement} list
 * @param {HTMLInputElement} search what is looked for
 * @param {Sidebar} sidebar
 */
export const chats = (list, search, sidebar) => {
  const { root, api, sharing, signedIn, tell, failed, changed, removed, download, open } = sidebar;
  /** @type {Map<string, string>} */
  const titles = new Map();
  const isSearched = () => search.value.trim() !== "";

  /**
   * @param {ConversationListed} conversation
   * @returns {HTMLElement}
   */
  const row = (conversation) => {
    titles.set(conversation.id, conversation.title);
    return listRow({
      id: conversation.id,
      name: titleOf(conversation),
      open: () => choose(conversation.id, conversation.turn ?? ""),
      actions: (title) => actions(conversation, title),
      found: conversation.snippet ? snippet(conversation.snippet) : null,
    });
  };

  /**
   * @param {ConversationListed} conversation
   * @param {HTMLElement} title
   */
  const actions = (conversation, title) => {
    const { id, pinned } = conversation;
    return [
      button(say("sidebar.rename"), () => rename(conversation, title)),
      button(say(pinned ? "sidebar.unpin" : "sidebar.pin"), () => change(conversation, { pinned: !pinned })),
      ...FORMATS.map(([format, text]) =>
        button(say("sidebar.export", { format: text }), () =>
          download(`conversations/${id}/export?format=${format}`),
        ),
      ),
      ...(sharing ? links(conversation) : []),
      button(say("both.delete"), () => remove(conversation)),
    ];
  };

  /**
   * @param {ConversationListed} conversation
   * @param {ConversationChange} what
   */
  const change = (conversation, what) =>
    api(`conversations/${conversation.id}`, "PATCH", what).then(changed, failed);

  /** @param {ConversationListed} conversation */
  const links = (conversation) =>
    signedIn
      ? [button(say("sidebar.links"), () => chooseWhom(conversation))]
      : [
          button(say("sidebar.share"), () => share(conversation)),
          button(say("sidebar.end-links"), () => endLinks(conversation)),
        ];

  /** @param {ConversationListed} conversation */
  const chooseWhom = (conversation) =>
    shareWith({
      title: say("sidebar.share-title", { title: titleOf(conversation) }),
      about: "",
      ask: (method, body) => api(`conversations/${conversation.id}/shares`, method, body),
      addressOf: linkTo,
    }).catch(failed);

  /** @param {string} token */
  const linkTo = (token) => `${root}/-/shared/${token}`;

  /** @param {ConversationListed} conversation */
  const share = async (conversation) => {
    try {
      /** @type {ShareLink} */
      const { token } = await api(`conversations/${conversation.id}/shares`, "POST");
      const link = new URL(linkTo(token), location.href).href;
      const copied = await navigator.clipboard?.writeText(link).then(
        () => true,
        () => false,
      );
      tell(say(copied ? "sidebar.copied" : "sidebar.link", { link }));
    } catch (error) {
      failed(error);
    }
  };

  /** @param {ConversationListed} conversation */
  const endLinks = (conversation) =>
    api(`conversations/${conversation.id}/shares`, "DELETE").then(
      () => tell(say("sidebar.links-ended")),
      failed,
    );

  /** @param {Pick<ConversationListed, "id" | "title">} conversation */
  const remove = (conversation) =>
    removed(`conversations/${conversation.id}`, titleOf(conversation), () => {
      if (conversation.id === listed.chosen()) choose("");
    });

  /**
   * @param {ConversationListed} conversation
   * @param {HTMLElement} shown
   */
  const rename = (conversation, shown) =>
    editTitle(shown, {
      title: conversation.title,
      className: "chatlab-rename",
      longest: LONGEST_TITLE,
      save: (title) => change(conversation, { title }),
    });

  const listed = pagedList(
    list,
    {
      ask: async (after) => {
        const words = search.value.trim();
        const query = new URLSearchParams(words ? { q: words } : after ? { after } : {});
        /** @type {ConversationList} */
        const found = await api(`conversations?${query}`);
        return { items: found.conversations, next: found.next };
      },
      row,
      group: ({ pinned, updated }) =>
        isSearched() ? say("sidebar.found") : pinned ? say("sidebar.pinned") : dayOf(updated),
      none: () => say(isSearched() ? "sidebar.nothing-found" : "sidebar.none-yet"),
    },
    tell,
  );

  /**
   * @param {string} id
   * @param {string} turn
   */
  const choose = (id, turn = "") => {
    listed.mark(id);
    open(id, turn);
  };
  // Gradio's own button, with the sign of a waste basket, would only empty the page.
  document.addEventListener(
    "click",
    (event) => {
      const chosen = listed.chosen();
      if (!chosen || !(event.target instanceof Element && event.target.closest(CLEAR))) return;
      event.preventDefault();
      event.stopPropagation();
      remove({ id: chosen, title: titles.get(chosen) ?? "" });
    },
    true,
  );
  return { ...listed, choose };
};
const CLEAR = "#conversation .top-panel button:first-child";
