// Stored conversations on the chat page: the sidebar, the page's address, and the controls under an answer.
import { button, make, say } from "../dom.js";
import { openMenu } from "./backends.js";
import { isOurs, isPending, put, removeStaleRows, valueOf } from "./marks.js";
import { person } from "./person.js";
import { OtherTabs } from "./other_tabs.js";
import { isClosed, storeClosed } from "../sidebar/closed.js";
import { sidebar } from "../sidebar/sidebar.js";

const NARROW = 768; // pixels of width below which the sidebar is folded away
const isNarrow = () => window.innerWidth < NARROW;
const AGAIN = 1000; // milliseconds after which an answer that runs may be asked for once more
const PAINTED = 1000; // milliseconds in which a conversation that was answered should be painted
const SETTLED = 100; // milliseconds in which changes of the page are looked at together

/**
 * What the server is asked: "select" shows a conversation or a branch, "submit" answers a message anew,
 * "play" shows an answer that runs as it grows.
 *
 * @typedef {(event: "select" | "submit" | "play", what: Record<string, string>) => void} Ask
 */

/** The conversation that the page's address names, "" for a new one. */
const addressed = () => new URLSearchParams(location.search).get("c") || "";

const MESSAGES = "[data-testid=user], [data-testid=bot]";

/** Whether something that was asked to be shown is not answered yet. */
const isOpening = () => Boolean(window.chatlabOpening);

/** Whether an answer is painted, or a message edited: what is painted anew would be in the way. */
const isBusy = () => Boolean(document.querySelector("#message .stop-button, #conversation textarea"));

// A message is edited without the lines that show its attachments: they stay.
const ATTACHED = /^(?:!?\[[^\]\n]*\]\(-\/files\/[0-9a-f]{64}\)\n\n)+/;

/** @param {Element} page */
const leaveAttachmentsOut = (page) =>
  page.querySelectorAll("textarea").forEach((box) => {
    const bare = box.value.replace(ATTACHED, "");
    if (bare === box.value) return;
    box.value = bare;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  });

/**
 * @param {string} text
 * @param {string} label
 * @param {() => void} act
 * @param {boolean} disabled
 */
const icon = (text, label, act, disabled) =>
  button(text, act, { "aria-label": label, title: label, disabled });

/** What the page's scripts do with stored conversations. */
class Conversations {
  /**
   * @param {HTMLElement} element where the sidebar is
   * @param {string} root where the app is mounted
   * @param {boolean} sharing
   * @param {boolean} signedIn
   * @param {Ask} ask
   * @param {string} asked what was asked for before this was there
   */
  constructor(element, root, sharing, signedIn, ask, asked) {
    this.ask = ask;
    this.root = root;
    this.panel = element.closest(".sidebar");
    this.asked = 0; // what is asked first may be answered last: the numbers say what was asked last
    this.sought = ""; // a turn that a search found, to be scrolled to once it is there
    this.shown = asked;
    /** @type {string | null} */
    this.awaited = asked || null; // a conversation that was asked for and is not painted yet
    /** @type {Set<string>} */
    this.left = new Set(); // those that may be painted until then
    this.repeated = false;
    this.filled = false;
    this.known = "";
    this.patience = 0;
    this.followed = 0;
    const list = /** @type {HTMLElement} */ (element.querySelector(".chatlab-conversations"));
    this.list = sidebar(list, {
      root,
      sharing,
      signedIn,
      open: (conversation, turn) => {
        this.sought = turn;
        this.turnTo(conversation);
        this.show({ conversation, turn });
        if (isNarrow()) this.fold();
      },
      openComparison: (session) => {
        const query = session ? `?${new URLSearchParams({ s: session })}` : "";
        location.assign(`${root}/compare${query}`);
      },
      first: "chats",
    }).chats;
    if (signedIn) list.append(person(root));
    this.lastTurn = "";
    this.tabs = new OtherTabs(root, {
      shown: () => this.shown,
      busy: () => isOpening() || this.awaited !== null || isBusy(),
      ask: () => this.show({ newest: "1" }),
    });
    window.addEventListener("popstate", () => this.turnToAddressed());
    window.addEventListener("chatlab-opened", () => this.answered());
    this.toggle = /** @type {HTMLElement | null | undefined} */ (this.panel?.querySelector(".toggle-button"));
    this.toggle?.addEventListener("click", () =>
      setTimeout(() => isNarrow() || storeClosed(!this.panel?.classList.contains("open"))),
    );
    if (isNarrow() || isClosed()) this.fold();
    this.list.mark(this.shown);
    this.answered();
    this.turnToAddressed();
  }

