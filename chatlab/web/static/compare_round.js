// One round: the message, every lane's answer side by side, the timings, and what was voted.
import { button, make, safe } from "./dom.js";
import { timings } from "./compare_chart.js";
import { difference, edit, receipts } from "./compare_dialogs.js";

const FEW = 6; // pairs of lanes that are shown unfolded

export const pending = (answer) => answer.status === "running" || answer.status === "waiting";

// The answer cards of the page by key, so that a paint touches one of them and nothing else.
export const cards = new Map();
const key = (round, lane, repeat) => `${round}/${lane}/${repeat}`;

const folded = (title, ...content) => make("details", {}, make("summary", {}, title), ...content);

const body = (answer) =>
  [
    ...(answer.thoughts || []).map((one) =>
      folded(`${one.title}${one.took ? ` (${one.took})` : ""}`, safe(one.html)),
    ),
    ...(answer.tools || []).map((tool) =>
      folded(
        `Tool: ${tool.name}${tool.took ? ` (${tool.took})` : ""}`,
        make("pre", { tabindex: "0" }, tool.arguments || ""),
        tool.result === null || tool.result === undefined
          ? null
          : make("pre", { tabindex: "0" }, tool.result),
      ),
    ),
    safe(answer.html || ""),
    ...(answer.notices || []).map((notice) => make("p", { className: "notice" }, `Note: ${notice}`)),
    answer.error ? make("p", { className: "error" }, answer.error) : null,
    answer.names
      ? make("p", { className: "notice names" }, "This answer names a model: a vote on it may be marked.")
      : null,
    answer.figures ? make("p", { className: "figures" }, answer.figures.line) : null,
  ].filter(Boolean);

// ‹ 2/3 ›: goes to the one before or after, as far as there is one.
const walker = (at, of, what, previous, next) => [
  button("‹", previous, {
    className: "walk",
    "aria-label": `Previous ${what}`,
    title: `Previous ${what}`,
    "aria-disabled": previous ? null : "true",
  }),
  make("span", { className: "quiet walked" }, `${at}/${of}`),
  button("›", next, {
    className: "walk",
    "aria-label": `Next ${what}`,
    title: `Next ${what}`,
    "aria-disabled": next ? null : "true",
  }),
];

const answerCard = (page, round, lane, answer, repeat) => {
  const { view } = page;
  const many = round.answers[lane.id].length > 1;
  const running = pending(answer);
  const alone = !view.hidden || view.reveal === "as they come";
  const card = make("article", {
    className: `answer ${answer.status}`,
    "data-lane": lane.id,
    "aria-busy": running ? "true" : null,
    "aria-label": `${lane.name}${many ? `, repeat ${repeat + 1}` : ""}`,
  });
  const settled = make("div", { className: "settled" });
  const tail = make("div", { className: "tail" });
  const status = make("span", { className: "status" }, answer.status === "finished" ? "" : answer.status);
  const name = make(
    "header",
    {},
    make("strong", {}, lane.name, many ? ` · ${repeat + 1}` : ""),
    lane.model && lane.model !== lane.name ? make("span", { className: "quiet" }, lane.model) : null,
    status,
  );
  card.append(name, ...(running ? [settled, tail] : body(answer)));
  const tools = make("div", { className: "tools" });
  if (running && alone)
    tools.append(
      button("Stop", () => page.session("/stop", "POST", { lane: lane.id }), {
        "aria-label": `Stop ${lane.name}`,
      }),
    );
  if (!running) {
    if (round.given[lane.id] && repeat === 0) {
      const [at, of] = round.given[lane.id];
      const to = (answer) => () =>
        page.session("/walk", "POST", { round: round.id, lane: lane.id, answer: answer - 1 });
      tools.append(...walker(at, of, `answer of ${lane.name}`, at > 1 && to(at - 1), at < of && to(at + 1)));
    }
    if (!view.hidden) tools.append(button("Receipt", () => receipts(page, round.id, lane.id)));
    if (alone)
      tools.append(
        button("Retry", () => page.session("/retry", "POST", { round: round.id, lanes: [lane.id] })),
      );
    const shared = view.mode === "shared";
    if (shared || (many && !view.hidden)) {
      const on = shared ? round.picked === lane.id : round.standing[lane.id] === repeat;
      tools.append(
        button(
          on ? (shared ? "Picked" : "Continues from this") : "Continue from this",
          () => page.session("/pick", "POST", { round: round.id, lane: lane.id, repeat }),
          { "aria-pressed": String(on) },
        ),
      );
    }
  }
  card.append(tools);
  if (running) cards.set(key(round.id, lane.id, repeat), { card, settled, tail, status });
  else cards.delete(key(round.id, lane.id, repeat));
  return card;
};

