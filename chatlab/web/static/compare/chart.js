// Bars of timings, one row a lane: time to the first token, and from there to the end.
/** @import { TimingView } from "../server.d.ts" */
import { make, say } from "../dom.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {string} [text]
 */
const shape = (tag, attributes, text) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text) made.textContent = text;
  return made;
};

/** @typedef {{ row: number, left: number, width: number, figures: number, narrow: boolean }} Layout */

// Beside each other where there is room: name, bar, figures. On a phone the bar stands below the other two.
/** @returns {Layout} */
const layout = () =>
  matchMedia("(max-width: 640px)").matches
    ? { row: 38, left: 0, width: 420, figures: 0, narrow: true }
    : { row: 22, left: 130, width: 290, figures: 340, narrow: false };

/**
 * @param {TimingView} lane
 * @param {number} y
 * @param {number} scale pixels a second
 * @param {Layout} at
 */
const row = (lane, y, scale, { left, width, narrow }) => {
  const bar = { y: narrow ? y + 16 : y, height: 14, rx: 2 };
  const first = (lane.first_token ?? 0) * scale;
  const total = (lane.total ?? 0) * scale;
  const name = lane.name.length > 18 ? `${lane.name.slice(0, 17)}…` : lane.name;
  const named = narrow ? { x: 0, "text-anchor": "start" } : { x: left - 8, "text-anchor": "end" };
  const told = narrow ? { x: width, "text-anchor": "end" } : { x: left + total + 8, "text-anchor": "start" };
  return [
    shape("text", { ...named, y: y + 11 }, name),
    shape("rect", { ...bar, x: left, width: Math.max(first, 1), class: "wait" }),
    shape("rect", { ...bar, x: left + first, width: Math.max(total - first, 0), class: "stream" }),
    shape("text", { ...told, y: y + 11, class: "figure" }, lane.said),
  ];
};

/**
 * The chart of these lanes, or null if nothing was measured. Several answers of a lane are drawn as their
 * median.
 *
 * @param {TimingView[]} lanes
 * @param {string} caption
 */
export const timings = (lanes, caption) => {
  const longest = Math.max(0, ...lanes.map((lane) => lane.total ?? 0));
  if (!longest) return null;
  const at = layout();
  const drawing = shape("svg", {
    viewBox: `0 0 ${at.left + at.width + at.figures} ${lanes.length * at.row + 4}`,
    role: "img",
    class: "chart",
    "aria-label": `${caption}: ${lanes.map((lane) => `${lane.name} ${lane.spoken}`).join("; ")}`,
  });
  lanes.forEach((lane, n) => drawing.append(...row(lane, n * at.row + 4, at.width / longest, at)));
  return make("figure", {}, drawing, make("figcaption", {}, say("compare.first-and-total", { caption })));
};
