// Who is signed in, the way to sign out, and what to do once the sign-in has ended.
import { make, say } from "../dom.js";
/** @import { Me } from "../server.d.ts" */

const ID = "chatlab-signed-out";

/** @param {string} root */
const sayEnded = (root) => {
  if (document.getElementById(ID)) return;
  // In another tab, so that what was typed stays in this one, which then goes on.
  const link = make("a", { href: `${root}/-/signed-in`, target: "_blank" }, say("person.again"));
  const words = [say("person.ended-before"), link, say("person.ended-after")];
  document.body.append(make("div", { id: ID, className: ID, role: "alert" }, ...words));
};

/**
 * Watches what the page is answered: Gradio tells of a refusal no more than that there was an error.
 *
 * @param {string} root
 */
const watch = (root) => {
  const fetched = window.fetch;
  window.fetch = async (...asked) => {
    const answer = await fetched(...asked);
    if (answer.url.startsWith(location.origin)) {
      if (answer.status === 401) sayEnded(root);
      else if (answer.ok) document.getElementById(ID)?.remove();
    }
    return answer;
  };
};

/**
 * Makes the place that says who is signed in.
 *
 * @param {string} root
 */
export const person = (root) => {
  watch(root);
  const name = make("span");
  const form = make(
    "form",
    { className: "chatlab-person", method: "post", action: `${root}/-/sign-out` },
    name,
    make("button", { type: "submit" }, say("both.sign-out")),
  );
  void fetch(`${root}/-/me`).then(async (answer) => {
    if (!answer.ok) return;
    const me = /** @type {Me} */ (await answer.json());
    name.textContent = name.title = me.name;
  });
  return form;
};
