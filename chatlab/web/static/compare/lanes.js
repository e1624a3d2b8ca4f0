// The lanes above the answers, each with a menu of what may be done to it.
/** @import { Continued, LaneView } from "../server.d.ts" */
/** @import { Page } from "./page.js" */
import { button, make, menu } from "../dom.js";
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
    mayAdd ? button("Add a lane…", () => changeLane(page, null), { className: "plain add" }) : null,
  );
};

/**
 * @param {Page} page
 * @param {LaneView} lane
 */
const laneHead = (page, lane) =>
  make(
    "div",
    { className: "lane", "data-lane": lane.id },
    make("strong", { title: lane.name }, lane.name),
    button(lane.name, () => page.choose(lane.id), { className: "tab plain" }),
    lane.backend && lane.backend !== lane.name
      ? make("span", { className: "quiet", title: lane.model || null }, lane.backend)
      : null,
    lane.asked_as ? make("span", { className: "quiet", title: "Asked as" }, `as ${lane.asked_as}`) : null,
    lane.ready ? make("span", { className: "error" }, `not ready: ${lane.ready}`) : null,
    isFolded(lane.id)
      ? button("Expand", () => page.fold(lane.id), {
          className: "plain expand",
          "aria-label": `Expand ${lane.name}`,
        })
      : null,
    menu(`Lane ${lane.name}`, dots(), ...actions(page, lane)),
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
    make("a", { href: page.path(`/lanes/${lane.id}/recording`), download: "" }, "Save as a recording");
  return [
    named && button("Change…", () => changeLane(page, lane)),
    alone && button("Send only to this lane", () => page.composer.only(lane.id)),
    alone && button("Stop this lane", () => page.session("/stop", "POST", { lane: lane.id })),
    asked && alone && button("Ask the last message again", () => askAgain(page, lane)),
    asked && named && button("Ask everything again", rerun),
    !narrow.matches && !isFolded(lane.id) && button("Collapse", () => page.fold(lane.id)),
    named && button("Move left", () => move(page, lane, -1)),
    named && button("Move right", () => move(page, lane, 1)),
    page.options.storage && asked && named && button("Continue in Chat", () => continueInChat(page, lane)),
    asked && named && recording(),
    view.lanes.length > 2 && button("Remove", () => page.session(`/lanes/${lane.id}`, "DELETE")),
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
  const lanes = page.view.lanes.map((other) => other.id);
  const at = lanes.indexOf(lane.id);
  const to = at + by;
  if (to < 0 || to >= lanes.length) return;
  lanes.splice(to, 0, ...lanes.splice(at, 1));
  page.session("/order", "POST", { lanes });
};
