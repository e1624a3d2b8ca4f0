/**
 * What the browser does itself when a message is sent: empties the box, shows the message, and hands it on to
 * the event that asks for its answer. The text is shown as the server would (`as_typed` in
 * chatlab.render.markdown).
 *
 * @param {{ text: string, files: object[] }} message
 * @param {object[] | null} shown
 */
(message, shown) => {
  /** @param {string} text */
  const escape = (text) => text.replace(/[&<>"\n]/g, (one) => `&#${one.charCodeAt(0)};`);
  const lines = message.text.split("\n").map((line) => `<div dir="auto">${escape(line) || "<br>"}</div>`);
  const typed = `<div class="text"><div class="typed">${lines.join("")}</div></div>`;
  const text = `${typed}<span hidden content="${escape(message.text)}"></span>\n\n`;
  const content = [
    ...message.files.map((file) => ({ type: "file", file, alt_text: null })),
    ...(message.text ? [{ type: "text", text }] : []),
  ];
  const asked = { role: "user", content, metadata: null, options: null };
  return [{ text: "", files: [] }, [...(shown ?? []), asked], message];
};
