// The comparison page. The server holds the session; this draws what it says, and asks it to act.
import { asking, button, make, menu } from "./dom.js";
import { composer } from "./compare_composer.js";
import { ranking, rename, report, sessions, share } from "./compare_dialogs.js";
import { lanesBar } from "./compare_lanes.js";
import { cards, drawRound, paint, pending, restart, settle } from "./compare_round.js";
import { setup } from "./compare_setup.js";
import { timings } from "./compare_chart.js";

const root = document.body.dataset.root;
const api = asking(root);
const main = document.getElementById("main");
const head = document.getElementById("session-tools");
const dialog = document.getElementById("dialog");
const told = document.getElementById("told");

let events = null,
  tab = null,
  known = null;

const tell = (text) => {
  (dialog.open ? dialog : document.body).append(told); // a dialog hides what is not in it
  told.textContent = text;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => {
    told.textContent = "";
  }, 8000);
};

// What the other modules know of the page.
const page = {
  root,
  api,
  tell,
  view: null,
  options: null,
  // Runs what was asked for; a refusal becomes a sentence on the page.
  tried: async (act) => {
    try {
      return await act();
    } catch (error) {
      tell(error.message);
      return null;
    }
  },
  below: (path) => `compare/sessions/${encodeURIComponent(page.view.id)}${path}`,
  path: (path) => `${root}/-/${page.below(path)}`,
  session: (path, method = "POST", body = {}) =>
    page.tried(() => api(page.below(path), method, method === "GET" ? undefined : body)),
  // Asked for only by the forms that need it: a page that shows a blind session is told of no backend.
  backends: () =>
    (known ??= api("compare/backends").catch((error) => {
      known = null;
      throw error;
    })),
  choose: (lane) => {
    tab = lane;
    mark();
  },
  open: (id) => open(id),
  drawHead: () => drawHead(),
};
page.composer = composer(document.getElementById("composer"), page);

// On a narrow page the lanes are tabs: the chosen one is shown, the others are a tap away.
const mark = () => {
  const { lanes } = page.view;
  if (!lanes.some((lane) => lane.id === tab)) tab = lanes.length ? lanes[0].id : null;
  main
    .querySelectorAll("[data-lane]")
    .forEach((one) => one.classList.toggle("shown", one.dataset.lane === tab));
  main
    .querySelectorAll(".lane .tab")
    .forEach((one) =>
      one.setAttribute("aria-pressed", String(one.closest("[data-lane]").dataset.lane === tab)),
    );
};

// Keeps the page's end in sight for whoever looks at it, while `change` makes the page longer.
const following = (change) => {
  const scroll = document.scrollingElement;
  const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  change();
  if (below) scroll.scrollTop = scroll.scrollHeight;
};

// Where the focus is, in words that hold when the same thing is drawn anew.
const place = (element, round = "round") =>
  [
    element.closest("[data-round]")?.dataset[round],
    element.closest("[data-lane]")?.dataset.lane,
    element.closest("[data-criterion]")?.dataset.criterion,
    element.tagName,
    element.getAttribute("aria-label") || element.textContent,
  ].join("|");
const keepingFocus = (change) => {
  const had = document.activeElement;
  if (!had || !main.contains(had)) return change();
  const here = place(had),
    message = place(had, "message"); // of another version, if this one has gone
  change();
  if (document.activeElement === had) return;
  if (had.isConnected) return had.focus();
  const all = [...main.querySelectorAll("button, summary, input")];
  (all.find((one) => place(one) === here) || all.find((one) => place(one, "message") === message))?.focus();
};

// What was drawn and is the same still is left as it is, so that nobody's reading or writing is disturbed.
const drawn = new Map();
const kept = (name, of, make) => {
  const sign = JSON.stringify(of);
  const before = drawn.get(name);
  if (before && before.sign === sign) return before.element;
  const element = make();
  drawn.set(name, { sign, element });
  return element;
};
const bare = (round) => ({
  ...round,
  timings: null,
  answers: Object.fromEntries(
    Object.entries(round.answers).map(([lane, answers]) => [
      lane,
      answers.map((one) => (one.figures ? { ...one, figures: null } : one)),
    ]),
  ),
});
const roundSign = (round, newest) => [
  bare(round),
  page.view.lanes.map(({ id, name, model }) => [id, name, model]),
  page.view.mode,
  page.view.hidden,
  newest,
];

