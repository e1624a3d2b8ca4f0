// A list that is asked for page by page as one scrolls, and drawn anew when something in it has changed.
/** @import { Child } from "../dom.js" */
import { button, make, menu, say, sentence } from "../dom.js";

const DAY = 86_400_000; // milliseconds
const AGAIN = 1000; // milliseconds after which a list that is in somebody's hand is looked at again

/**
 * The heading under which something stands that was changed then.
 *
 * @param {string} updated by ISO 8601
 */
export const dayOf = (updated) => {
  const today = new Date().setHours(0, 0, 0, 0);
  const then = new Date(updated);
  const days = Math.ceil((today - then.getTime()) / DAY);
  if (days <= 0) return say("sidebar.today");
  if (days === 1) return say("sidebar.yesterday");
  if (days <= 7) return say("sidebar.last-7");
  if (days <= 30) return say("sidebar.last-30");
  return then.toLocaleDateString(document.documentElement.lang, { month: "long", year: "numeric" });
};

/**
 * A row of a list: its title, which opens what it stands for, and a menu.
 *
 * @param {{
 *   id: string,
 *   name: string,
 *   open: () => void,
 *   actions: (title: HTMLElement) => Child[],
 *   found?: Node | null,
 * }} options actions: the buttons of the menu; found: what is shown below the name
 */
export const listRow = ({ id, name, open, actions, found = null }) => {
  const attributes = { className: "chatlab-title", "aria-label": name, title: name, dir: "auto" };
  const title = button(name, open, attributes);
  if (found) title.append(found);
  const more = menu(say("sidebar.more", { title: name }), "⋯", ...actions(title));
  return make("div", { className: "chatlab-row", role: "listitem", "data-id": id }, title, more);
};

/**
 * What is listed. ask: returns a page of items, and what the next one is asked for by; group: the heading
 * that an item stands under; none: what is said where there is nothing.
 *
 * @template T
 * @typedef {{
 *   ask: (after: string | null) => Promise<{ items: T[], next: string | null }>,
 *   row: (item: T) => HTMLElement,
 *   group: (item: T) => string,
 *   none: () => string,
 * }} Source
 */

/**
 * @template T
 * @param {HTMLElement} list
 * @param {Source<T>} source
 * @param {(text: string) => void} tell
 */
export const pagedList = (list, source, tell) => {
  const end = make("div", { className: "chatlab-end" });
  /** @type {string | null} */
  let next = null;
  let asked = 0; // what is asked first may be answered last: the numbers say what was asked last
  let loading = false;
  let later = 0;
  let chosen = "";
  // Not under somebody's hand.
  const isInUse = () => list.querySelector(".chatlab-rename, details[open], :active");

  /**
   * @param {T[]} found
   * @param {boolean} more
   */
  const show = (found, more) => {
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    const focusedRow = focused?.closest(".chatlab-row")?.getAttribute("data-id");
    if (!more) list.replaceChildren();
    end.remove();
    for (const item of found) {
      const name = source.group(item);
      if (list.dataset.last !== name || !list.children.length) {
        list.append(make("div", { className: "chatlab-day" }, name));
      }
      list.dataset.last = name;
      list.append(source.row(item));
    }
    if (!list.children.length) {
      list.append(make("div", { className: "chatlab-none", role: "listitem" }, source.none()));
    }
    if (next) {
      list.append(end);
      // Seen once more, if it still is: it is not told of what stays in sight while the list is drawn anew.
      seen.unobserve(end);
      seen.observe(end);
    }
    mark(chosen);
    if (focused && focusedRow && !focused.isConnected) refocus(focusedRow, focused.tagName);
  };

  /**
   * @param {string} id
   * @param {string} tag of what had the focus in the row: its title or its menu
   */
  const refocus = (id, tag) => {
    /** @type {HTMLElement | null} */
    const same = list.querySelector(`[data-id="${CSS.escape(id)}"] ${tag}`);
    same?.focus();
  };

  // As far as it was shown before, so that nobody who scrolled is taken back.
  const askAgain = async () => {
    const before = list.querySelectorAll(".chatlab-row").length;
    const found = await source.ask(null);
    while (found.next && found.items.length < before) {
      const { items, next: then } = await source.ask(found.next);
      found.items.push(...items);
      found.next = then;
    }
    return found;
  };

  /** @param {boolean} more */
  const load = async (more) => {
    if (more && (loading || !next)) return;
    loading = true;
    asked += 1;
    const mine = asked;
    try {
      const found = await (more ? source.ask(next) : askAgain());
      if (mine !== asked) return; // a later question has been asked
      if (!more && isInUse()) {
        later = setTimeout(refresh, AGAIN);
        return;
      }
      next = found.next;
      show(found.items, more);
    } catch (error) {
      tell(sentence(error));
    } finally {
      if (mine === asked) loading = false;
    }
  };
  const refresh = () => {
    clearTimeout(later);
    if (isInUse()) later = setTimeout(refresh, AGAIN);
    else load(false);
  };

  /**
   * Marks what is open on the page.
   *
   * @param {string} id
   */
  const mark = (id) => {
    chosen = id;
    /** @type {HTMLElement[]} */
    const rows = [...list.querySelectorAll(/** @type {"div"} */ (".chatlab-row"))];
    for (const row of rows) {
      if (row.dataset.id === id) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  };
  const seen = new IntersectionObserver(
    (entries) => {
      if (entries.some((one) => one.isIntersecting)) load(true);
    },
    { rootMargin: "200px" },
  );
  return { refresh, mark, chosen: () => chosen };
};
