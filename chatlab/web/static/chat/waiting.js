// Says which place in the queue a message has that waits for others' answers to end. Gradio's own line is
// part of its progress, of which the page shows nothing else. Runs in the page's head.
import { sayStatus } from "./status.js";

const LOOK = 500; // milliseconds; the server says the places once a second

/** @type {HTMLElement | null} */
let line = null;

const look = () => {
  const said = document.querySelector("#conversation > .wrap .progress-text")?.textContent ?? "";
  const [, place, size] = /^\s*queue: (\d+)\/(\d+)/.exec(said) ?? [];
  if (!place || !size) {
    line?.remove();
    line = null;
    return;
  }
  const words = (chatlabWords["chat.waiting"] ?? "").replace("{place}", place).replace("{size}", size);
  if (!line?.isConnected) line = sayStatus("chatlab-waiting", words);
  else if (line.textContent !== words) line.textContent = words;
};
setInterval(look, LOOK);
