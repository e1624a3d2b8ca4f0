/**
 * What the browser does itself when a message is sent: empties the box, shows the message, and hands it on to
 * the event that asks for its answer. The text is shown as it was written (chatlab.render.angle_brackets) as
 * far as a moment needs it: the answer comes with the message as the server paints it.
 *
 * @param {string} reference stands for "<" where that is no code
 * @param {{ text: string, files: object[] }} message
 * @param {object[] | null} shown
 */
(reference, message, shown) => {
  const asText = message.text.replace(/```[^]*?(?:```|$)|`[^`\n]*`|<(?=[A-Za-z/!?])/g, (found) =>
    found === "<" ? reference : found,
  );
  const content = [
    ...message.files.map((file) => ({ type: "file", file, alt_text: null })),
    ...(asText ? [{ type: "text", text: asText }] : []),
  ];
  const asked = { role: "user", content, metadata: null, options: null };
  return [{ text: "", files: [] }, [...(shown ?? []), asked], message];
};
