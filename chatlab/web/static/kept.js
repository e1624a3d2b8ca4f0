// What the chat page's scripts do with conversations that are kept: the sidebar, the address, and the
// controls under an answer. `ask` is an event for the server: "select" shows, "submit" has answered anew,
// "play" shows an answer that runs as it grows.
import { button, make } from "./dom.js";
import { sidebar } from "./sidebar.js";

const NARROW = 768;
const AGAIN = 1000; // milliseconds after which an answer that runs may be asked for once more

export function kept(element, { root, sharing, ask }) {
  if (!document.querySelector("link[data-chatlab]")) {
    document.head.append(
      make("link", { rel: "stylesheet", href: `${root}/-/static/sidebar.css`, "data-chatlab": "" }),
    );
  }
  let asked = 0; // what is asked first may be answered last: the numbers say what was asked last
  const show = (what) => ask("select", { ...what, number: String(++asked) });
  let sought = ""; // a turn that a search found, to be scrolled to once it is there
  const panel = element.closest(".sidebar");
  const narrow = () => window.innerWidth < NARROW;
  const toggle = () => panel && panel.querySelector(".toggle-button");
  const fold = () => {
    if (narrow() && panel && panel.classList.contains("open")) toggle().click();
  };

  const list = sidebar(element.querySelector(".chatlab-conversations"), {
    root,
    sharing,
    open: (conversation, turn) => {
      sought = turn || "";
      show({ conversation: conversation || "", turn: turn || "" });
      fold();
    },
  });
  fold();

  // Only what chatlab itself painted counts: a line of figures stands in a title that is in no one's text.
  const ours = (mark) => {
    const group = mark.closest(".title")?.parentElement;
    return (
      Boolean(group?.matches("#conversation .thought-group")) &&
      !group.parentElement.closest(".md, .prose, .thought .md")
    );
  };
  const said = (mark, name) =>
    [...mark.classList].find((one) => one.startsWith(`chatlab-${name}-`))?.slice(name.length + 9) || "";

  const backend = () => document.querySelector("#backend input")?.value || "the chosen backend";
  const icon = (text, label, act, attributes = {}) =>
    button(text, act, { "aria-label": label, title: label, ...attributes });

  const controls = (mark) => {
    const turn = said(mark, "turn"),
      at = Number(said(mark, "version")),
      of = Number(said(mark, "of"));
    const step = (by) => show({ turn, step: String(by) });
    const again = button("Answer with…", () => ask("submit", { turn }), { className: "chatlab-again" });
    const name = () => {
      again.title = `Answer this message with ${backend()}, beside this answer`;
      again.setAttribute("aria-label", again.title);
    };
    name();
    again.addEventListener("pointerenter", name);
    again.addEventListener("focus", name);
    return [
      ...(of > 1
        ? [
            icon("‹", "Previous version", () => step(-1), { disabled: at === 1 }),
            make("span", { className: "chatlab-of" }, `${at}/${of}`),
            icon("›", "Next version", () => step(1), { disabled: at === of }),
          ]
        : []),
      again,
    ];
  };

  const put = (mark, made) => {
    const group = mark.closest(".thought-group");
    let row = group.querySelector(":scope > .chatlab-branch");
    if (row && row.dataset.for === mark.className) return;
    if (row) row.remove();
    row = make("div", { className: "chatlab-branch", "data-for": mark.className }, made());
    group.append(row);
  };

  let shown = new URLSearchParams(location.search).get("c") || "",
    filled = false,
    known = "",
    again = 0;
  const go = (conversation) => {
    if (conversation === shown) return;
    shown = conversation;
    const url = new URL(location.href);
    url.searchParams.delete("t");
    if (conversation) url.searchParams.set("c", conversation);
    else url.searchParams.delete("c");
    history.replaceState(history.state, "", url);
    list.mark(conversation);
  };
  const look = () => {
    const page = document.querySelector("#conversation");
    if (!page) return;
    const marks = [...page.querySelectorAll(".chatlab-at")].filter(ours);
    const settled = marks.filter((mark) => !mark.classList.contains("chatlab-pending"));
    // Gradio uses an element again for another message.
    page.querySelectorAll(".chatlab-branch").forEach((row) => {
      if (
        !row.parentElement.querySelector(
          ":scope > .title :is(.chatlab-at:not(.chatlab-pending), .chatlab-more, .chatlab-later)",
        )
      )
        row.remove();
    });
    settled.forEach((mark) => put(mark, () => controls(mark)));
    const part = (text, which) => button(text, () => show({ part: which }));
    const more = [...page.querySelectorAll(".chatlab-more")].filter(ours);
    more.forEach((mark) => put(mark, () => [part("Show earlier messages", "earlier")]));
    const later = [...page.querySelectorAll(".chatlab-later")].filter(ours);
    later.forEach((mark) =>
      put(mark, () => [part("Show later messages", "later"), part("Go to the newest", "newest")]),
    );
    document.body.classList.toggle("chatlab-part", later.length > 0);
    // A message is edited without the lines that show its attachments: they stay.
    page.querySelectorAll("textarea").forEach((box) => {
      const bare = box.value.replace(/^(?:!?\[[^\]\n]*\]\(-\/files\/[0-9a-f]{64}\)\n\n)+/, "");
      if (bare === box.value) return;
      box.value = bare;
      box.dispatchEvent(new Event("input", { bubbles: true }));
    });
    const found = sought && settled.find((mark) => said(mark, "turn") === sought);
    if (found) {
      const turn = sought;
      sought = "";
      // After Gradio's own scrolling, and where the turn is by then: what is found now may be painted anew.
      setTimeout(
        () =>
          [...page.querySelectorAll(".chatlab-at")]
            .find((mark) => said(mark, "turn") === turn)
            ?.closest(".thought-group")
            ?.scrollIntoView({ block: "center" }),
        400,
      );
    }
    const last = marks.at(-1);
    const empty = !page.querySelector("[data-testid=user], [data-testid=bot]");
    if (last) go(said(last, "in"));
    else if (empty && filled) go("");
    filled = !empty;
    follow(last);
    const now = marks.map((mark) => mark.className).join("\n");
    if (now !== known) {
      known = now;
      list.refresh();
      clearTimeout(again);
      if (last?.classList.contains("chatlab-running")) {
        // It runs in another tab, or its tab was just closed: what there is of it is asked for again.
        const poll = () => {
          if (said(last, "in") !== shown) return;
          show({ conversation: shown });
          again = setTimeout(poll, 2000);
        };
        again = setTimeout(poll, 2000);
      }
    }
  };
  // The page has come back to an answer that runs: nobody paints it, so the message box has no stop button.
  let followed = 0;
  const follow = (last) => {
    if (!last?.classList.contains("chatlab-pending") || document.querySelector("#message .stop-button"))
      return;
    const now = Date.now();
    if (now - followed < AGAIN) return void setTimeout(look, AGAIN);
    followed = now;
    ask("play", {});
  };
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      look();
    }, 100);
  }).observe(document.body, { childList: true, subtree: true });
  list.mark(shown);
  look();
}
