// Where the conversation is scrolled to: at its end as long as it was there, so that an answer grows in
// sight, and otherwise where the person scrolled to, whatever arrives. Sending goes to the new message. Runs
// in the page's head; Gradio's own scrolling is off: it waits, then goes to the end wherever one is.

const NEAR = 24; // pixels from the end that still are the end, for whoever scrolls down
const EDGE = 1; // pixels from the end that are the end anyway: sizes are rounded
const TURNED = 250; // milliseconds in which a wheel that turned up, or a finger, moves the conversation

/** @returns {HTMLElement | null} */
const scrolled = () => document.querySelector("#conversation [role=log]");

/** @param {HTMLElement} log */
const fromEnd = (log) => log.scrollHeight - log.clientHeight - log.scrollTop;

let atEnd = true; // whether the end stays in sight
let sending = false; // whether what was just sent is still to appear
let top = 0; // where it was scrolled to, and how high it was
let height = 0;
let newest = "";
let turned = -TURNED; // when a wheel last turned up, or a finger let go; Infinity while it is there

/** @param {HTMLElement} log */
const remember = (log) => {
  top = log.scrollTop;
  height = log.scrollHeight;
};

// What is scrolled up is seen before its event is told, and what merely became shorter is not scrolled. A
// finger moves by a few pixels at a time: the least of them is up, and only who goes down comes to the end.
/** @param {HTMLElement} log */
const see = (log) => {
  const left = fromEnd(log);
  if (log.scrollTop < top && log.scrollHeight >= height) atEnd = false;
  else if (log.scrollTop > top ? left <= NEAR : left <= EDGE && performance.now() - turned > TURNED)
    atEnd = !log.closest(".chatlab-not-followed");
};

/** @param {HTMLElement} log */
const keepUp = (log) => {
  const said = log.querySelectorAll("[data-testid=user]");
  const last = `${said.length} ${said[said.length - 1]?.textContent}`;
  if (last !== newest && sending) {
    atEnd = true;
    sending = false;
  } else see(log);
  newest = last;
  if (atEnd) log.scrollTop = log.scrollHeight;
  if (log.closest(".chatlab-not-followed")) atEnd = false; // a message that was sent is gone to, once
  remember(log);
};

/** @type {HTMLElement | null} */
let watched = null;
const sizes = new ResizeObserver(() => {
  if (watched) keepUp(watched);
});

// Once before the page is painted, however much came: where it is scrolled to has all of it laid out.
let changed = false;
const keepUpOnce = () => {
  changed = false;
  if (watched) keepUp(watched);
};

/** @param {HTMLElement} log */
const watch = (log) => {
  sizes.disconnect();
  watched = log;
  sizes.observe(log);
  log.addEventListener(
    "scroll",
    () => {
      see(log);
      remember(log);
    },
    { passive: true },
  );
  const turn = (/** @type {WheelEvent} */ { deltaY }) => {
    if (deltaY >= 0) return;
    atEnd = false; // it may move only later
    turned = performance.now();
  };
  log.addEventListener("wheel", turn, { passive: true });
  const touch = (/** @type {TouchEvent} */ { target }) => {
    turned = Infinity;
    const letGo = () => {
      turned = performance.now();
    };
    // What is touched may be painted anew meanwhile: its own events come all the same.
    for (const type of ["touchend", "touchcancel"]) target?.addEventListener(type, letGo, { once: true });
  };
  log.addEventListener("touchstart", touch, { passive: true });
  new MutationObserver(() => {
    if (!changed) requestAnimationFrame(keepUpOnce);
    changed = true;
  }).observe(log, {
    childList: true,
    subtree: true,
    characterData: true,
  });
  log.addEventListener("load", () => keepUp(log), true); // pictures
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
    if (event.target.closest("#conversation .scroll-down-button-container")) atEnd = true;
    else if (event.target.closest("#message .submit-button")) sending ||= written();
    else if (event.target.closest("#conversation .message-buttons, #conversation .example")) sending = true;
  },
  true,
);

// Another conversation is opened: at its end.
window.addEventListener("chatlab-open", () => {
  sending = true;
});
