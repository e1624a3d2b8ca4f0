// Makes elements; text is only ever set as text.
export const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "className") made.className = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
};

export const button = (text, act, attributes = {}) =>
  make("button", { type: "button", onclick: act, ...attributes }, text);

// HTML that this page's own server made safe (chatlab.render.markdown).
export const safe = (html, className = "text") => {
  const made = make("div", { className });
  made.innerHTML = html;
  return made;
};

// Asks this page's own server; throws an Error with the server's sentence.
export const asking =
  (root) =>
  async (path, method = "GET", body) => {
    const raw = body instanceof Blob;
    const answer = await fetch(`${root}/-/${path}`, {
      method,
      headers: {
        "x-chatlab": "1",
        ...(raw ? { "x-filename": encodeURIComponent(body.name || "file") } : {}),
        ...(body && !raw ? { "content-type": "application/json" } : {}),
      },
      body: body === undefined ? undefined : raw ? body : JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.error || `the server answered ${answer.status}`);
    return said;
  };

// A button that unfolds others; it folds again when one is chosen, at Escape, and at a click elsewhere.
export const menu = (label, shown, ...items) =>
  make(
    "details",
    {
      className: "menu",
      onclick: (event) => {
        if (event.target.closest("button")) event.currentTarget.open = false;
      },
    },
    make("summary", { "aria-label": label, title: label }, shown),
    make("div", {}, ...items),
  );

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.menu[open]"))
    if (!open.contains(event.target)) open.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.menu[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
    event.preventDefault();
  }
});
