// Links for others: those that there are and whom they are for, new ones, and their end. On both pages.
/** @import { Links, ShareFor, ShareLink } from "./server.d.ts" */
import { show } from "./dialog.js";
import { button, make, say, sentence } from "./dom.js";

/**
 * Shows the links to something. ask: asks for them, and is null where it said itself why that was refused;
 * addressOf: where a link leads, by its token.
 *
 * @param {{
 *   title: string,
 *   about: string,
 *   ask: <T>(method: string, body?: object) => Promise<T | null>,
 *   addressOf: (token: string) => string,
 * }} what
 */
export const sharing = async ({ title, about, ask, addressOf }) => {
  /** @type {Links | null} */
  const found = await ask("GET");
  if (!found) return;
  const signedIn = found.audiences !== undefined;
  const link = make("p", { role: "status" });
  const count = make("p", { className: "quiet" });
  const listed = make("ul", { className: "quiet" });
  let { links, audiences = [] } = found;
  /** @type {typeof ask} */
  const tried = (method, body) =>
    ask(method, body).catch((error) => {
      link.textContent = sentence(error); // what is behind the dialog nobody sees
      return null;
    });
  const draw = () => {
    count.textContent = countOf(links);
    listed.replaceChildren(...audiences.map((groups) => make("li", { dir: "auto" }, audienceOf(groups))));
  };
  draw();

  const boxes = (found.groups ?? []).map((value) => make("input", { type: "checkbox", value }));
  const choice = make(
    "fieldset",
    {},
    make("legend", {}, say("share.for-whom")),
    boxes.map((box) => make("label", { dir: "auto" }, box, box.value)),
  );
  const makeLink = async () => {
    const groups = boxes.filter((box) => box.checked).map((box) => box.value);
    /** @type {ShareFor} */
    const body = { groups };
    /** @type {ShareLink | null} */
    const made = await tried("POST", body);
    if (!made) return;
    const address = new URL(addressOf(made.token), location.href).href;
    link.replaceChildren(make("a", { href: address }, address));
    links += 1;
    if (signedIn) audiences = [...audiences, groups];
    draw();
    const copied = await navigator.clipboard?.writeText(address).then(
      () => true,
      () => false, // it stands on the page
    );
    if (copied) link.append(" ", say("share.copied"));
  };
  const endLinks = async () => {
    if (!(await tried("DELETE", {}))) return;
    link.replaceChildren();
    links = 0;
    audiences = [];
    draw();
  };
  show(
    title,
    make(
      "div",
      { className: "chatlab-sharing" },
      make("p", {}, signedIn ? say("share.about-signed-in") : about),
      boxes.length ? choice : null,
      make(
        "div",
        { className: "tools" },
        button(say("share.make"), makeLink, { className: "primary" }),
        button(say("share.end"), endLinks),
      ),
      link,
      count,
      listed,
    ),
  );
};

/** @param {number} links */
const countOf = (links) => {
  if (links === 0) return say("share.none");
  return links === 1 ? say("share.one") : say("share.many", { count: links });
};

/** @param {string[]} groups */
const audienceOf = (groups) =>
  groups.length ? say("share.for-groups", { groups: groups.join(", ") }) : say("share.for-signed-in");