  /** @param {Record<string, string>} what */
  show(what) {
    this.asked += 1;
    window.chatlabOpening = (window.chatlabOpening ?? 0) + 1;
    this.ask("select", { ...what, number: String(this.asked) });
  }

  fold() {
    if (this.panel?.classList.contains("open")) this.toggle?.click();
  }

  /**
   * What stands under an answer: the arrows between its versions, "Answer with…" and "Compare with…".
   *
   * @param {Element} mark
   */
  controls(mark) {
    const turn = valueOf(mark, "turn");
    const at = Number(valueOf(mark, "version"));
    const of = Number(valueOf(mark, "of"));
    /** @param {number} by */
    const step = (by) => () => this.show({ turn, step: String(by) });
    const title = say("chat.answer-with-title");
    /** @param {string} backend */
    const answer = (backend) => this.ask("submit", { turn, backend });
    const again = button(
      say("chat.answer-with"),
      () => openMenu(again, say("chat.answer-with-label"), answer),
      {
        className: "chatlab-again",
        title,
        "aria-haspopup": "dialog",
      },
    );
    const where = new URLSearchParams({ c: valueOf(mark, "in"), t: turn });
    const compare = make(
      "a",
      { href: `${this.root}/compare?${where}`, className: "chatlab-again" },
      say("chat.compare-with"),
    );
    compare.title = say("chat.compare-with-title");
    if (of <= 1) return [again, compare];
    return [
      icon("‹", say("chat.previous-version"), step(-1), at === 1),
      make("span", { className: "chatlab-of" }, `${at}/${of}`),
      icon("›", say("chat.next-version"), step(1), at === of),
      again,
      compare,
    ];
  }

  /**
   * The person goes to a conversation, or to a new one: Back leads to where they were.
   *
   * @param {string} conversation
   */
  turnTo(conversation) {
    window.dispatchEvent(new Event("chatlab-open"));
    this.left.add(this.shown);
    this.awaited = conversation;
    this.repeated = false;
    clearTimeout(this.patience);
    this.go(conversation);
  }

  /** Back and Forward lead to what the page's address names. */
  turnToAddressed() {
    const conversation = addressed();
    if (conversation === this.shown) return;
    this.turnTo(conversation);
    this.show({ conversation });
  }

  /** What was asked to be shown was answered: it is painted, or will be at once. */
  answered() {
    clearTimeout(this.patience);
    if (isOpening()) return;
    this.patience = setTimeout(() => this.askOnce(), PAINTED);
    this.look();
  }

  /** What was left is still painted if its answer came after that of what was asked for later. */
  askOnce() {
    if (this.awaited === null) return;
    const page = document.querySelector("#conversation");
    const last = page && [...page.querySelectorAll(".chatlab-at")].filter(isOurs).at(-1);
    const isLeft = last ? this.left.has(valueOf(last, "in")) : !page?.querySelector(MESSAGES);
    if (isLeft && !this.repeated) {
      this.repeated = true;
      this.show({ conversation: this.awaited, turn: this.sought });
      return;
    }
    this.awaited = null;
    this.look();
  }

  /**
   * Says in the page's address and in the sidebar which conversation is shown. Back leads to the one before,
   * or to the empty page on which this one began.
   *
   * @param {string} conversation
   */
  go(conversation) {
    if (conversation === this.shown) return;
    this.shown = conversation;
    this.list.mark(conversation);
    if (conversation === addressed()) return;
    const url = new URL(location.href);
    url.searchParams.delete("t");
    if (conversation) url.searchParams.set("c", conversation);
    else url.searchParams.delete("c");
    history.pushState(history.state, "", url);
  }

