// Attaches what is pasted to a message of the chat page, as what is dropped is: from the clipboard, Gradio's
// message box takes pictures alone. A backend that takes no files says so at once. Runs in the page's head.
const box = () => document.querySelector("#message");
const meant = (event) => Boolean(event.target.closest && event.target.closest("#message"));
const taken = (accept) => (file) =>
  accept
    .split(",")
    .map((one) => one.trim())
    .some((one) =>
      one.startsWith(".")
        ? file.name.toLowerCase().endsWith(one.toLowerCase())
        : one === "*/*" || file.type.startsWith(one.replace("*", "")),
    );
const refused = (files) => {
  const input = box().querySelector("input[type=file]");
  const wrong = input ? files.filter((file) => !taken(input.accept)(file)) : files;
  if (!wrong.length) return false;
  const backend = document.querySelector("#backend input")?.value || "This backend";
  const what = input ? `does not take ${wrong.map((file) => file.name).join(", ")}` : "takes no files";
  const told = document.createElement("div");
  told.className = "chatlab-refused";
  told.role = "alert";
  told.textContent = `${backend} ${what}: nothing was attached.`;
  forget();
  box().after(told);
  return true;
};
const forget = () => document.querySelectorAll(".chatlab-refused").forEach((told) => told.remove());
document.addEventListener(
  "paste",
  (event) => {
    const data = event.clipboardData;
    // Where there is text, too, the picture beside it is only how it looks.
    if (!meant(event) || !data || !data.files.length || data.getData("text")) return;
    event.preventDefault();
    event.stopPropagation();
    if (refused([...data.files])) return;
    const dropped = new DataTransfer();
    for (const file of data.files) dropped.items.add(file);
    event.target.dispatchEvent(
      new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }),
    );
  },
  true,
);
document.addEventListener(
  "drop",
  (event) => {
    if (!meant(event) || !refused([...(event.dataTransfer?.files || [])])) return;
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(new DragEvent("dragleave", { clientX: -1, bubbles: true })); // or it looks on for it
  },
  true,
);
for (const kind of ["input", "click"]) document.addEventListener(kind, forget, true);