// An answer has ended while others of its round have not: its card alone is drawn anew.
export const settle = (page, round, lane, repeat) => {
  const found = cards.get(key(round.id, lane, repeat));
  const about = page.view.lanes.find((one) => one.id === lane);
  if (found && about)
    found.card.replaceWith(answerCard(page, round, about, round.answers[lane][repeat], repeat));
};

// Adds what arrived to a running answer. The settled blocks stay as they are; only the last one is drawn anew.
export const paint = ({ round, lane, repeat, add, tail, doing }) => {
  const found = cards.get(key(round, lane, repeat));
  if (!found) return;
  if (add) found.settled.insertAdjacentHTML("beforeend", add);
  if (tail !== undefined) found.tail.innerHTML = tail;
  if (doing !== undefined) found.status.textContent = doing;
};

// Running answers are painted from their beginning again.
export const restart = () => {
  for (const [name, { card, settled, tail }] of cards) {
    if (!card.isConnected) cards.delete(name);
    settled.replaceChildren();
    tail.replaceChildren();
  }
};

const pair = (page, round, a, b, value) =>
  button(
    `${a.name} and ${b.name}${value === undefined ? "" : `: ${Math.round(value * 100)} %`}`,
    () => difference(page, round.id, a.id, b.id),
    { title: "Words that agree; shows the difference" },
  );

// Agreement and spread take the server a while: they are asked for once all have answered.
const seen = new Map();
const glance = (page, round, lanes, element) => {
  const sign = JSON.stringify([page.view.hidden, lanes.map((lane) => [lane.id, lane.name]), round.answers]);
  const draw = (found) => {
    const pairs = lanes.flatMap((a, at) =>
      lanes
        .slice(at + 1)
        .map((b) =>
          pair(page, round, a, b, found.agreement[`${a.id}|${b.id}`] ?? found.agreement[`${b.id}|${a.id}`]),
        ),
    );
    const values = Object.values(found.agreement).map((value) => Math.round(value * 100));
    const range = values.length ? `: ${Math.min(...values)} to ${Math.max(...values)} %` : "";
    element.replaceChildren(
      pairs.length <= FEW
        ? make("div", { className: "agreement" }, make("span", { className: "quiet" }, "Agreement"), pairs)
        : folded(
            `Agreement of ${pairs.length} pairs${range}`,
            make("div", { className: "agreement" }, pairs),
          ),
      ...found.spread.map((one) =>
        make(
          "div",
          { className: "spread" },
          make("strong", {}, `Spread: ${one.measure}`),
          make(
            "ul",
            {},
            [...one.lanes, ...one.differences].map((line) => make("li", {}, line)),
          ),
        ),
      ),
    );
  };
  const before = seen.get(round.id);
  if (before && before.sign === sign) return draw(before.found);
  draw({ agreement: {}, spread: [] });
  page.tried(async () => {
    const found = await page.api(page.below(`/rounds/${round.id}/glance`));
    seen.set(round.id, { sign, found });
    draw(found);
  });
};

const bestName = (page, best) =>
  best === "tie"
    ? "Tie"
    : best === "bad"
      ? "All bad"
      : (page.view.lanes.find((lane) => lane.id === best) || { name: "a removed lane" }).name;

const votesGiven = (page, round) => {
  const given = Object.entries(round.votes);
  return given.length
    ? make(
        "p",
        { className: "quiet" },
        `Votes: ${given
          .map(
            ([criterion, vote]) =>
              `${criterion}: ${bestName(page, vote.best)}${vote.reasons.length ? ` (${vote.reasons.join(", ")})` : ""}${vote.note ? ` “${vote.note}”` : ""}${vote.marked.length ? ` [${vote.marked.join("; ")}]` : ""}`,
          )
          .join(" · ")}`,
      )
    : null;
};

