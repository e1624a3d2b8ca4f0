// Bars of a round's timings, one row a lane: time to the first token, and from there to the end.
import { make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const shape = (tag, attributes, text) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
};

// `lanes`: [{name, first_token, total, said, spoken}...], seconds and what is said of them.
export const timings = (lanes, caption) => {
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
    "aria-label": `${caption}: ${lanes.map((lane) => `${lane.name} ${lane.spoken}`).join("; ")}`,
  });
  lanes.forEach((lane, n) => {
    const y = n * height + 4,
      bar = { y: narrow ? y + 16 : y, height: 14, rx: 2 };
    const first = lane.first_token === null ? 0 : (lane.first_token / longest) * width;
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
        lane.said,
      ),
    );
  });
  return make("figure", {}, drawing, make("figcaption", {}, `${caption}: time to the first token / total`));
};
