// What the lanes of a round were sent, and how two of their answers differ.
/** @import { DifferenceView, Receipts, SentDifferenceView, SentReceipt } from "../server.d.ts" */
/** @import { Page } from "./page.js" */
import { make, say } from "../dom.js";
import { show } from "../dialog.js";

/** @typedef {{ role: string, parts: { type: string, text?: string }[] }} SentMessage */

/**
 * @param {Page} page
 * @param {string} round
 * @param {string} lane
 */
export const receipts = async (page, round, lane) => {
  /** @type {Receipts | null} */
  const found = await page.session(`/rounds/${round}/receipts`, "GET");
  if (!found) return;
  const mine = found.receipts.filter((one) => one.lane === lane);
  const others = found.differences.filter((one) => one.a === lane || one.b === lane);
  show(
    say("compare.was-sent", { lane: page.nameOf(lane) }),
    ...found.mismatches.map((one) => make("p", { className: "error" }, one)),
    mine.length ? null : make("p", {}, say("compare.no-receipt")),
    ...mine.map((one) => receipt(one, mine.length > 1)),
    ...others.map((one) => comparedTo(page, lane, one)),
  );
};

/**
 * @param {SentReceipt} found
 * @param {boolean} many
 */
const receipt = ({ receipt, repeat }, many) => {
  const facts = Object.entries(receipt).filter(
    ([key, value]) => key !== "messages" && key !== "arrivals" && !isEmpty(value),
  );
  const messages = /** @type {SentMessage[]} */ (receipt.messages);
  return make(
    "section",
    { className: "receipt" },
    many ? make("h3", {}, say("compare.repeat-number", { number: repeat + 1 })) : null,
    make(
      "dl",
      {},
      facts.flatMap(([key, value]) => [
        make("dt", {}, say(`compare.receipt-${key.replace("sha256", "hash")}`)),
        make("dd", {}, typeof value === "string" ? value : JSON.stringify(value)),
      ]),
    ),
    messages.map(sentMessage),
  );
};

/** @param {unknown} value */
const isEmpty = (value) =>
  value === null || value === undefined || (Array.isArray(value) && value.length === 0);

/** @param {SentMessage} message */
const sentMessage = ({ role, parts }) =>
  make(
    "div",
    { className: "sent" },
    make("strong", {}, say(`compare.receipt-role-${role}`)),
    parts.map((part) =>
      make(
        "pre",
        { tabindex: "0", dir: "auto" },
        part.type === "text" ? part.text : JSON.stringify(part, null, 2),
      ),
    ),
  );

/**
 * @param {Page} page
 * @param {string} lane
 * @param {SentDifferenceView} found
 */
const comparedTo = (page, lane, { a, b, lines }) => {
  const other = page.nameOf(a === lane ? b : a);
  if (!lines.length) return make("p", { className: "quiet" }, say("compare.the-same", { lane: other }));
  const told = `${page.nameOf(a)} | ${page.nameOf(b)}\n\n${lines.join("\n")}`;
  return make(
    "details",
    { open: lines.length < 12 },
    make("summary", {}, say("compare.differs", { lane: other })),
    make("pre", { tabindex: "0" }, told),
  );
};

/**
 * @param {Page} page
 * @param {string} round
 * @param {string} a
 * @param {string} b
 */
export const difference = async (page, round, a, b) => {
  /** @type {DifferenceView | null} */
  const found = await page.session(`/rounds/${round}/difference?a=${a}&b=${b}`, "GET");
  if (!found) return;
  const [nameA, nameB] = [page.nameOf(a), page.nameOf(b)];
  const spans = found.spans.map(({ kind, text }) =>
    kind === "same" ? text : make(kind === "only_a" ? "del" : "ins", {}, text),
  );
  show(
    say("both.and", { a: nameA, b: nameB }),
    make(
      "p",
      { className: "quiet" },
      say("compare.agree", { percent: Math.round(found.agreement * 100) }),
      make("del", {}, say("compare.only", { lane: nameA })),
      " ",
      make("ins", {}, say("compare.only", { lane: nameB })),
    ),
    make("div", { className: "difference", dir: "auto" }, spans),
  );
};
