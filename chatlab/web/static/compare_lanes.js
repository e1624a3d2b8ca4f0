// The lanes above the answers, each with a menu of what may be done to it.
import { button, make, menu } from "./dom.js";
import { changeLane } from "./compare_dialogs.js";

const MOST = 8;

const dots = () => {
  const made = make("span", { className: "dots", "aria-hidden": "true" });
  made.append(make("i"), make("i"), make("i"));
  return made;
};

export const lanesBar = (page) => {
  const { view } = page;
  const alone = !view.hidden || view.reveal === "as they come";
  const one = (lane) =>
    make(
      "div",
      { className: "lane", "data-lane": lane.id },
      make("strong", { title: lane.name }, lane.name),
      button(lane.name, () => page.choose(lane.id), { className: "tab plain" }),
      lane.backend && lane.backend !== lane.name
        ? make("span", { className: "quiet", title: lane.model || null }, lane.backend)
        : null,
      lane.ready ? make("span", { className: "error" }, `not ready: ${lane.ready}`) : null,
      menu(
        `Lane ${lane.name}`,
        dots(),
        view.hidden ? null : button("Change…", () => changeLane(page, lane)),
        alone ? button("Send only to this lane", () => page.composer.only(lane.id)) : null,
        alone ? button("Stop this lane", () => page.session("/stop", "POST", { lane: lane.id })) : null,
        view.rounds.length && alone ? button("Ask the last message again", () => again(lane)) : null,
        view.rounds.length && !view.hidden
          ? button("Ask everything again", () => page.session(`/lanes/${lane.id}/rerun`))
          : null,
        view.hidden ? null : button("Move left", () => move(lane, -1)),
        view.hidden ? null : button("Move right", () => move(lane, 1)),
        page.options.storage && view.rounds.length && !view.hidden
          ? button("Continue in Chat", () => chat(lane))
          : null,
        view.rounds.length && !view.hidden
          ? make("a", { href: page.path(`/lanes/${lane.id}/recording`), download: "" }, "Save as a recording")
          : null,
        view.lanes.length > 2 ? button("Remove", () => page.session(`/lanes/${lane.id}`, "DELETE")) : null,
      ),
    );

  const again = (lane) => {
    const last = view.rounds.filter((round) => round.answers[lane.id]).at(-1);
    if (last) page.session("/retry", "POST", { round: last.id, lanes: [lane.id] });
  };
  const chat = async (lane) => {
    const found = await page.session(`/lanes/${lane.id}/chat`);
    if (found) location.href = `${page.root}/?c=${encodeURIComponent(found.conversation)}`;
  };
  const move = (lane, by) => {
    const lanes = view.lanes.map((other) => other.id);
    const at = lanes.indexOf(lane.id),
      to = at + by;
    if (to < 0 || to >= lanes.length) return;
    [lanes[at], lanes[to]] = [lanes[to], lanes[at]];
    page.session("/order", "POST", { lanes });
  };

  return make(
    "div",
    { id: "lanes" },
    view.lanes.map(one),
    view.lanes.length < MOST && !view.hidden
      ? button("Add a lane…", () => changeLane(page, null), { className: "plain add" })
      : null,
  );
};