  /** Brings the page's controls in line with the messages that Gradio shows. */
  look() {
    const page = document.querySelector("#conversation");
    if (!page) return;
    const marks = [...page.querySelectorAll(".chatlab-at")].filter(isOurs);
    removeStaleRows(page);
    const settled = marks.filter((mark) => !isPending(mark));
    settled.forEach((mark) => put(mark, () => this.controls(mark)));
    this.drawWindow(page);
    leaveAttachmentsOut(page);
    this.scrollToFound(page, settled);
    this.lookAtLast(page, marks.at(-1));
    const now = marks.map((mark) => mark.className).join("\n");
    if (now === this.known) return;
    this.known = now;
    this.list.refresh();
  }

  /**
   * The buttons around a part of a long conversation.
   *
   * @param {Element} page
   */
  drawWindow(page) {
    /**
     * @param {string} text
     * @param {string} part
     */
    const to = (text, part) =>
      button(text, () => {
        if (part === "newest") window.dispatchEvent(new Event("chatlab-open"));
        this.show({ part });
      });
    const more = [...page.querySelectorAll(".chatlab-more")].filter(isOurs);
    more.forEach((mark) => put(mark, () => [to(say("chat.show-earlier"), "earlier")]));
    const later = [...page.querySelectorAll(".chatlab-later")].filter(isOurs);
    later.forEach((mark) =>
      put(mark, () => [to(say("chat.show-later"), "later"), to(say("chat.newest"), "newest")]),
    );
    document.body.classList.toggle("chatlab-part", later.length > 0);
  }

  /**
   * @param {Element} page
   * @param {Element[]} settled
   */
  scrollToFound(page, settled) {
    const turn = this.sought;
    if (!turn || !settled.some((mark) => valueOf(mark, "turn") === turn)) return;
    this.sought = "";
    // After Gradio's own scrolling, and where the turn is by then: what is found now may be painted anew.
    setTimeout(() => {
      const found = [...page.querySelectorAll(".chatlab-at")].find((mark) => valueOf(mark, "turn") === turn);
      found?.closest(".thought-group")?.scrollIntoView({ block: "center" });
    }, 400);
  }

  /**
   * @param {Element} page
   * @param {Element | undefined} last
   */
  lookAtLast(page, last) {
    const empty = !page.querySelector(MESSAGES);
    const painted = last ? valueOf(last, "in") : "";
    // A message may have been sent in a new one before it was looked at: then that one's is painted.
    const isLeft = painted !== this.awaited && (!painted || this.left.has(painted));
    if (!isOpening() && !isLeft) {
      this.awaited = null;
      this.left.clear();
    }
    if (this.awaited === null && last) this.go(painted);
    else if (this.awaited === null && empty && this.filled) this.go("");
    this.filled = !empty;
    this.follow(last);
    this.tellOthers(last);
  }

  /**
   * Other tabs learn that there may be a new message; what they did meanwhile is shown once nothing runs
   * here.
   *
   * @param {Element | undefined} last
   */
  tellOthers(last) {
    const turn = last ? valueOf(last, "turn") : "";
    if (turn && turn !== this.lastTurn) this.tabs.tell(this.shown);
    this.lastTurn = turn;
    this.tabs.look();
  }

  /**
   * The page has come back to an answer that runs: nobody paints it, so the message box has no stop button.
   *
   * @param {Element | undefined} last
   */
  follow(last) {
    if (!last || !isPending(last) || document.querySelector("#message .stop-button")) return;
    const now = Date.now();
    if (now - this.followed < AGAIN) {
      setTimeout(() => this.look(), AGAIN);
      return;
    }
    this.followed = now;
    this.ask("play", {});
  }
}

/**
 * @param {HTMLElement} element the sidebar's element of the page
 * @param {{ root: string, sharing: boolean, signedIn: boolean, ask: Ask, asked: string }} options root: where
 *   the app is mounted; signedIn: whether people sign in; asked: the conversation that was asked for already
 */
export function conversations(element, { root, sharing, signedIn, ask, asked }) {
  if (!document.querySelector("link[data-chatlab]")) {
    for (const file of ["sidebar/sidebar.css", "chat/branches.css"]) {
      const { href } = new URL(`../${file}`, import.meta.url);
      document.head.append(make("link", { rel: "stylesheet", href, "data-chatlab": "" }));
    }
  }
  const page = new Conversations(element, root, sharing, signedIn, ask, asked);
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      page.look();
    }, SETTLED);
  }).observe(document.body, { childList: true, subtree: true });
  page.look();
}
