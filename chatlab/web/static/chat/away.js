// Says when the server is away, and goes on by itself once it is back. What is written and not sent stays,
// also through a reload. Runs in the page's head.
//
// Gradio's page holds a connection open for as long as it is there; when that ends, the server is away, or
// something on the way to it. The browser reports the end of it, so nothing is asked while it lasts.

const AGAIN = 2000; // milliseconds after which a server that is away is asked again
const WRITTEN = "chatlab-written";

let leaving = false; // the page itself ends its connections
let away = false;

/** @returns {HTMLTextAreaElement | null} */
const messageBox = () => document.querySelector("#message textarea");

/** @param {string} heartbeat the address of the connection that is lost */
const sayAway = (heartbeat) => {
  if (away || leaving) return;
  away = true;
  const said = document.createElement("p");
  said.id = "chatlab-away";
  said.setAttribute("role", "status");
  said.textContent = chatlabWords["chat.away"] ?? "";
  const composer = messageBox()?.closest(".gr-group:has(> .gr-group)");
  if (composer) composer.before(said);
  else document.body.append(said);
  const look = async () => {
    if (leaving) return;
    if (await isThere(heartbeat)) location.reload();
    else setTimeout(look, AGAIN);
  };
  setTimeout(look, AGAIN); // one that is ending may still answer
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

const store = () => {
  leaving = true;
  const text = messageBox()?.value;
  if (text) sessionStorage.setItem(WRITTEN, text);
};
window.addEventListener("pagehide", store);
window.addEventListener("beforeunload", store);
window.addEventListener("pageshow", ({ persisted }) => {
  leaving = false;
  if (persisted) location.reload(); // its connections ended when it was left
});

const written = sessionStorage.getItem(WRITTEN);
sessionStorage.removeItem(WRITTEN);
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
