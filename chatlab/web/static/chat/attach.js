// Attaches what is pasted to a message of the chat page, as what is dropped is: from the clipboard, Gradio's
// message box takes pictures alone. A backend that takes no files says so at once. Runs in the page's head.

/**
 * The message box, if that is what an event is meant for.
 *
 * @param {Event} event
 */
const boxOf = (event) => (event.target instanceof Element ? event.target.closest("#message") : null);

/**
 * @param {string} accept
 * @returns {(file: File) => boolean}
 */
const taken = (accept) => (file) =>
  accept
    .split(",")
    .map((one) => one.trim())
    .some((one) =>
      one.startsWith(".")
        ? file.name.toLowerCase().endsWith(one.toLowerCase())
        : one === "*/*" || file.type.startsWith(one.replace("*", "")),
    );

/**
 * Whether some of these files are not taken, which is then told below the message box.
 *
 * @param {Element} box
 * @param {File[]} files
 */
const refused = (box, files) => {
  /** @type {HTMLInputElement | null} */
  const input = box.querySelector("input[type=file]");
  const wrong = input ? files.filter((file) => !taken(input.accept)(file)) : files;
  if (!wrong.length) return false;
  const backend = document.querySelector(".chatlab-chosen");
  const text = chatlabWords[input ? "chat.refused-files" : "chat.refused-all"] ?? "";
  const places = {
    backend: backend?.textContent || chatlabWords["chat.this-backend"],
    files: wrong.map((file) => file.name).join(", "),
  };
  const told = document.createElement("div");
  told.className = "chatlab-refused";
  told.role = "alert";
  told.textContent = text.replace(
    /\{(backend|files)\}/g,
    (_, /** @type {keyof typeof places} */ name) => places[name] ?? "",
  );
  forget();
  box.after(told);
  return true;
};

const forget = () => document.querySelectorAll(".chatlab-refused").forEach((told) => told.remove());

/** @param {Event} event */
const takeOver = (event) => {
  event.preventDefault();
  event.stopPropagation();
};

document.addEventListener(
  "paste",
  (event) => {
    const box = boxOf(event);
    const data = event.clipboardData;
    // Where there is text, too, the picture beside it is only how it looks.
    if (!box || !data?.files.length || data.getData("text")) return;
    takeOver(event);
    if (refused(box, [...data.files])) return;
    const dataTransfer = new DataTransfer();
    for (const file of data.files) dataTransfer.items.add(file);
    event.target?.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  },
  true,
);
document.addEventListener(
  "drop",
  (event) => {
    const box = boxOf(event);
    if (!box || !refused(box, [...(event.dataTransfer?.files ?? [])])) return;
    takeOver(event);
    // Or the box looks on for what is dropped.
    event.target?.dispatchEvent(new DragEvent("dragleave", { clientX: -1, bubbles: true }));
  },
  true,
);
for (const kind of ["input", "click"]) document.addEventListener(kind, forget, true);
