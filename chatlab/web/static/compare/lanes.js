// The lanes above the answers, each with a menu of what may be done to it.
/** @import { Continued, LaneView } from "../server.d.ts" */
/** @import { Page } from "./page.js" */
import { button, make, menu, say } from "../dom.js";
import { changeLane } from "./dialogs.js";
import { isFolded } from "./folded.js";
import { narrow } from "./head.js";

const MOST = 8;

const dots = () =>
  make("span", { className: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i"));

/** @param {Page} page */
export const lanesBar = (page) => {
  const { view } = page;
  const mayAdd = view.lanes.length < MOST && !view.hidden;
  return make(
    "div",
    { id: "lanes" },
    view.lanes.map((lane) => laneHead(page, lane)),
    mayAdd
      ? button(say("compare.add-lane-asks"), () => changeLane(page, null), { className: "plain add" })
      : null,
  );
};

/**
 * @param {Page} page
 * @param {LaneView} lane
 */
const laneHead = (page, lane) =>
  make(
    "div",
    { className: "lane", "data-lane": lane.id, ...(page.view.hidden ? {} : dragging(page, lane)) },
    make("strong", { title: lane.name }, lane.name),
    button(lane.name, () => page.choose(lane.id), { className: "tab plain" }),
    lane.answers && lane.answers !== lane.name
      ? make("span", { className: "quiet", title: lane.model || null }, lane.answers)
      : null,
    lane.asked_as
      ? make(
          "span",
          { className: "quiet", title: say("compare.asked-as") },
          say("compare.as-person", { person: lane.asked_as }),
        )
      : null,
    lane.ready
      ? make("span", { className: "error" }, say("compare.not-ready", { reason: lane.ready }))
      : null,
    isFolded(lane.id)
      ? button(say("compare.expand"), () => page.fold(lane.id), {
          className: "plain expand",
          "aria-label": say("compare.expand-one", { lane: lane.name }),
        })
      : null,
    menu(say("compare.lane-menu", { lane: lane.name }), dots(), ...actions(page, lane)),
  );

/**
 * What may be done to a lane. While names are hidden, nothing that would tell which lane it is.
 *
 * @param {Page} page
 * @param {LaneView} lane
 */
const actions = (page, lane) => {
  const { view } = page;
  const named = !view.hidden;
  const alone = named || view.reveal === "as they come";
  const asked = view.rounds.length > 0;
  const rerun = () => page.session(`/lanes/${lane.id}/rerun`);
  const recording = () =>
    make(
      "a",
      { href: page.path(`/lanes/${lane.id}/recording`), download: "" },
      say("compare.save-recording"),
    );
  return [
    named && button(say("compare.change-asks"), () => changeLane(page, lane)),
    alone && button(say("compare.send-only"), () => page.composer.only(lane.id)),
    alone && button(say("compare.stop-lane"), () => page.session("/stop", "POST", { lane: lane.id })),
    asked && alone && button(say("compare.ask-last"), () => askAgain(page, lane)),
    asked && named && button(say("compare.ask-all"), rerun),
    !narrow.matches && !isFolded(lane.id) && button(say("compare.collapse"), () => page.fold(lane.id)),
    named && button(say("compare.move-left"), () => move(page, lane, -1)),
    named && button(say("compare.move-right"), () => move(page, lane, 1)),
    page.options.storage &&
      asked &&
      named &&
      button(say("compare.continue-in-chat"), () => continueInChat(page, lane)),
    asked && named && recording(),
    view.lanes.length > 2 && button(say("compare.remove"), () => page.session(`/lanes/${lane.id}`, "DELETE")),
  ];
};

/**
 * @param {Page} page
 * @param {LaneView} lane
 */
const askAgain = (page, lane) => {
  const last = page.view.rounds.filter((round) => round.answers[lane.id]).at(-1);
  if (last) page.session("/retry", "POST", { round: last.id, lanes: [lane.id] });
};

/**
 * @param {Page} page
 * @param {LaneView} lane
 */
const continueInChat = async (page, lane) => {
  /** @type {Continued | null} */
  const found = await page.session(`/lanes/${lane.id}/chat`);
  if (found) location.href = `${page.root}/?c=${encodeURIComponent(found.conversation)}`;
};

/**
 * @param {Page} page
 * @param {LaneView} lane
 * @param {number} by
 */
const move = (page, lane, by) => {
  place(page, lane.id, at(page, lane) + by);
};

/**
 * @param {Page} page
 * @param {LaneView} lane
 */
const at = (page, lane) => page.view.lanes.findIndex((one) => one.id === lane.id);

/**
 * @param {Page} page
 * @param {string} lane
 * @param {number} to
 */
const place = (page, lane, to) => {
  const lanes = page.view.lanes.map((other) => other.id);
  if (to < 0 || to >= lanes.length || !lanes.includes(lane)) return;
  lanes.splice(to, 0, ...lanes.splice(lanes.indexOf(lane), 1));
  page.session("/order", "POST", { lanes });
};

/**
 * What has a lane be taken to the place of another one by its head.
 *
 * @param {Page} page
 * @param {LaneView} lane
 */
const dragging = (page, lane) => ({
  draggable: "true",
  ondragstart: (/** @type {DragEvent} */ event) => event.dataTransfer?.setData(DRAGGED, lane.id),
  ondragover: (/** @type {DragEvent} */ event) => {
    if (event.dataTransfer?.types.includes(DRAGGED)) event.preventDefault(); // it may be dropped here
  },
  ondrop: (/** @type {DragEvent} */ event) => {
    const dragged = event.dataTransfer?.getData(DRAGGED);
    if (!dragged) return;
    event.preventDefault();
    place(page, dragged, at(page, lane));
  },
});
const DRAGGED = "application/x-chatlab-lane";
