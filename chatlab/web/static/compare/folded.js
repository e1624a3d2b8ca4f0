// Which lanes are collapsed in this tab: nobody else's page, and nothing on the server, knows.

const KEY = "chatlab-collapsed-lanes";
const OPEN = "minmax(0, 1fr)";
const WIDTH = 6; // rem of a lane that is collapsed
const LEAST = 14; // rem of one that is not

/** @returns {string[]} */
const stored = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
  } catch {
    return []; // a browser that keeps nothing, or somebody else's value
  }
};
const lanes = new Set(stored());

/** @param {string} lane */
export const isFolded = (lane) => lanes.has(lane);

/** @param {string} lane */
export const fold = (lane) => {
  if (!lanes.delete(lane)) lanes.add(lane);
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...lanes]));
  } catch {
    // it is collapsed until the page is loaded anew
  }
};

/**
 * Gives the lanes their columns, and the page the width that these need.
 *
 * @param {HTMLElement} main
 * @param {string[]} shown the lanes from left to right
 */
export const layOut = (main, shown) => {
  const widths = shown.map((lane) => (isFolded(lane) ? WIDTH : LEAST));
  const columns = shown.map((lane) => (isFolded(lane) ? `${WIDTH}rem` : OPEN));
  main.style.setProperty("--columns", columns.join(" ") || OPEN);
  main.style.setProperty("--least", `${widths.reduce((sum, one) => sum + one, 2)}rem`);
};
