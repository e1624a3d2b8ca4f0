// Says when the server is away, and goes on by itself once it is back. What is written and not sent stays
// through a reload, be it the person's or Gradio's own, in the conversation that it belongs to. Runs in the
// page's head.
//
// Gradio's page holds a connection open for as long as it is there; when that ends, the server is away, or
// something on the way to it. The browser reports the end of it, so nothing is asked while it lasts.
import { sayStatus } from "./status.js";

const SOON = 300; // milliseconds after which another server, or this one, is asked
const AGAIN = 2000; // milliseconds after which a server that is away is asked again, at most
const WRITTEN = "chatlab-written";
const RECONNECTED = "chatlab-reconnected";
const SAID = 4000; // milliseconds for which it is said that the page is connected again

let leaving = false; // the page itself ends its connections
let away = false;

/** @returns {HTMLTextAreaElement | null} */
const messageBox = () => document.querySelector("#message textarea");

/**
 * What was sent and has no answer that has an address yet: whether it is stored, nobody knows here.
 *
 * @returns {string}
 */
const unanswered = () => {
  const asked = [...document.querySelectorAll("#conversation [data-testid=user]")].at(-1);
  const marks = [...document.querySelectorAll("#conversation .chatlab-at")];
  const answered = marks.some(
    (mark) => asked && asked.compareDocumentPosition(mark) & Node.DOCUMENT_POSITION_FOLLOWING,
  );
  return asked instanceof HTMLElement && !answered ? asked.innerText.trim() : "";
};

/** @param {string} words */
const saySo = (words) => sayStatus("chatlab-away", chatlabWords[words] ?? "");

/** @param {string} heartbeat the address of the connection that is lost */
const sayAway = (heartbeat) => {
  if (away || leaving) return;
  away = true;
  saySo("chat.away");
  /** @param {number} wait milliseconds that were waited, the next time twice as long */
  const look = async (wait) => {
    if (leaving) return;
    if (await isThere(heartbeat)) {
      sessionStorage.setItem(RECONNECTED, "1");
      location.reload();
    } else setTimeout(look, Math.min(2 * wait, AGAIN), Math.min(2 * wait, AGAIN));
  };
  setTimeout(look, SOON, SOON); // one that is ending answers nobody new
};

/** @param {string} heartbeat */
const isThere = (heartbeat) =>
  fetch(heartbeat.replace(/heartbeat\/.*/, "app_id")).then(
    (reply) => reply.ok,
    () => false,
  );

new PerformanceObserver((list) => {
  const ended = list.getEntries().find(({ name }) => /\/gradio_api\/heartbeat\//.test(name));
  if (ended) sayAway(ended.name);
}).observe({ type: "resource", buffered: true });

/** The conversation that is shown: what is written belongs to one. */
const shown = () => new URLSearchParams(location.search).get("c") ?? "";

const store = () => {
  leaving = true;
  const text = messageBox()?.value || (away ? unanswered() : "");
  try {
    if (text) sessionStorage.setItem(WRITTEN, JSON.stringify({ conversation: shown(), text }));
    else sessionStorage.removeItem(WRITTEN);
  } catch {
    // a browser that stores nothing
  }
};
window.addEventListener("pagehide", store);
window.addEventListener("beforeunload", store);
window.addEventListener("pageshow", ({ persisted }) => {
  leaving = false;
  if (persisted) location.reload(); // its connections ended when it was left
});

/** @returns {string} */
const stored = () => {
  try {
    const { conversation, text } = JSON.parse(sessionStorage.getItem(WRITTEN) ?? "{}");
    sessionStorage.removeItem(WRITTEN);
    return conversation === shown() ? text : "";
  } catch {
    return "";
  }
};

const written = stored();
if (written) {
  // Gradio's page empties its box more than once while it is set up.
  const restoring = setInterval(() => {
    const box = messageBox();
    if (!box?.placeholder || box.value) return;
    box.value = written;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    setTimeout(settled, 3000);
  }, 50);
  const settled = () => clearInterval(restoring);
  for (const used of ["keydown", "pointerdown", "paste"]) window.addEventListener(used, settled, true);
}

if (sessionStorage.getItem(RECONNECTED)) {
  sessionStorage.removeItem(RECONNECTED);
  const saying = setInterval(() => {
    if (!messageBox()?.placeholder) return;
    clearInterval(saying);
    const said = saySo("chat.reconnected");
    setTimeout(() => said.remove(), SAID);
  }, 50);
}
