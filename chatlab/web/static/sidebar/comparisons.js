// The comparison sessions in the sidebar.
/** @import { SessionList, SessionListed } from "../server.d.ts" */
/** @import { Sidebar } from "./sidebar.js" */
import { button, say } from "../dom.js";
import { editTitle } from "../title.js";
import { dayOf, listRow, pagedList } from "./list.js";

const LONGEST_TITLE = 80; // characters

/**
 * @param {HTMLElement} list
 * @param {Sidebar} sidebar
 */
export const comparisons = (list, { api, tell, failed, changed, removed, openComparison }) => {
  /** @type {Map<string, SessionListed>} */
  const known = new Map();
  /** @param {SessionListed} session */
  const titleOf = (session) => session.title || say("both.untitled");

  /**
   * @param {SessionListed} session
   * @returns {HTMLElement}
   */
  const row = (session) => {
    known.set(session.id, session);
    return listRow({
      id: session.id,
      name: titleOf(session),
      open: () => openComparison(session.id),
      actions: (title) => [
        button(say("sidebar.rename"), () => rename(session, title)),
        button(say("both.delete"), () => remove(session)),
      ],
    });
  };

  /**
   * @param {SessionListed} session
   * @param {HTMLElement} shown
   */
  const rename = (session, shown) =>
    editTitle(shown, {
      title: session.title,
      className: "chatlab-rename",
      longest: LONGEST_TITLE,
      save: (title) => api(`compare/sessions/${session.id}/title`, "POST", { title }).then(changed, failed),
    });

  /** @param {SessionListed} session */
  const remove = (session) =>
    removed(`compare/sessions/${session.id}`, titleOf(session), () => {
      if (session.id === listed.chosen()) openComparison("");
    });

  const listed = pagedList(
    list,
    {
      ask: async (after) => {
        /** @type {SessionList} */
        const found = await api(`compare/sessions?${new URLSearchParams(after ? { after } : {})}`);
        return { items: found.sessions, next: found.next };
      },
      row,
      group: (session) => dayOf(session.updated),
      none: () => say("sidebar.no-comparisons"),
    },
    tell,
  );
  /**
   * A session is called otherwise from now on: pages are told before it is stored.
   *
   * @param {string} id
   * @param {string} title
   */
  const retitle = (id, title) => {
    const session = known.get(id);
    if (!session || session.title === title) return;
    session.title = title;
    list.querySelector(`.chatlab-row[data-id="${CSS.escape(id)}"]`)?.replaceWith(row(session));
    listed.mark(listed.chosen());
  };
  return { ...listed, retitle, changed };
};
