// The comparison page. The server holds the session; this draws what it says, and asks it to act.
import { asking, button, make } from "./dom.js";
import { laneForm, setup } from "./compare_setup.js";
import { cards, drawRound, paint, pending, settle } from "./compare_round.js";
import { timings } from "./compare_chart.js";

const root = document.body.dataset.root;
const api = asking(root);
const main = document.getElementById("main");
const composer = document.getElementById("composer");
const tools = document.getElementById("session-tools");
const dialog = document.getElementById("dialog");
const told = document.getElementById("told");

let options, view = null, events = null, tab = null, files = [], only = new Set();

const tell = (text) => {
  told.textContent = text;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { told.textContent = ""; }, 8000);
};
// Runs what was asked for; a refusal becomes a sentence on the page.
const tried = async (act) => { try { return await act(); } catch (error) { tell(error.message); return null; } };
const session = (path, method = "POST", body = {}) =>
  tried(() => api(`compare/sessions/${view.id}${path}`, method, method === "GET" ? undefined : body));

const show = (title, ...content) => {
  dialog.replaceChildren(make("header", {}, make("h2", {}, title), button("Close", () => dialog.close(), { className: "plain" })), ...content);
  if (!dialog.open) dialog.showModal();
};

const act = {
  stop: (lane) => session("/stop", "POST", lane ? { lane } : {}),
  retry: (round, lanes) => session("/retry", "POST", { round, ...(lanes ? { lanes } : {}) }),
  pick: (round, lane, repeat) => session("/pick", "POST", { round, lane, repeat }),
  vote: (round, vote) => session("/votes", "POST", { round, ...vote }),
  chat: async (lane) => {
    const found = await session(`/lanes/${lane}/chat`);
    if (found) location.href = `${root}/?c=${encodeURIComponent(found.conversation)}`;
  },
  edit: (round) => {
    const box = make("textarea", { rows: "5", "aria-label": "Message" });
    box.value = round.text ?? "";
    show("Edit the message", box, button("Ask again", async () => {
      dialog.close();
      await session("/edit", "POST", { round: round.id, text: box.value, ...(round.only ? { lanes: round.only } : {}) });
    }, { className: "primary" }));
    box.focus();
  },
  receipt: async (round, lane) => {
    const found = await session(`/rounds/${round}/receipts`, "GET");
    if (found) receipts(found, lane);
  },
  difference: async (round, a, b) => {
    const found = await session(`/rounds/${round}/difference?a=${a}&b=${b}`, "GET");
    if (!found) return;
    const name = (id) => view.lanes.find((lane) => lane.id === id).name;
    show(`${name(a)} and ${name(b)}`,
      make("p", { className: "quiet" }, `Agreement ${Math.round(found.agreement * 100)} %. `,
        make("del", {}, `only ${name(a)}`), " ", make("ins", {}, `only ${name(b)}`)),
      make("div", { className: "difference" }, found.spans.map(({ kind, text }) =>
        kind === "same" ? text : make(kind === "only_a" ? "del" : "ins", {}, text))));
  },
};

const receipts = (found, lane) => {
  const name = (id) => (view.lanes.find((one) => one.id === id) || { name: id }).name;
  const mine = found.receipts.filter((one) => one.lane === lane);
  const others = found.differences.filter((one) => one.a === lane || one.b === lane);
  show(`What ${name(lane)} was sent`,
    found.mismatches.map((one) => make("p", { className: "error" }, `⚠ ${one}`)),
    mine.map(({ receipt, repeat }) => make("section", { className: "receipt" },
      mine.length > 1 ? make("h3", {}, `Repeat ${repeat + 1}`) : null,
      make("dl", {}, Object.entries(receipt).filter(([key, value]) => key !== "messages" && value !== null && value !== undefined)
        .flatMap(([key, value]) => [make("dt", {}, key.replaceAll("_", " ")),
          make("dd", {}, typeof value === "string" ? value : JSON.stringify(value))])),
      make("pre", {}, JSON.stringify(receipt.messages, null, 2)))),
    others.map((one) => make("details", { open: one.lines.length < 12 },
      make("summary", {}, one.lines.length ? `Differs from what ${name(one.a === lane ? one.b : one.a)} was sent`
        : `The same as ${name(one.a === lane ? one.b : one.a)} was sent`),
      make("pre", {}, one.lines.join("\n")))));
};

