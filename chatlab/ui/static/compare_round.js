// One round: the message, every lane's answer side by side, the timings, and what was voted.
import { button, known, make, safe, seconds } from "./dom.js";
import { timings } from "./compare_chart.js";

export const key = (round, lane, repeat) => `${round}/${lane}/${repeat}`;

// The answer cards of the page by key, so that a paint touches one of them and nothing else.
export const cards = new Map();

const folded = (title, ...content) => make("details", {}, make("summary", {}, title), ...content);

const figures = (found) => make("p", { className: "figures" }, [
  `first token ${seconds(found.first_token)}`, `total ${seconds(found.total)}`,
  `${known(found.tokens_per_second)} tokens/s`, `longest stall ${seconds(found.longest_stall)}`,
  `${known(found.input)} tokens in, ${known(found.output)} out`,
  found.cost === null || found.cost === undefined ? null : `cost ${Number(found.cost.toPrecision(4))}`,
  found.finish ? `finish ${found.finish}` : null, found.model || null,
].filter(Boolean).join(" · "));

const body = (answer) => [
  ...(answer.thoughts || []).map((one) => folded(`${one.title}${one.seconds ? ` (${seconds(one.seconds)})` : ""}`, safe(one.html))),
  ...(answer.tools || []).map((tool) => folded(`Tool: ${tool.name}${tool.seconds ? ` (${seconds(tool.seconds)})` : ""}`,
    make("pre", {}, tool.arguments || ""), tool.result === null || tool.result === undefined ? null : make("pre", {}, tool.result))),
  safe(answer.html || ""),
  ...(answer.notices || []).map((notice) => make("p", { className: "notice" }, `Note: ${notice}`)),
  answer.error ? make("p", { className: "error", role: "alert" }, `⚠ ${answer.error}`) : null,
  answer.names_itself ? make("p", { className: "notice" }, "This answer names its own model; a vote on it is marked.") : null,
  answer.copied_from ? make("p", { className: "notice" }, "Continued from the picked answer.") : null,
  answer.figures ? figures(answer.figures) : null,
];

const answerCard = (view, round, lane, answer, repeat, act) => {
  const card = make("article", { className: `answer ${answer.status}`, "data-lane": lane.id, "aria-label": `${lane.name}'s answer` });
  const settled = make("div", { className: "settled" });
  const tail = make("div", { className: "tail" });
  const running = pending(answer);
  const name = make("header", {}, make("strong", {}, lane.name),
    lane.model && lane.model !== lane.name ? make("span", { className: "quiet" }, lane.model) : null,
    make("span", { className: "status" }, answer.status === "finished" ? "" : answer.status));
  if (running) { settled.append(...body(answer).filter(Boolean)); card.append(name, settled, tail); }
  else card.append(name, ...body(answer).filter(Boolean));
  const tools = make("div", { className: "tools" });
  if (running) tools.append(button("Stop", () => act.stop(lane.id)));
  else {
    tools.append(button("Receipt", () => act.receipt(round.id, lane.id)), button("Retry", () => act.retry(round.id, [lane.id])));
    if (view.mode === "shared") {
      tools.append(button(round.picked === lane.id ? "✓ Picked" : "Continue from this", () => act.pick(round.id, lane.id, repeat),
        { "aria-pressed": String(round.picked === lane.id) }));
    }
    if (act.chat && !view.hidden) tools.append(button("Continue in Chat", () => act.chat(lane.id)));
  }
  card.append(tools);
  cards.set(key(round.id, lane.id, repeat), { card, settled, tail, name });
  return card;
};

// An answer has ended: its card alone is drawn anew, or the whole round once every lane is done.
export const settle = (view, round, lane, repeat, act) => {
  const found = cards.get(key(round.id, lane, repeat));
  const about = view.lanes.find((one) => one.id === lane);
  if (!found || !about) return;
  if (Object.values(round.answers).flat().every((one) => !pending(one))) {
    found.card.closest(".round").replaceWith(drawRound(view, round, act));
  } else {
    found.card.replaceWith(answerCard(view, round, about, round.answers[lane][repeat], repeat, act));
  }
};

export const pending = (answer) => answer.status === "running" || answer.status === "waiting";

