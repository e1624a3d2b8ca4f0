// Bars of a round's timings, one row a lane: time to the first token, and from there to the end.
import { known, make, seconds } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const shape = (tag, attributes, text) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
};

const median = (values) => {
  const sorted = values.filter((value) => typeof value === "number").sort((a, b) => a - b);
  if (!sorted.length) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

// `measured`: [{name, figures: [{first_token, total, tokens_per_second}...]}]; several figures are drawn as their median.
export const timings = (measured, caption) => {
  const lanes = measured.map(({ name, figures }) => ({
    name,
    count: figures.length,
    first: median(figures.map((one) => one.first_token)),
    total: median(figures.map((one) => one.total)),
    rate: median(figures.map((one) => one.tokens_per_second)),
  }));
  const longest = Math.max(0, ...lanes.map((lane) => lane.total || 0));
  if (!longest) return null;
  // Beside each other where there is room: name, bar, figures. On a phone the bar stands below the other two.
  const narrow = matchMedia("(max-width: 640px)").matches;
  const height = narrow ? 38 : 22,
    left = narrow ? 0 : 130,
    width = narrow ? 420 : 290,
    room = narrow ? 0 : 340;
  const drawing = shape("svg", {
    viewBox: `0 0 ${left + width + room} ${lanes.length * height + 4}`,
    role: "img",
    class: "chart",
    "aria-label": `${caption}: ${lanes
      .map((lane) => `${lane.name} first token ${seconds(lane.first)}, total ${seconds(lane.total)}`)
      .join("; ")}`,
  });
  lanes.forEach((lane, n) => {
    const y = n * height + 4,
      bar = { y: narrow ? y + 16 : y, height: 14, rx: 2 };
    const first = lane.first === null ? 0 : (lane.first / longest) * width;
    const total = lane.total === null ? 0 : (lane.total / longest) * width;
    const name = lane.name.length > 18 ? `${lane.name.slice(0, 17)}…` : lane.name;
    drawing.append(
      shape("text", { x: narrow ? 0 : left - 8, y: y + 11, "text-anchor": narrow ? "start" : "end" }, name),
      shape("rect", { ...bar, x: left, width: Math.max(first, 1), class: "wait" }),
      shape("rect", { ...bar, x: left + first, width: Math.max(total - first, 0), class: "stream" }),
      shape(
        "text",
        {
          x: narrow ? width : left + total + 8,
          y: y + 11,
          "text-anchor": narrow ? "end" : "start",
          class: "figure",
        },
        `${seconds(lane.first)} / ${seconds(lane.total)}${lane.rate === null ? "" : ` · ${known(lane.rate)} tok/s`}${
          lane.count > 1 ? ` · median of ${lane.count}` : ""
        }`,
      ),
    );
  });
  return make("figure", {}, drawing, make("figcaption", {}, `${caption}: time to the first token / total`));
};
