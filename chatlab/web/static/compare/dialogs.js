// What opens above the page: the ranking, the report, and forms.
/**
 * @import {
 *   LaneView, RankedCriterion, RankedRow, RankingView, RoundView,
 * } from "../server.d.ts"
 */
/** @import { Page } from "./page.js" */
import { button, make, say, voteWord } from "../dom.js";
import { close, show } from "../dialog.js";
import { sharing } from "../sharing.js";
import { laneForm } from "./setup.js";

/**
 * @param {Page} page
 * @param {RoundView} round
 */
export const edit = (page, round) => {
  const box = make("textarea", { rows: "5", dir: "auto", "aria-label": say("compare.message") });
  box.value = round.text;
  const askAgain = async () => {
    const body = { round: round.id, text: box.value, ...(round.only ? { lanes: round.only } : {}) };
    if (await page.session("/edit", "POST", body)) close();
  };
  const files = round.files.length
    ? make("p", { className: "quiet" }, say("compare.sent-again", { files: round.files.join(", ") }))
    : null;
  show(
    say("compare.edit-message"),
    box,
    files,
    button(say("compare.ask-again"), askAgain, { className: "primary" }),
  );
  box.focus();
};

/** @param {Page} page */
export const ranking = async (page) => {
  /** @type {RankingView | null} */
  const found = await page.session("/ranking", "GET");
  if (!found) return;
  const said = found.sentence ? make("p", {}, found.sentence) : null;
  show(say("compare.ranking-title"), said, ...found.criteria.map(rankedCriterion));
};

const COLUMNS = ["compare.rank", "compare.lane", "compare.score", "compare.votes"].map((key) => say(key));

/** @param {RankedCriterion} found */
const rankedCriterion = ({ criterion, rows, notes }) =>
  make(
    "section",
    {},
    make("h3", {}, voteWord(criterion)),
    make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          COLUMNS.map((text) => make("th", {}, text)),
        ),
      ),
      make("tbody", {}, rows.map(rankedRow)),
    ),
    notes.map((note) => make("p", { className: "quiet" }, note)),
  );

/** @param {number} score */
const points = (score) => String(Math.round(score)).replace("-", "−");

/** @param {RankedRow} row */
const rankedRow = ({ rank, lane, score, low, high, count }) => {
  const within =
    low === null || high === null
      ? points(score)
      : say("compare.interval", { score: points(score), low: points(low), high: points(high) });
  const cells = [rank, lane, within, count];
  return make(
    "tr",
    {},
    cells.map((text) => make("td", {}, text)),
  );
};

/**
 * @param {Page} page
 * @param {LaneView | null} lane the lane to change; null adds one
 */
export const changeLane = async (page, lane) => {
  const choices = await page.tried(page.backends);
  if (!choices) return;
  const { view } = page;
  const form = laneForm(choices, page.api, lane || { backend: choices.backends[0].name });
  const histories = lane
    ? [make("option", { value: lane.id }, say("compare.keeps-history"))]
    : view.lanes.map((one) =>
        make("option", { value: one.id }, say("compare.goes-on-from", { lane: one.name })),
      );
  const from = make("select", {}, make("option", { value: "" }, say("compare.begins-anew")), histories);
  const label = make("span", {}, say(lane ? "compare.with-another" : "compare.history"));
  const history = view.mode === "own" ? make("label", { className: "field" }, label, from) : null;
  const save = () =>
    page.tried(async () => {
      const wanted = { ...form.read(), ...(from.value ? { history_from: from.value } : {}) };
      const path = lane ? `/lanes/${lane.id}` : "/lanes";
      await page.api(page.below(path), lane ? "PATCH" : "POST", wanted);
      close();
    });
  const done = button(say(lane ? "compare.change" : "compare.add"), save, { className: "primary" });
  show(
    lane ? say("compare.change-one", { lane: lane.name }) : say("compare.add-lane"),
    form.element,
    history,
    done,
  );
};

/** @param {Page} page */
export const share = (page) =>
  sharing({
    title: say("compare.share-title"),
    about: say("share.about-report"),
    ask: (method, body) => page.session("/shares", method, body),
    addressOf: (token) => `${page.root}/-/shared/comparison/${token}`,
  });

const FORMATS = [
  ["html", say("compare.as-html")],
  ["markdown", "Markdown"],
  ["jsonl", say("compare.as-jsonl")],
  ["votes", say("compare.as-csv")],
];

/** @param {Page} page */
export const report = (page) => {
  const options = FORMATS.map(([value, text]) => make("option", { value }, text));
  const format = make("select", { onchange: () => draw() }, options);
  const without = make("textarea", {
    rows: "2",
    placeholder: say("compare.take-out-hint"),
    oninput: () => draw(),
  });
  const link = make("a", { target: "_blank", rel: "noopener", className: "go" }, say("compare.open-report"));
  const draw = () => {
    const lines = without.value.split("\n").map((line) => line.trim());
    const redact = lines.filter(Boolean).map((line) => `&redact=${encodeURIComponent(line)}`);
    link.href = page.path(`/report?format=${format.value}${redact.join("")}`);
  };
  draw();
  show(
    say("compare.report"),
    make("label", { className: "field" }, make("span", {}, say("compare.as")), format),
    make("label", { className: "field" }, make("span", {}, say("compare.take-out")), without),
    link,
  );
};
