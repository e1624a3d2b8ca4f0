// Buttons of code blocks, on both pages: copying, and whether long lines are wrapped, which is remembered.

const WRAPPED = "chatlab-wrapped";
const page = document.documentElement;
page.classList.toggle("wrapped", Boolean(localStorage.getItem(WRAPPED)));

document.addEventListener("click", async ({ target }) => {
  const button = target instanceof Element ? target.closest(".code-block > button") : null;
  const code = button?.parentElement?.querySelector("code");
  if (!button || !code) return;
  if (button.classList.contains("wrap")) {
    localStorage.setItem(WRAPPED, page.classList.toggle("wrapped") ? "1" : "");
    return;
  }
  if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent ?? "");
  else {
    getSelection()?.selectAllChildren(code); // a page that is not loaded safely has no clipboard
    document.execCommand("copy");
  }
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1500);
});
