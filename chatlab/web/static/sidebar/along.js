// What this browser had before its person signed in: a row that offers to take it along.
/** @import { Along } from "../server.d.ts" */
/** @import { Api } from "../dom.js" */
import { button, make, say } from "../dom.js";

/**
 * @param {number} count
 * @param {string} one the key of the words for one
 */
const counted = (count, one) => say(count === 1 ? one : `${one}s`, { count });

/**
 * How many conversations and comparison sessions there are, in words.
 *
 * @param {Along} found
 */
export const amount = ({ conversations, comparisons }) => {
  const chats = counted(conversations, "sidebar.conversation");
  const sessions = counted(comparisons, "sidebar.comparison");
  if (!comparisons) return chats;
  return conversations ? say("both.and", { a: chats, b: sessions }) : sessions;
};

/**
 * Makes the row: empty where there is nothing to take along.
 *
 * @param {Api} api
 * @param {(text: string) => void} tell
 * @param {(error: unknown) => void} failed
 * @param {() => void} changed
 */
export const along = (api, tell, failed, changed) => {
  const row = make("div", { className: "chatlab-along", role: "group" });
  /** @param {Along} found */
  const show = (found) => {
    row.replaceChildren();
    if (!found.conversations && !found.comparisons) return;
    const take = button(say("sidebar.take-along"), () => answer("POST"), { className: "chatlab-take" });
    const leave = button(say("sidebar.leave-here"), () => answer("DELETE"));
    row.append(make("p", {}, say("sidebar.along", { count: amount(found) })), take, leave);
  };
  /** @param {string} method */
  const answer = async (method) => {
    for (const one of row.querySelectorAll("button")) one.disabled = true;
    if (method === "POST") tell(say("sidebar.taking-along"));
    try {
      /** @type {Along} */
      const taken = await api("along", method);
      if (method === "POST") {
        tell(say("sidebar.taken-along", { count: amount(taken) }));
        changed();
      }
      row.replaceChildren();
    } catch (error) {
      failed(error);
      for (const one of row.querySelectorAll("button")) one.disabled = false;
    }
  };
  api("along").then(show, failed);
  return row;
};