// Adds what arrived to a running answer. The settled blocks stay as they are; only the last one is drawn anew.
export const paint = ({ round, lane, repeat, add, tail, status }) => {
  const found = cards.get(key(round, lane, repeat));
  if (!found) return;
  if (add) found.settled.insertAdjacentHTML("beforeend", add);
  if (tail !== undefined) found.tail.innerHTML = tail;
  if (status) found.name.querySelector(".status").textContent = status === "finished" ? "" : status;
};

const votes = (view, round, act) => {
  const lanes = view.lanes.filter((lane) => round.answers[lane.id]);
  const panel = make("div", { className: "votes", role: "group", "aria-label": "Votes" });
  for (const criterion of view.criteria) {
    const given = round.votes[criterion];
    const vote = (best) => act.vote(round.id, {
      criterion, best,
      reasons: [...reasons.querySelectorAll("input:checked")].map((input) => input.value), note: note.value,
    });
    const option = (best, text) => button(text, () => vote(best), { "aria-pressed": String(Boolean(given && given.best === best)) });
    const reasons = make("span", { className: "reasons" }, view.reasons.map((reason) => {
      const input = make("input", { type: "checkbox", value: reason, onchange: () => given && vote(given.best) });
      input.checked = Boolean(given && given.reasons.includes(reason));
      return make("label", {}, input, reason);
    }));
    const note = make("input", { type: "text", placeholder: "note", "aria-label": `Note on ${criterion}`, maxlength: "500",
      onchange: () => given && vote(given.best) });
    note.value = given ? given.note : "";
    panel.append(make("div", { className: "vote" },
      make("span", { className: "criterion" }, criterion === "overall" && view.criteria.length === 1 ? "Best" : criterion),
      lanes.map((lane) => option(lane.id, lane.name)), option("tie", "Tie"), option("bad", "All bad"),
      folded(given && given.note ? "Reasons, note ✎" : "Reasons, note", reasons, note),
      given && given.changes ? make("span", { className: "quiet" }, `changed ${given.changes}×`) : null,
      given && given.marked && given.marked.length ? make("span", { className: "notice" }, `marked: ${given.marked.join("; ")}`) : null));
  }
  return panel;
};

export const drawRound = (view, round, act) => {
  const lanes = view.lanes.filter((lane) => round.answers[lane.id]);
  const done = lanes.every((lane) => !round.answers[lane.id].some(pending));
  const question = make("div", { className: "question" }, safe(round.text_html),
    (round.files || []).map((file) => make("span", { className: "file" }, `${file}`)),
    round.only ? make("span", { className: "quiet" }, `only to ${round.only.map((id) => (view.lanes.find((lane) => lane.id === id) || { name: "a removed lane" }).name).join(", ")}`) : null,
    make("span", { className: "tools" },
      button("Edit", () => act.edit(round)), button("Retry all", () => act.retry(round.id)),
      round.siblings && round.siblings.count > 1 ? make("span", { className: "quiet" }, `version ${round.siblings.index} of ${round.siblings.count}`) : null));
  const grid = make("div", { className: "answers" }, lanes.map((lane) =>
    make("div", { className: "column", "data-lane": lane.id },
      round.answers[lane.id].map((answer, repeat) => answerCard(view, round, lane, answer, repeat, act)))));
  grid.style.setProperty("--lanes", lanes.length);
  const section = make("section", { className: "round", "data-round": round.id, "aria-label": "Round" }, question, grid);
  if (round.mismatches && round.mismatches.length) {
    section.append(make("div", { className: "error", role: "alert" }, round.mismatches.map((one) => make("p", {}, `⚠ ${one}`))));
  }
  if (done && lanes.length > 1) {
    const agreement = Object.entries(round.agreement || {}).map(([pair, value]) => {
      const [a, b] = pair.split("|").map((id) => view.lanes.find((lane) => lane.id === id));
      return a && b ? button(`${a.name} ≟ ${b.name}: ${Math.round(value * 100)} %`, () => act.difference(round.id, a.id, b.id),
        { title: "Share of words in common; click for the difference" }) : null;
    });
    section.append(make("div", { className: "agreement", "aria-label": "Agreement" }, agreement.filter(Boolean)));
    const measured = lanes.map((lane) => ({ name: lane.name, figures: round.answers[lane.id].map((one) => one.figures).filter(Boolean) }));
    if (measured.some((lane) => lane.figures.length)) section.append(timings(measured, "This round") || "");
    if (round.spread) section.append(make("p", { className: "quiet" }, round.spread));
    section.append(votes(view, round, act));
  }
  return section;
};