const lanesBar = () => make("div", { id: "lanes", role: "tablist", "aria-label": "Lanes" }, view.lanes.map((lane) => {
  const menu = make("details", { className: "menu" }, make("summary", { "aria-label": `Change ${lane.name}` }, "⋯"),
    make("div", {},
      view.hidden ? null : button("Change…", () => changeLane(lane)),
      button("Send only to this lane", () => { only = new Set([lane.id]); drawComposer(); }),
      button("Stop", () => act.stop(lane.id)),
      button("Move left", () => move(lane, -1)), button("Move right", () => move(lane, 1)),
      view.hidden ? null : button("Recording", () => { location.href = `${root}/-/compare/sessions/${view.id}/lanes/${lane.id}/recording`; }),
      view.lanes.length > 2 ? button("Remove", () => session(`/lanes/${lane.id}`, "DELETE")) : null));
  return make("div", { className: "lane", "data-lane": lane.id, role: "presentation" },
    button(lane.name, () => { tab = lane.id; mark(); }, { role: "tab", "aria-selected": String(tab === lane.id), className: "plain" }),
    lane.backend && lane.backend !== lane.name ? make("span", { className: "quiet" }, lane.backend) : null,
    lane.ready ? make("span", { className: "error" }, lane.ready) : null, menu);
}), view.lanes.length < 8 && !view.hidden ? button("Add a lane…", () => changeLane(null), { className: "plain" }) : null);

const move = (lane, by) => {
  const lanes = view.lanes.map((one) => one.id);
  const at = lanes.indexOf(lane.id), to = at + by;
  if (to < 0 || to >= lanes.length) return;
  [lanes[at], lanes[to]] = [lanes[to], lanes[at]];
  session("/order", "POST", { lanes });
};

const changeLane = (lane) => {
  const form = laneForm(options, lane || { backend: options.backends[0].name });
  const from = make("select", { "aria-label": "History" }, make("option", { value: "" }, "begins anew"),
    view.lanes.map((one) => make("option", { value: one.id }, `continues from ${one.name}`)));
  show(lane ? `Change ${lane.name}` : "Add a lane", form.element,
    lane ? null : make("label", { className: "field" }, make("span", {}, "History"), from),
    button(lane ? "Change" : "Add", () => tried(async () => {
      const read = form.read();
      await api(`compare/sessions/${view.id}/lanes${lane ? `/${lane.id}` : ""}`, lane ? "PATCH" : "POST",
        lane ? read : { ...read, ...(from.value ? { history_from: from.value } : {}) });
      dialog.close();
    }), { className: "primary" }));
};

// On a narrow page the lanes are tabs: the chosen one is shown, the others are a tap away.
const mark = () => {
  if (!view.lanes.some((lane) => lane.id === tab)) tab = view.lanes.length ? view.lanes[0].id : null;
  main.querySelectorAll("[data-lane]").forEach((one) => one.classList.toggle("shown", one.dataset.lane === tab));
  main.querySelectorAll("[role=tab]").forEach((one) =>
    one.setAttribute("aria-selected", String(one.closest("[data-lane]").dataset.lane === tab)));
};

