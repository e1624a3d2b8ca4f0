// Attaches what is pasted to a message of the chat page, as what is dropped is: from the clipboard, Gradio's
// message box takes pictures alone. What is not taken is said at once, in the page's words, however it comes:
// Gradio's own list all file endings. Runs in the page's head.

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

/** @param {number} bytes */
const megabytes = (bytes) =>
  String(Number((bytes / 1e6).toPrecision(3))).replace(".", chatlabWords["number.decimal"] ?? ".");

/**
 * Why some of these files are not taken, as a key of the words and what that has places for.
 *
 * @param {Element} box
 * @param {File[]} files
 * @returns {[key: string, places: Record<string, string>] | null}
 */
const problem = (box, files) => {
  /** @type {HTMLInputElement | null} */
  const input = box.querySelector("input[type=file]");
  const wrong = input ? files.filter((file) => !taken(input.accept)(file)) : files;
  const backend =
    document.querySelector(".chatlab-chosen")?.textContent || (chatlabWords["chat.this-backend"] ?? "");
  const named = wrong.map(({ name }) => name).join(", ");
  if (wrong.length) return [input ? "chat.refused-files" : "chat.refused-all", { backend, files: named }];
  const most = window.gradio_config?.max_file_size ?? Infinity;
  const large = files.filter(({ size }) => size > most);
  if (!large.length) return null;
  const sized = large.map(({ name, size }) => `${name} (${megabytes(size)} MB)`).join(", ");
  return ["chat.refused-large", { files: sized, most: megabytes(most) }];
};

/**
 * Whether some of these files are not taken, which is then told below the message box.
 *
 * @param {Element} box
 * @param {File[]} files
 */
const refused = (box, files) => {
  const found = problem(box, files);
  if (!found) return false;
  const [key, places] = found;
  const told = document.createElement("div");
  told.className = "chatlab-refused";
  told.role = "alert";
  told.textContent = (chatlabWords[key] ?? "").replace(/\{(\w+)\}/g, (_, name) => places[name] ?? "");
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

/**
 * @param {EventTarget | null} target
 * @param {Iterable<File>} files
 */
const drop = (target, files) => {
  const dataTransfer = new DataTransfer();
  for (const file of files) dataTransfer.items.add(file);
  target?.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
};

document.addEventListener(
  "paste",
  (event) => {
    const box = boxOf(event);
    const data = event.clipboardData;
    // Where there is text, too, the picture beside it is only how it looks.
    if (!box || !data?.files.length || data.getData("text")) return;
    takeOver(event);
    if (!refused(box, [...data.files])) drop(event.target, data.files);
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
document.addEventListener(
  "change",
  (event) => {
    const input = event.target;
    const box = boxOf(event);
    if (!(input instanceof HTMLInputElement) || !box || !input.files?.length) return;
    takeOver(event);
    const files = [...input.files];
    input.value = ""; // the same file can be chosen again
    if (!refused(box, files)) drop(box.querySelector("textarea"), files); // as chosen, Gradio knows no "*/*"
  },
  true,
);
for (const kind of ["input", "click"]) document.addEventListener(kind, forget, true);
