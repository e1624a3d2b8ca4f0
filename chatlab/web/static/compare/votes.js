// What a person judges a round's answers to be, by criterion, with reasons and a note.
/** @import { LaneView, RoundView, VoteView } from "../server.d.ts" */
/** @import { Page } from "./page.js" */
import { button, make, say, voteWord } from "../dom.js";
import { reveal } from "./head.js";

/**
 * @param {Page} page
 * @param {string} best
 */
const bestName = (page, best) => {
  if (best === "tie") return say("compare.tie");
  return best === "bad" ? say("compare.all-bad") : page.nameOf(best);
};

/**
 * @param {Page} page
 * @param {string} criterion
 * @param {VoteView} vote
 */
const inWords = (page, criterion, { best, reasons, note, marked }) => {
  const said = [
    `${voteWord(criterion)}: ${bestName(page, best)}`,
    reasons.length ? `(${reasons.map(voteWord).join(", ")})` : "",
    note ? `“${note}”` : "",
    marked.length ? `[${marked.join("; ")}]` : "",
  ];
  return said.filter(Boolean).join(" ");
};

/**
 * The votes on an earlier round, which stay as they were given.
 *
 * @param {Page} page
 * @param {RoundView} round
 */
export const votesGiven = (page, round) => {
  const given = Object.entries(round.votes).map(([criterion, vote]) => inWords(page, criterion, vote));
  return given.length
    ? make("p", { className: "quiet" }, say("compare.votes-given", { votes: given.join(" · ") }))
    : null;
};

/** @typedef {{ reasons: string[], note: string, open: boolean }} Draft */

// What is written but not sent yet stays while the round is drawn anew.
/** @type {Map<string, Draft>} */
const drafts = new Map();

/**
 * @param {RoundView} round
 * @param {string} criterion
 */
const draftOf = (round, criterion) => {
  const key = `${round.id}/${criterion}`;
  const given = round.votes[criterion];
  const draft = drafts.get(key) ?? { reasons: given?.reasons ?? [], note: given?.note ?? "", open: false };
  drafts.set(key, draft);
  return draft;
};

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView[]} lanes
 */
export const votes = (page, round, lanes) =>
  make(
    "div",
    { className: "votes", role: "group", "aria-label": say("compare.votes") },
    page.view.criteria.map((criterion) => ballot(page, round, lanes, criterion)),
    page.view.hidden && page.view.criteria.every((criterion) => round.votes[criterion])
      ? make(
          "p",
          {},
          say("compare.voted"),
          button(say("compare.reveal-names-asks"), () => reveal(page)),
        )
      : null,
  );

/**
 * @param {Page} page
 * @param {RoundView} round
 * @param {LaneView[]} lanes
 * @param {string} criterion
 */
const ballot = (page, round, lanes, criterion) => {
  /** @type {VoteView | undefined} */
  const given = round.votes[criterion];
  const draft = draftOf(round, criterion);
  /** @param {string} best */
  const vote = (best) => {
    const { reasons, note } = draft;
    return page.session("/votes", "POST", { round: round.id, criterion, best, reasons, note });
  };
  /**
   * @param {string} best
   * @param {string} text
   */
  const option = (best, text) =>
    button(text, () => vote(best), { "aria-pressed": String(given?.best === best) });
  const alone = criterion === "overall" && page.view.criteria.length === 1;
  return make(
    "div",
    { className: "vote", "data-criterion": criterion },
    make("span", { className: "criterion" }, alone ? say("compare.best") : voteWord(criterion)),
    lanes.map((lane) => option(lane.id, lane.name)),
    option("tie", say("compare.tie")),
    option("bad", say("compare.all-bad")),
    reasonsAndNote(page, criterion, draft, () => given && vote(given.best)),
    given?.changes
      ? make("span", { className: "quiet" }, say("compare.changed", { count: given.changes }))
      : null,
    given?.marked.length
      ? make("span", { className: "notice" }, say("compare.marked", { marks: given.marked.join("; ") }))
      : null,
  );
};

/**
 * @param {Page} page
 * @param {string} criterion
 * @param {Draft} draft
 * @param {() => unknown} changed
 */
const reasonsAndNote = (page, criterion, draft, changed) => {
  const reasons = page.view.reasons.map((reason) => {
    const onchange = () => {
      const others = draft.reasons.filter((one) => one !== reason);
      draft.reasons = input.checked ? [...others, reason] : others;
      changed();
    };
    const input = make("input", { type: "checkbox", "aria-label": voteWord(reason), onchange });
    input.checked = draft.reasons.includes(reason);
    return make("label", {}, input, voteWord(reason));
  });
  const note = make("input", {
    type: "text",
    placeholder: say("compare.note-placeholder"),
    dir: "auto",
    "aria-label": say("compare.note-on", { criterion: voteWord(criterion) }),
    maxlength: "2000",
    oninput: () => {
      draft.note = note.value;
    },
    onchange: changed,
  });
  note.value = draft.note;
  const ontoggle = () => {
    draft.open = more.open;
  };
  const more = make(
    "details",
    { open: draft.open, ontoggle },
    make("summary", {}, say("compare.reasons")),
    make("span", { className: "reasons" }, reasons),
    note,
  );
  return more;
};