const draw = () => {
  const scroll = document.scrollingElement;
  const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  const top = scroll.scrollTop;
  cards.clear();
  document.title = `${view.title || "Comparison"} · ${options.title}`;
  const overall = view.lanes.map((lane) => ({ name: lane.name,
    figures: view.rounds.flatMap((round) => (round.answers[lane.id] || []).map((one) => one.figures)).filter(Boolean) }));
  main.replaceChildren(
    lanesBar(),
    view.mismatches.length ? make("div", { className: "error", role: "alert" }, view.mismatches.map((one) => make("p", {}, `⚠ ${one}`))) : "",
    ...view.rounds.map((round) => drawRound(view, round, act)),
    view.rounds.length ? "" : make("p", { className: "quiet empty" }, "Write a message: it goes to all lanes at once."),
    (view.rounds.length > 1 && timings(overall, "All rounds")) || "");
  drawTools();
  drawComposer();
  mark();
  scroll.scrollTop = below ? scroll.scrollHeight : top;
};

const drawTools = () => tools.replaceChildren(...[
  make("span", { className: "quiet" }, view.mode === "own" ? "own history" : "shared history"),
  button(view.mode === "own" ? "Share history" : "Separate histories", () => session("/mode", "POST", { mode: view.mode === "own" ? "shared" : "own" })),
  view.hidden ? button("Reveal names", () => session("/reveal"), { className: "primary" }) : null,
  view.blind && !view.hidden ? make("span", { className: "quiet" }, "was blind") : null,
  view.rounds.length ? button("Undo", () => session("/undo")) : null,
  view.rounds.length && !view.hidden ? button("Report", () => window.open(`${root}/-/compare/sessions/${view.id}/report?format=html`, "_blank", "noopener")) : null,
  view.rounds.length && !view.hidden ? button("Ranking", ranking) : null,
  options.sharing ? button("Copy a link for others", async () => {
    const found = await session("/shares");
    if (!found) return;
    const link = new URL(`${root}/-/shared/${found.token}`, location.href).href;
    try { await navigator.clipboard.writeText(link); tell("Copied. Anybody with the link can read it."); } catch { tell(link); }
  }) : null,
  options.storage ? button("Sessions", sessions) : null,
  button("New", () => { close(); begin(); }),
].filter(Boolean));

const ranking = async () => {
  const found = await session("/ranking", "GET");
  if (!found) return;
  const name = (id) => (view.lanes.find((lane) => lane.id === id) || { name: id }).name;
  show("Ranking by the votes", found.sentence ? make("p", {}, found.sentence) : null,
    (found.criteria || []).map((one) => make("section", {}, make("h3", {}, one.criterion),
      make("table", {}, make("thead", {}, make("tr", {}, ["rank", "lane", "score", "95 % interval", "votes"].map((text) => make("th", {}, text)))),
        make("tbody", {}, one.rows.map((row) => make("tr", {}, [row.rank, name(row.lane), row.score.toFixed(0),
          `${row.low.toFixed(0)} to ${row.high.toFixed(0)}`, row.count].map((text) => make("td", {}, String(text))))))),
      one.notes.map((note) => make("p", { className: "quiet" }, note)))));
};

const sessions = async () => {
  const list = make("ul", { className: "sessions" });
  const more = async (after) => {
    const found = await tried(() => api(`compare/sessions${after ? `?after=${encodeURIComponent(after)}` : ""}`));
    if (!found) return;
    list.append(...found.sessions.map((one) => {
      const item = make("li", {}, button(one.title || "Untitled", () => { dialog.close(); open(one.id); }, { className: "plain" }),
        make("span", { className: "quiet" }, new Date(one.updated).toLocaleString()),
        button("Delete", async () => {
          if (!(await tried(() => api(`compare/sessions/${one.id}`, "DELETE")))) return;
          item.replaceChildren(`Deleted “${one.title || "Untitled"}”. `, button("Undo", async () => {
            if (await tried(() => api(`compare/sessions/${one.id}/restore`, "POST", {}))) { list.replaceChildren(); more(); }
          }));
        }));
      return item;
    }));
    if (found.next) list.append(make("li", {}, button("More", (event) => { event.target.closest("li").remove(); more(found.next); })));
    if (!list.children.length) list.append(make("li", { className: "quiet" }, "No comparisons yet."));
  };
  show("Your comparisons", list);
  await more();
};