// What is written but not sent yet is kept while the round is drawn anew.
const drafts = new Map();
const votes = (page, round, lanes) =>
  make(
    "div",
    { className: "votes", role: "group", "aria-label": "Votes" },
    page.view.criteria.map((criterion) => {
      const given = round.votes[criterion];
      const draftOf = `${round.id}/${criterion}`;
      const draft = drafts.get(draftOf) || {
        reasons: given ? given.reasons : [],
        note: given ? given.note : "",
        open: false,
      };
      drafts.set(draftOf, draft);
      const vote = (best) =>
        page.session("/votes", "POST", {
          round: round.id,
          criterion,
          best,
          reasons: draft.reasons,
          note: draft.note,
        });
      const option = (best, text) =>
        button(text, () => vote(best), { "aria-pressed": String(Boolean(given && given.best === best)) });
      const reasons = page.view.reasons.map((reason) => {
        const input = make("input", {
          type: "checkbox",
          "aria-label": reason,
          onchange: () => {
            draft.reasons = input.checked
              ? [...draft.reasons, reason]
              : draft.reasons.filter((one) => one !== reason);
            if (given) vote(given.best);
          },
        });
        input.checked = draft.reasons.includes(reason);
        return make("label", {}, input, reason);
      });
      const note = make("input", {
        type: "text",
        placeholder: "note",
        "aria-label": `Note on ${criterion}`,
        maxlength: "2000",
        oninput: () => {
          draft.note = note.value;
        },
        onchange: () => given && vote(given.best),
      });
      note.value = draft.note;
      const more = make(
        "details",
        {
          open: draft.open,
          ontoggle: () => {
            draft.open = more.open;
          },
        },
        make("summary", {}, "Reasons, note"),
        make("span", { className: "reasons" }, reasons),
        note,
      );
      return make(
        "div",
        { className: "vote", "data-criterion": criterion },
        make(
          "span",
          { className: "criterion" },
          criterion === "overall" && page.view.criteria.length === 1 ? "Best" : criterion,
        ),
        lanes.map((lane) => option(lane.id, lane.name)),
        option("tie", "Tie"),
        option("bad", "All bad"),
        more,
        given && given.changes ? make("span", { className: "quiet" }, `changed ${given.changes}×`) : null,
        given && given.marked.length
          ? make("span", { className: "notice" }, `marked: ${given.marked.join("; ")}`)
          : null,
      );
    }),
  );

const question = (page, round) => {
  const names =
    round.only &&
    round.only.map(
      (id) => (page.view.lanes.find((lane) => lane.id === id) || { name: "a removed lane" }).name,
    );
  const to = (version) => version && (() => page.session("/walk", "POST", { round: version }));
  return make(
    "div",
    { className: "question" },
    safe(round.text_html),
    round.files.length ? make("p", { className: "quiet" }, `With ${round.files.join(", ")}`) : null,
    make(
      "span",
      { className: "tools" },
      names ? make("span", { className: "quiet" }, `only to ${names.join(", ")}`) : null,
      round.versions > 1
        ? walker(round.version, round.versions, "version", to(round.previous), to(round.next))
        : null,
      button("Edit", () => edit(page, round)),
      button("Retry all", () => page.session("/retry", "POST", { round: round.id })),
    ),
  );
};

export const drawRound = (page, round, newest) => {
  const { view } = page;
  const lanes = view.lanes.filter((lane) => round.answers[lane.id]);
  const done = lanes.every((lane) => !round.answers[lane.id].some(pending));
  const grid = make(
    "div",
    { className: "answers" },
    view.lanes.map((lane) =>
      make(
        "div",
        { className: "column", "data-lane": lane.id },
        round.answers[lane.id]
          ? round.answers[lane.id].map((answer, repeat) => answerCard(page, round, lane, answer, repeat))
          : make(
              "p",
              { className: "quiet absent" },
              round.copied && round.copied[lane.id]
                ? `goes on from ${round.copied[lane.id]}'s answer`
                : "not asked",
            ),
      ),
    ),
  );
  const section = make(
    "section",
    { className: "round", "data-round": round.id, "data-message": round.message, "aria-label": "Round" },
    question(page, round),
    grid,
  );
  section.append(
    ...round.mismatches.map((one) => make("p", { className: "error wide", role: "alert" }, one)),
  );
  if (!done) return section;
  const below = make("div", { className: "below" });
  section.append(below);
  if (lanes.length > 1) {
    const compared = make("div", {});
    glance(page, round, lanes, compared);
    below.append(compared);
  }
  const chart = timings(round.timings, "This round");
  if (chart) below.append(chart);
  const judged = newest && lanes.length > 1 ? votes(page, round, lanes) : votesGiven(page, round);
  if (judged) below.append(judged);
  return section;
};
