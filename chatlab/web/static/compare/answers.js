// The cards of the answers: what has ended, and what is painted while it arrives.
/** @import { AnswerView, LaneView, NoteView, PaintEvent, RoundView } from "../server.d.ts" */
/** @import { Child } from "../dom.js" */
/** @import { Page } from "./page.js" */
import { button, make, safe, say } from "../dom.js";
import { follow } from "../follow.js";
import { receipts } from "./receipts.js";

const NEAR = 40; // pixels from the end of a column within which its reader follows what is written

/** @param {AnswerView} answer */
export const pending = (answer) => answer.status === "running" || answer.status === "waiting";

/** @typedef {{ card: HTMLElement, settled: HTMLElement, tail: HTMLElement, status: HTMLElement }} Running */

// The cards of running answers by key, so that a paint touches one of them and nothing else.
/** @type {Map<string, Running>} */
const running = new Map();

/**
 * @param {string} round
 * @param {string} lane
 * @param {number} repeat
 */
const key = (round, lane, repeat) => `${round}/${lane}/${repeat}`;

/**
 * @param {Child} title
 * @param {Child[]} content
 */
export const folded = (title, ...content) => make("details", {}, make("summary", {}, title), content);

/**
 * @param {string} title
 * @param {string | null} took
 */
const timed = (title, took) => (took ? `${title} (${took})` : title);

/** @param {NoteView} given */
const note = ({ line, more }) => {
  const text = say("compare.note", { text: line });
  const shown = more.length ? folded(text, ...more.map((one) => make("p", {}, one))) : text;
  return make(more.length ? "div" : "p", { className: "notice" }, shown);
};

/** @param {AnswerView} answer */
const body = (answer) => [
  ...(answer.thoughts ?? []).map((one) => folded(timed(one.title, one.took), safe(one.html))),
  ...(answer.tools ?? []).map((tool) =>
    folded(
      timed(say("compare.tool", { name: tool.name }), tool.took),
      make("pre", { tabindex: "0" }, tool.arguments),
      tool.result === null ? null : make("pre", { tabindex: "0" }, tool.result),
    ),
  ),
  safe(answer.html),
  answer.sources ? folded(answer.sources.title, safe(answer.sources.html)) : null,
  ...(answer.notices ?? []).map(note),
  answer.error ? make("p", { className: "error" }, answer.error) : null,
  answer.names ? make("p", { className: "notice names" }, say("compare.names-model")) : null,
  answer.figures ? make("p", { className: "figures" }, answer.figures.line) : null,
];

/**
 * Arrows to the one before or after, as far as there is one: ‹ 2/3 ›
 *
 * @param {number} at
 * @param {number} of
 * @param {string} what
 * @param {(() => unknown) | null} previous
 * @param {(() => unknown) | null} next
 * @param {string} lane the name of the lane whose answer it is, if it is one
 */
export const steps = (at, of, what, previous, next, lane = "") => [
  step("‹", say(`compare.previous-${what}`, { lane }), previous),
  make("span", { className: "quiet count" }, `${at}/${of}`),
  step("›", say(`compare.next-${what}`, { lane }), next),
];

/**
 * @param {string} text
 * @param {string} label
 * @param {(() => unknown) | null} act
 */
const step = (text, label, act) =>
  button(text, act, {
    className: "step",
    "aria-label": label,
    title: label,
    "aria-disabled": act ? null : "true",
  });

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView} lane
 * @param {AnswerView} answer
 * @param {number} repeat
 */
export const answerCard = (page, round, lane, answer, repeat) => {
  const many = round.answers[lane.id].length > 1;
  const isRunning = pending(answer);
  const settled = make("div", { className: "settled" });
  const tail = make("div", { className: "tail" });
  const status = make(
    "span",
    { className: "status" },
    answer.status === "finished" ? "" : say(`compare.status-${answer.status}`),
  );
  const model = lane.model && lane.model !== lane.name ? lane.model : null;
  const card = make(
    "article",
    {
      className: `answer ${answer.status}`,
      "data-lane": lane.id,
      "aria-busy": isRunning ? "true" : null,
      "aria-label": many ? say("compare.repeat", { lane: lane.name, number: repeat + 1 }) : lane.name,
    },
    make(
      "header",
      {},
      make("strong", {}, lane.name, many ? ` · ${repeat + 1}` : ""),
      model ? make("span", { className: "quiet" }, model) : null,
      status,
    ),
    isRunning ? [settled, tail] : body(answer),
    make("div", { className: "tools" }, isRunning ? stop(page, lane) : tools(page, round, lane, repeat)),
  );
  if (isRunning) running.set(key(round.id, lane.id, repeat), { card, settled, tail, status });
  else running.delete(key(round.id, lane.id, repeat));
  return card;
};

