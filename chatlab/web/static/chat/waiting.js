// Says which place in the queue a message has that waits for others' answers to end. Gradio's own line is
// part of its progress, of which the page shows nothing else. Runs in the page's head.

const LOOK = 500; // milliseconds; the server says the places once a second
const line = document.createElement("p");
line.id = "chatlab-waiting";
line.setAttribute("role", "status");

const look = () => {
  const said = document.querySelector("#conversation > .wrap .progress-text")?.textContent ?? "";
  const [, place, size] = /^\s*queue: (\d+)\/(\d+)/.exec(said) ?? [];
  if (!place || !size) return line.remove();
  const words = (chatlabWords["chat.waiting"] ?? "").replace("{place}", place).replace("{size}", size);
  if (line.textContent !== words) line.textContent = words;
  if (!line.isConnected)
    document.querySelector("#message")?.closest(".gr-group:has(> .gr-group)")?.before(line);
};
setInterval(look, LOOK);
