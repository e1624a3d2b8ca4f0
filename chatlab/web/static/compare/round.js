// One round: the message, every lane's answer side by side, the timings, and what was voted.
/** @import { AgreementView, LaneView, RoundView } from "../server.d.ts" */
/** @import { Page } from "./page.js" */
import { button, make, safe, say } from "../dom.js";
import { answerCard, folded, pending, steps } from "./answers.js";
import { timings } from "./chart.js";
import { edit } from "./dialogs.js";
import { unpressed } from "./drawing.js";
import { difference } from "./receipts.js";
import { votes, votesGiven } from "./votes.js";

const FEW = 6; // pairs of lanes that are shown unfolded

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {boolean} newest
 */
export const drawRound = (page, round, newest) => {
  const lanes = page.view.lanes.filter((lane) => round.answers[lane.id]);
  const done = lanes.every((lane) => !round.answers[lane.id].some(pending));
  return make(
    "section",
    {
      className: done ? "round" : "round streaming",
      "data-round": round.id,
      "data-message": round.message,
      "aria-label": say("compare.round"),
    },
    question(page, round),
    make(
      "div",
      { className: "answers" },
      page.view.lanes.map((lane) => column(page, round, lane)),
    ),
    round.mismatches.map((one) => make("p", { className: "error wide", role: "alert" }, one)),
    done ? below(page, round, lanes, newest) : null,
  );
};

/**
 * @param {Page} page
 * @param {RoundView} round
 */
const question = (page, round) => {
  const only = round.only?.map(page.nameOf).join(", ");
  /** @param {string | null} version */
  const to = (version) => (version ? () => page.session("/checkout", "POST", { round: version }) : null);
  return make(
    "div",
    { className: "question" },
    safe(round.text_html),
    round.files.length
      ? make("p", { className: "quiet" }, say("compare.with-files", { files: round.files.join(", ") }))
      : null,
    make(
      "span",
      { className: "tools" },
      only ? make("span", { className: "quiet" }, say("compare.only-to-some", { lanes: only })) : null,
      round.versions > 1
        ? steps(round.version, round.versions, "version", to(round.previous), to(round.next))
        : null,
      button(say("compare.edit"), () => edit(page, round)),
      button(say("compare.retry-all"), () => page.session("/retry", "POST", { round: round.id })),
    ),
  );
};

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView} lane
 */
const column = (page, round, lane) => {
  const answers = round.answers[lane.id];
  const copied = round.copied?.[lane.id];
  const absent = copied ? say("compare.goes-on-from-answer", { lane: copied }) : say("compare.not-asked");
  return make(
    "div",
    { className: "column", "data-lane": lane.id },
    answers
      ? answers.map((answer, repeat) => answerCard(page, round, lane, answer, repeat))
      : make("p", { className: "quiet absent" }, absent),
  );
};

/**
 * What stands below the answers once all have ended.
 *
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView[]} lanes
 * @param {boolean} newest
 */
const below = (page, round, lanes, newest) => {
  const many = lanes.length > 1;
  return make(
    "div",
    { className: "below" },
    many ? agreement(page, round, lanes) : null,
    timings(round.timings, say("compare.this-round")),
    newest && many ? votes(page, round, lanes) : votesGiven(page, round),
  );
};

// Agreement and spread take the server a while: they are asked for once all have answered.
/** @type {Map<string, { sign: string, found: AgreementView }>} */
const known = new Map();

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView[]} lanes
 */
const agreement = (page, round, lanes) => {
  const element = make("div", {});
  const about = [page.view.hidden, lanes.map((lane) => [lane.id, lane.name]), round.answers];
  const sign = JSON.stringify(about);
  const before = known.get(round.id);
  if (before?.sign === sign) {
    drawAgreement(page, round, lanes, element, before.found);
    return element;
  }
  drawAgreement(page, round, lanes, element, { agreement: {}, spread: [] });
  page.tried(async () => {
    /** @type {AgreementView} */
    const found = await page.api(page.below(`/rounds/${round.id}/agreement`));
    known.set(round.id, { sign, found });
    unpressed(() => drawAgreement(page, round, lanes, element, found));
  });
  return element;
};

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView[]} lanes
 * @param {HTMLElement} element
 * @param {AgreementView} found
 */
const drawAgreement = (page, round, lanes, element, found) => {
  /**
   * @param {LaneView} a
   * @param {LaneView} b
   */
  const pair = (a, b) => {
    const value = found.agreement[`${a.id}|${b.id}`] ?? found.agreement[`${b.id}|${a.id}`];
    const names = { a: a.name, b: b.name };
    const told =
      value === undefined
        ? say("both.and", names)
        : say("compare.agreement-pair", { ...names, percent: Math.round(value * 100) });
    return button(told, () => difference(page, round.id, a.id, b.id), {
      title: say("compare.agreement-title"),
    });
  };
  const pairs = lanes.flatMap((a, at) => lanes.slice(at + 1).map((b) => pair(a, b)));
  const values = Object.values(found.agreement).map((value) => Math.round(value * 100));
  const count = pairs.length;
  const range = values.length
    ? say("compare.agreement-range", { count, low: Math.min(...values), high: Math.max(...values) })
    : say("compare.agreement-pairs", { count });
  const few = pairs.length <= FEW;
  const label = make("span", { className: "quiet" }, say("compare.agreement"));
  const drawn = make("div", { className: "agreement" }, few ? label : null, pairs);
  element.replaceChildren(
    few ? drawn : folded(range, drawn),
    ...found.spread.map((one) =>
      make(
        "div",
        { className: "spread" },
        make("strong", {}, say("compare.spread", { measure: one.measure })),
        make(
          "ul",
          {},
          [...one.lanes, ...one.differences].map((line) => make("li", {}, line)),
        ),
      ),
    ),
  );
};