/**
 * @param {Page} page
 * @param {LaneView} lane
 */
const stop = (page, lane) => {
  if (page.view.hidden && page.view.reveal !== "as they come") return null;
  const act = () => page.session("/stop", "POST", { lane: lane.id });
  return button(say("compare.stop"), act, { "aria-label": say("compare.stop-one", { lane: lane.name }) });
};

/**
 * What may be done with an answer that has ended.
 *
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView} lane
 * @param {number} repeat
 */
const tools = (page, round, lane, repeat) => {
  const { view } = page;
  const alone = !view.hidden || view.reveal === "as they come";
  const retry = () => page.session("/retry", "POST", { round: round.id, lanes: [lane.id] });
  return [
    ...(repeat === 0 ? otherAnswers(page, round, lane) : []),
    view.hidden ? null : button(say("compare.receipt"), () => receipts(page, round.id, lane.id)),
    alone ? button(say("compare.retry"), retry) : null,
    continueFrom(page, round, lane, repeat),
  ];
};

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView} lane
 */
const otherAnswers = (page, round, lane) => {
  const given = round.given[lane.id];
  if (!given) return [];
  const [at, of] = given;
  /** @param {number} number */
  const to = (number) => () =>
    page.session("/checkout", "POST", { round: round.id, lane: lane.id, answer: number - 1 });
  return steps(at, of, "answer", at > 1 ? to(at - 1) : null, at < of ? to(at + 1) : null, lane.name);
};

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView} lane
 * @param {number} repeat
 */
const continueFrom = (page, round, lane, repeat) => {
  const { view } = page;
  const shared = view.mode === "shared";
  const many = round.answers[lane.id].length > 1;
  if (!shared && (!many || view.hidden)) return null;
  const on = shared ? round.picked === lane.id : round.chosen?.[lane.id] === repeat;
  const text = say(shared ? "compare.picked" : "compare.continues");
  const pick = () => page.session("/pick", "POST", { round: round.id, lane: lane.id, repeat });
  return button(on ? text : say("compare.continue"), pick, { "aria-pressed": String(on) });
};

/**
 * Draws an answer anew that has ended while others of its round have not: its card alone.
 *
 * @param {Page} page
 * @param {RoundView} round
 * @param {string} lane
 * @param {number} repeat
 */
export const settle = (page, round, lane, repeat) => {
  const found = running.get(key(round.id, lane, repeat));
  const about = page.view.lanes.find((one) => one.id === lane);
  if (!found || !about) return;
  found.card.replaceWith(answerCard(page, round, about, round.answers[lane][repeat], repeat));
};

/**
 * Adds what arrived to a running answer. Settled blocks stay as they are; only the last one is drawn anew.
 *
 * @param {PaintEvent} event
 */
export const paint = ({ round, lane, repeat, add, tail, doing }) => {
  const found = running.get(key(round, lane, repeat));
  if (!found) return;
  const write = () => {
    if (add) found.settled.insertAdjacentHTML("beforeend", add);
    if (tail !== undefined) found.tail.innerHTML = tail;
  };
  follow(found.card.parentElement ?? found.card, NEAR, write);
  if (doing !== undefined) found.status.textContent = doing;
};

/** Running answers are painted from their beginning again. */
export const restart = () => {
  for (const [name, { card, settled, tail }] of running) {
    if (!card.isConnected) running.delete(name);
    settled.replaceChildren();
    tail.replaceChildren();
  }
};

/** Forgets the answers of a session that is closed. */
export const forget = () => running.clear();
