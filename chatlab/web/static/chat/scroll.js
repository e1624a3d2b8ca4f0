// Where the conversation is scrolled to: at its end as long as it was there, so that an answer grows in
// sight, and otherwise where the person scrolled to, whatever arrives. Sending goes to the new message. Runs
// in the page's head; Gradio's own scrolling is off: it waits, then goes to the end wherever one is.

import { Follower } from "../follow.js";

const NEAR = 24; // pixels from the end that still are the end, for whoever scrolls down

/** @returns {HTMLElement | null} */
const scrolled = () => document.querySelector("#conversation [role=log]");

let sending = false; // whether what was just sent is still to appear
let newest = "";

/** @type {HTMLElement | null} */
let watched = null;
/** @type {Follower | null} */
let follower = null;

// Once before the page is painted, however much came: where it is scrolled to has all of it laid out.
let changed = false;
const keepUp = () => {
  changed = false;
  if (!watched || !follower) return;
  const said = watched.querySelectorAll("[data-testid=user]");
  const last = `${said.length} ${said[said.length - 1]?.textContent}`;
  const leave = watched.closest(".chatlab-not-followed"); // a message that was sent is gone to, once
  if (!said.length && last !== newest) watched.scrollTop = 0; // it begins at its first line
  if (last !== newest && sending) {
    follower.atEnd = true;
    sending = false;
  } else {
    follower.see();
    if (leave) follower.atEnd = false;
  }
  newest = last;
  if (follower.atEnd && said.length) watched.scrollTop = watched.scrollHeight;
  if (leave) follower.atEnd = false;
  follower.remember();
};
const sizes = new ResizeObserver(keepUp);

/** @param {HTMLElement} log */
const watch = (log) => {
  sizes.disconnect();
  const atEnd = follower?.atEnd ?? true;
  watched = log;
  follower = new Follower(log, log, NEAR);
  follower.atEnd = atEnd;
  sizes.observe(log);
  new MutationObserver(() => {
    if (!changed) requestAnimationFrame(keepUp);
    changed = true;
  }).observe(log, {
    childList: true,
    subtree: true,
    characterData: true,
  });
  log.addEventListener("load", keepUp, true); // pictures
};

new MutationObserver(() => {
  const log = scrolled();
  if (log && log !== watched) watch(log);
}).observe(document.documentElement, { childList: true, subtree: true });

const written = () => {
  /** @type {HTMLTextAreaElement | null} */
  const box = document.querySelector("#message textarea");
  return Boolean(box?.value.trim() || document.querySelector("#message .thumbnail-item"));
};

document.addEventListener(
  "keydown",
  (event) => {
    if (event.key !== "Enter" || event.shiftKey || !(event.target instanceof Element)) return;
    if (
      event.target.matches("#message textarea") ? written() : event.target.matches("#conversation textarea")
    )
      sending = true;
  },
  true,
);

document.addEventListener(
  "click",
  (event) => {
    if (!(event.target instanceof Element)) return;
    if (event.target.closest("#conversation .scroll-down-button-container")) {
      if (follower) follower.atEnd = true;
    } else if (event.target.closest("#message .submit-button")) sending ||= written();
    else if (event.target.closest("#conversation .message-buttons, #conversation .example")) sending = true;
  },
  true,
);

// Another conversation is opened: at its end.
window.addEventListener("chatlab-open", () => {
  sending = true;
});
