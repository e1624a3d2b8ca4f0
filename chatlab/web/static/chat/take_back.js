/**
 * What the browser does itself when nobody heard of a message: it goes back into the box, and out of what is
 * shown, unless the person has begun another one meanwhile. What was to be asked again is the server's alone.
 *
 * @param {{ text: string, files: object[] } | null} message
 * @param {{ role: string }[] | null} shown
 * @param {{ text: string, files: object[] }} box
 */
(message, shown, box) => {
  const asItIs = { __type__: "update" };
  if (!message || !shown || box.text || box.files.length) return [asItIs, asItIs];
  return [message, shown.slice(0, shown.findLastIndex((one) => one.role !== "user") + 1)];
};