const drawComposer = () => {
  composer.hidden = false;
  const drafted = composer.querySelector("textarea");
  const focused = drafted && document.activeElement === drafted;
  const box = drafted || make("textarea", { rows: "2", placeholder: "Message to all lanes", "aria-label": "Message",
    onkeydown: (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(box); } },
    onpaste: (event) => { if (event.clipboardData.files.length) { event.preventDefault(); attach(event.clipboardData.files); } } });
  const chips = make("div", { className: "chips", role: "group", "aria-label": "Send to" }, view.lanes.map((lane) =>
    button(lane.name, () => { only.has(lane.id) ? only.delete(lane.id) : only.add(lane.id); drawComposer(); },
      { "aria-pressed": String(only.has(lane.id)) })),
  make("span", { className: "quiet" }, only.size ? "only to the chosen lanes" : "to all lanes"));
  const upload = make("input", { type: "file", multiple: true, hidden: true, onchange: () => attach(upload.files) });
  composer.replaceChildren(chips,
    make("div", { className: "files" }, files.map((file) => button(`${file.name} ✕`, () => { files = files.filter((one) => one !== file); drawComposer(); }))),
    make("div", { className: "write" }, button("Attach", () => upload.click(), { "aria-label": "Attach files" }), upload, box,
      view.running ? button("Stop all", () => act.stop(), { className: "stop" }) : button("Send", () => send(box), { className: "primary" })));
  if (focused) box.focus();
};

const attach = async (chosen) => {
  for (const file of chosen) {
    const found = await tried(() => api("compare/uploads", "POST", file));
    if (found) files.push(found);
  }
  drawComposer();
};

const send = async (box) => {
  const text = box.value;
  if (!text.trim() && !files.length) return;
  if (view.running) return tell("The lanes are still answering: wait, or stop them.");
  const lanes = [...only].filter((id) => view.lanes.some((lane) => lane.id === id));
  const sent = await session("/ask", "POST", { text, files: files.map((file) => file.id), ...(lanes.length ? { lanes } : {}) });
  if (!sent) return;
  box.value = "";
  files = [];
  only.clear();
  drawComposer();
};

const close = () => { if (events) events.close(); events = null; view = null; files = []; only.clear(); };

const open = (id) => {
  close();
  history.replaceState(null, "", `${root}/compare?s=${encodeURIComponent(id)}`);
  events = new EventSource(`${root}/-/compare/sessions/${encodeURIComponent(id)}/events`);
  events.addEventListener("view", (event) => { view = JSON.parse(event.data); draw(); });
  events.addEventListener("paint", (event) => JSON.parse(event.data).forEach(paint));
  events.addEventListener("answer", (event) => {
    const { round, lane, repeat, answer } = JSON.parse(event.data);
    const found = view && view.rounds.find((one) => one.id === round);
    if (!found || !found.answers[lane]) return;
    found.answers[lane][repeat] = answer;
    view.running = view.rounds.some((one) => Object.values(one.answers).flat().some(pending));
    settle(view, found, lane, repeat, act);
    drawComposer();
    mark();
  });
  events.addEventListener("error", async () => {
    if (view || !events || events.readyState !== EventSource.CLOSED) return;
    const problem = await api(`compare/sessions/${encodeURIComponent(id)}`).then(() => null, (error) => error);
    if (problem) { tell(problem.message); begin(); }
  });
};

const begin = () => {
  history.replaceState(null, "", `${root}/compare`);
  composer.hidden = true;
  tools.replaceChildren(options.storage ? button("Sessions", sessions) : "");
  main.replaceChildren(setup(options, async (wanted) => open((await api("compare/sessions", "POST", wanted)).id), tell));
};

tried(async () => {
  options = await api("compare/options");
  if (!options.storage) act.chat = null;
  document.getElementById("title").textContent = options.title;
  const wanted = new URLSearchParams(location.search).get("s");
  if (wanted) open(wanted); else begin();
});
