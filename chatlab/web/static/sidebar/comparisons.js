// The comparison sessions in the sidebar.
/** @import { SessionList, SessionListed } from "../server.d.ts" */
/** @import { Sidebar } from "./sidebar.js" */
import { button, make, menu, say } from "../dom.js";
import { titleInput } from "../title.js";
import { dayOf, pagedList } from "./list.js";

const LONGEST_TITLE = 80; // characters

/**
 * @param {HTMLElement} list
 * @param {Sidebar} sidebar
 */
export const comparisons = (list, { api, tell, failed, openComparison }) => {
  /** @param {SessionListed} session */
  const row = (session) => {
    const made = make("div", { className: "chatlab-row", role: "listitem", "data-id": session.id });
    const name = session.title || say("both.untitled");
    const open = () => openComparison(session.id);
    const title = button(name, open, { className: "chatlab-title", title: name, dir: "auto" });
    const items = [
      button(say("sidebar.rename"), () => rename(session, title)),
      button(say("both.delete"), () => remove(session)),
    ];
    made.append(title, menu(say("sidebar.more", { title: name }), "⋯", ...items));
    return made;
  };

  /**
   * @param {SessionListed} session
   * @param {HTMLElement} title
   */
  const rename = (session, title) => {
    const input = titleInput(session.title, "chatlab-rename", LONGEST_TITLE, (wanted) => {
      input.replaceWith(title);
      if (!wanted || wanted === session.title) return;
      api(`compare/sessions/${session.id}/title`, "POST", { title: wanted }).then(listed.refresh, failed);
    });
    title.replaceWith(input);
    input.focus();
    input.select();
  };

  /** @param {SessionListed} session */
  const remove = async (session) => {
    const path = `compare/sessions/${session.id}`;
    try {
      await api(path, "DELETE");
    } catch (error) {
      return failed(error);
    }
    if (session.id === listed.chosen()) openComparison("");
    listed.refresh();
    tell(say("sidebar.deleted", { title: session.title || say("both.untitled") }), () =>
      api(`${path}/restore`, "POST", {}).then(() => {
        tell("");
        listed.refresh();
      }, failed),
    );
  };

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
    const shown = list.querySelector(`.chatlab-row[data-id="${CSS.escape(id)}"] .chatlab-title`);
    if (shown) shown.textContent = title || say("both.untitled");
  };
  return { ...listed, retitle };
};