// fresh: the server will paint what runs from its beginning.
const draw = (fresh) => {
  const { view } = page;
  const rounds = view.rounds.map((round, at) => {
    const newest = at === view.rounds.length - 1;
    return kept(round.id, roundSign(round, newest), () => drawRound(page, round, newest));
  });
  const wanted = [
    kept(
      "lanes",
      [view.lanes, view.hidden, view.reveal, view.mode, view.rounds.map((round) => round.id)],
      () => lanesBar(page),
    ),
    ...view.unsaved.map((why) => make("p", { className: "error", role: "alert" }, why)),
    ...rounds,
    view.rounds.length
      ? null
      : make("p", { className: "quiet empty" }, "Write a message: it goes to all lanes at once."),
    view.rounds.length > 1 ? timings(view.timings, "All rounds") : null,
  ].filter(Boolean);
  main.style.setProperty("--lanes", view.lanes.length);
  following(() =>
    keepingFocus(() => {
      main.replaceChildren(...wanted);
      if (fresh) restart();
    }),
  );
  drawHead();
  page.composer.draw();
  mark();
};

const drawHead = () => {
  const { view, options } = page;
  const title = view.title || "New comparison";
  document.title = `${title} · ${options.title}`;
  const mode = make(
    "select",
    { "aria-label": "History", onchange: () => page.session("/mode", "POST", { mode: mode.value }) },
    make("option", { value: "own" }, "own history"),
    make("option", { value: "shared" }, "shared history"),
  );
  mode.value = view.mode;
  const made = [
    button(title, () => rename(page), { className: "plain title", title: "Rename" }),
    view.blind ? make("span", { className: "quiet" }, view.hidden ? "blind" : "was blind") : null,
    mode,
    view.hidden && view.rounds.length
      ? button("Reveal names", () => page.session("/reveal"), { className: "primary" })
      : null,
    view.rounds.length
      ? button("Undo", async () => {
          const back = await page.session("/undo");
          if (back) page.composer.fill(back.text);
        })
      : null,
    menu(
      "More",
      "More",
      button("New comparison", () => {
        close();
        begin();
      }),
      options.storage ? button("Comparisons…", () => sessions(page)) : null,
      view.rounds.length && !view.hidden ? button("Ranking…", () => ranking(page)) : null,
      view.rounds.length && !view.hidden ? button("Report…", () => report(page)) : null,
      options.sharing && !view.hidden ? button("Share…", () => share(page)) : null,
    ),
  ].filter(Boolean);
  const had = head.contains(document.activeElement) ? place(document.activeElement) : null;
  if (head.querySelector("details[open]")) return; // not under somebody's hand; it is drawn again soon
  head.replaceChildren(...made);
  if (had) [...head.querySelectorAll("button, summary, select")].find((one) => place(one) === had)?.focus();
};

const close = () => {
  if (events) events.close();
  events = null;
  page.view = null;
  drawn.clear();
  cards.clear();
  page.composer.clear();
};

const open = (id) => {
  close();
  history.replaceState(null, "", `${root}/compare?s=${encodeURIComponent(id)}`);
  const source = (events = new EventSource(`${root}/-/compare/sessions/${encodeURIComponent(id)}/events`));
  source.addEventListener("view", (event) => {
    page.view = JSON.parse(event.data);
    draw(true);
  });
  source.addEventListener("paint", (event) => following(() => JSON.parse(event.data).forEach(paint)));
  source.addEventListener("answer", (event) => {
    const { round, lane, repeat, answer, running, timings, overall } = JSON.parse(event.data);
    const found = page.view && page.view.rounds.find((one) => one.id === round);
    if (!found || !found.answers[lane]) return;
    found.answers[lane][repeat] = answer;
    found.timings = timings;
    Object.assign(page.view, { running, timings: overall });
    const newest = found === page.view.rounds.at(-1);
    if (Object.values(found.answers).flat().some(pending))
      following(() => keepingFocus(() => settle(page, found, lane, repeat)));
    else draw(false);
    const section = drawn.get(round);
    if (section) section.sign = JSON.stringify(roundSign(found, newest));
    page.composer.draw();
    mark();
  });
  source.addEventListener("error", async () => {
    if (source !== events || source.readyState !== EventSource.CLOSED) return;
    const problem = await api(`compare/sessions/${encodeURIComponent(id)}`).then(
      () => null,
      (error) => error,
    );
    if (source !== events) return;
    if (problem) {
      tell(problem.message);
      close();
      begin();
    } else open(id);
  });
};

const begin = () =>
  page.tried(async () => {
    history.replaceState(null, "", `${root}/compare`);
    document.title = `Compare · ${page.options.title}`;
    head.replaceChildren(page.options.storage ? button("Comparisons…", () => sessions(page)) : "");
    const choices = await page.backends();
    main.style.setProperty("--lanes", 1);
    main.replaceChildren(
      setup(choices, async (wanted) => open((await api("compare/sessions", "POST", wanted)).id), tell),
    );
  });

page.tried(async () => {
  page.options = await api("compare/options");
  document.getElementById("title").textContent = page.options.title;
  const wanted = new URLSearchParams(location.search).get("s");
  if (wanted) open(wanted);
  else await begin();
});
