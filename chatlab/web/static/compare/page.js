// The comparison page. The server holds the session; this draws what it says, and asks it to act.
/**
 * @import {
 *   AnswerEvent, BackendChoices, Begun, ChatToCompare, PageOptions, RoundView, SessionView,
 * } from "../server.d.ts"
 */
/** @import { Api } from "../dom.js" */
import { asking, Away, button, make, say, sentence } from "../dom.js";
import { forget, paint, pending, restart, settle } from "./answers.js";
import { timings } from "./chart.js";
import { composer } from "./composer.js";
import { inFront } from "../dialog.js";
import { arrange, following, keepingFocus, position, unpressed } from "./drawing.js";
import { fold, isFolded, layOut } from "./folded.js";
import { headTools, narrow } from "./head.js";
import { lanesBar } from "./lanes.js";
import { drawRound } from "./round.js";
import { setup } from "./setup.js";
import { beside } from "./beside.js";

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const root = document.body.dataset.root ?? "";
const main = part("main");
const head = part("session-tools");
const told = part("told");
const foot = part("foot");
const away = part("away");
/** @type {Api} */
const api = asking(root);

/** @type {EventSource | null} */
let events = null;
/** @type {string | null} */
let tab = null;
/** @type {SessionView | null} */
let current = null;
/** @type {PageOptions} */
let options;
/** @type {Promise<BackendChoices> | null} */
let known = null;
/** @type {ReturnType<typeof beside> | null} */
let side = null;

let silence = 0;
/** @param {string} text */
const tell = (text) => {
  inFront(foot).prepend(told);
  told.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => {
    told.textContent = "";
  }, 8000);
};

/**
 * Runs what was asked for; a refusal becomes a sentence on the page, and null.
 *
 * @template T
 * @param {() => T | Promise<T>} act
 * @returns {Promise<T | null>}
 */
const tried = async (act) => {
  try {
    return await act();
  } catch (error) {
    tell(sentence(error));
    return null;
  }
};

/** What the other modules know of the page, and ask of it. */
class ComparePage {
  root = root;
  api = api;
  tell = tell;
  tried = tried;
  composer = composer(part("composer"), this);

  get options() {
    return options;
  }

  /** The session that is open. */
  get view() {
    if (!current) throw new Error(say("compare.none-open"));
    return current;
  }

  isOpen() {
    return current !== null;
  }

  /**
   * A lane's name; one that is there no more is said to be removed.
   *
   * @param {string} lane
   */
  nameOf = (lane) => this.view.lanes.find((one) => one.id === lane)?.name ?? say("compare.removed-lane");

  /** @param {string} path */
  below = (path) => `compare/sessions/${encodeURIComponent(this.view.id)}${path}`;

  /** @param {string} path */
  path = (path) => `${root}/-/${this.below(path)}`;

  /**
   * Asks something of the open session.
   *
   * @template T
   * @param {string} path
   * @param {string} method
   * @param {object} body
   * @returns {Promise<T | null>}
   */
  session = (path, method = "POST", body = {}) =>
    tried(() => api(this.below(path), method, method === "GET" ? undefined : body));

  // Asked for only by the forms that need it: a page that shows a blind session is told of no backend.
  /** @returns {Promise<BackendChoices>} */
  backends = () => {
    /** @type {Promise<BackendChoices>} */
    const asked = known ?? api("compare/backends");
    known = asked;
    return asked.catch((error) => {
      known = null;
      throw error;
    });
  };

  /** @param {string} lane */
  choose = (lane) => {
    tab = lane;
    mark();
  };

  /**
   * Collapses a lane, or shows it again.
   *
   * @param {string} lane
   */
  fold = (lane) => {
    fold(lane);
    draw(false);
  };

  /** @param {string} id */
  open = (id) => open(id);

  drawHead = () => drawHead();

  /** The session is called otherwise from now on: the sidebars of this browser's tabs say so. */
  retitled = () => side?.changed();

  /** Leaves the session that is open for the form of a new one. */
  begin = () => {
    close();
    begin();
  };
}
/** @typedef {ComparePage} Page */
const page = new ComparePage();

// On a narrow page the lanes are tabs: the chosen one is shown, the others are a tap away.
const mark = () => {
  const { lanes } = page.view;
  if (!lanes.some((lane) => lane.id === tab)) tab = lanes[0]?.id ?? null;
  /** @type {NodeListOf<HTMLElement>} */
  const parts = main.querySelectorAll("[data-lane]");
  parts.forEach((one) => {
    const shown = one.dataset.lane === tab;
    one.classList.toggle("shown", shown);
    one.classList.toggle("folded", isFolded(one.dataset.lane ?? ""));
    one.querySelector(".tab")?.setAttribute("aria-pressed", String(shown));
  });
};

/** @typedef {{ sign: string, element: HTMLElement }} Drawn */

// What was drawn and is the same still is left as it is, so that nobody's reading or writing is disturbed.
/** @type {Map<string, Drawn>} */
const drawn = new Map();

/**
 * @param {string} name
 * @param {unknown} of
 * @param {() => HTMLElement} make
 */
const unlessSame = (name, of, make) => {
  const sign = JSON.stringify(of);
  const before = drawn.get(name);
  if (before?.sign === sign) return before.element;
  const element = make();
  drawn.set(name, { sign, element });
  return element;
};

/**
 * A round without what changes while nothing that is shown of it does.
 *
 * @param {RoundView} round
 */
const bare = (round) => {
  const answers = Object.entries(round.answers).map(([lane, all]) => [
    lane,
    all.map((one) => (one.figures ? { ...one, figures: null } : one)),
  ]);
  return { ...round, timings: null, answers: Object.fromEntries(answers) };
};

/**
 * @param {RoundView} round
 * @param {boolean} newest
 */
const roundSign = (round, newest) => {
  const { lanes, mode, hidden } = page.view;
  return [bare(round), lanes.map(({ id, name, model }) => [id, name, model]), mode, hidden, newest];
};

/** @param {boolean} fresh whether the server will paint what runs from its beginning */
const draw = (fresh) => {
  const { view } = page;
  const rounds = view.rounds.map((round, at) => {
    const newest = at === view.rounds.length - 1;
    return unlessSame(round.id, roundSign(round, newest), () => drawRound(page, round, newest));
  });
  const { lanes, hidden, reveal, mode } = view;
  const collapsed = lanes.filter((lane) => isFolded(lane.id)).map((lane) => lane.id);
  const about = [lanes, hidden, reveal, mode, collapsed, view.rounds.map((round) => round.id)];
  const wanted = [
    unlessSame("lanes", about, () => lanesBar(page)),
    ...view.unsaved.map((why) => make("p", { className: "error", role: "alert" }, why)),
    ...rounds,
    view.rounds.length ? null : unlessSame("empty", view.lanes.length, empty),
    view.rounds.length > 1 ? timings(view.timings, say("compare.all-rounds")) : null,
  ].filter((one) => one !== null);
  layOut(
    main,
    view.lanes.map((lane) => lane.id),
  );
  following(() =>
    keepingFocus(main, () => {
      arrange(main, wanted);
      if (fresh) restart();
    }),
  );
  drawHead();
  page.composer.draw();
  mark();
};
/** What a session shows before anything was asked: the examples that the chat page has, too. */
const empty = () =>
  make(
    "div",
    { className: "empty" },
    make("p", { className: "quiet" }, say("compare.empty")),
    options.examples.map((text) =>
      button(text, () => page.session("/ask", "POST", { text }), { dir: "auto" }),
    ),
  );

const drawHead = () => {
  const title = page.view.title || say("compare.new");
  document.title = `${title} · ${options.title}`;
  const active = document.activeElement;
  const had = active && head.contains(active) ? position(active) : null;
  if (head.querySelector("details[open], input")) return; // not under somebody's hand; it is drawn again soon
  head.replaceChildren(...headTools(page));
  if (!had) return;
  const all = [...head.querySelectorAll(/** @type {"button"} */ ("button, summary, select"))];
  all.find((one) => position(one) === had)?.focus();
};

const close = () => {
  events?.close();
  events = null;
  current = null;
  drawn.clear();
  forget();
  page.composer.clear();
};

narrow.addEventListener("change", () => page.isOpen() && drawHead());

/** @param {string} id */
const open = (id) => {
  close();
  history.replaceState(null, "", `${root}/compare?s=${encodeURIComponent(id)}`);
  side?.mark(id);
  side?.refresh();
  listen(id);
};

/**
 * Has the page told what becomes of a session, from its state now on.
 *
 * @param {string} id
 */
const listen = (id) => {
  events?.close();
  const source = new EventSource(`${root}/-/compare/sessions/${encodeURIComponent(id)}/events`);
  events = source;
  /** @param {() => void} act */
  const drawing = (act) => unpressed(() => source === events && act());
  source.addEventListener("open", () => sayAway(false));
  source.addEventListener("view", (event) => {
    const view = /** @type {SessionView} */ (JSON.parse(event.data));
    drawing(() => {
      current = view;
      side?.retitle(view.id, view.title);
      draw(true);
    });
  });
  source.addEventListener("paint", (event) => {
    const painted = JSON.parse(event.data);
    drawing(() => following(() => painted.forEach(paint)));
  });
  source.addEventListener("answer", (event) => {
    const answer = JSON.parse(event.data);
    drawing(() => ended(answer));
  });
  source.addEventListener("refused", (event) => {
    source.close();
    close();
    begin();
    tell(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    if (source === events) lost(id, source);
  });
};

/**
 * The stream has broken off. A browser that does not ask again by itself is made to, for as long as the
 * server is away; what the server says once it is back is told.
 *
 * @param {string} id
 * @param {EventSource} source
 */
const lost = async (id, source) => {
  if (source.readyState !== EventSource.CLOSED) return sayAway(true);
  /** @type {Promise<SessionView>} */
  const asked = api(`compare/sessions/${encodeURIComponent(id)}`);
  const problem = await asked.then(() => null).catch((/** @type {unknown} */ error) => error);
  if (source !== events) return;
  if (problem instanceof Away) {
    sayAway(true);
    setTimeout(() => source === events && lost(id, source), AGAIN);
  } else if (problem === null) listen(id);
  else {
    sayAway(false);
    tell(sentence(problem));
    close();
    begin();
  }
};
const AGAIN = 2000; // milliseconds after which a server that is away is asked again

/** @param {boolean} is */
const sayAway = (is) => {
  away.hidden = !is;
};

/** @param {AnswerEvent} event */
const ended = ({ round, lane, repeat, answer, running, timings, overall }) => {
  const found = current?.rounds.find((one) => one.id === round);
  if (!current || !found?.answers[lane]) return;
  found.answers[lane][repeat] = answer;
  found.timings = timings;
  Object.assign(current, { running, timings: overall });
  const newest = found === current.rounds.at(-1);
  if (Object.values(found.answers).flat().some(pending)) {
    following(() => keepingFocus(main, () => settle(page, found, lane, repeat)));
  } else draw(false);
  const section = drawn.get(round);
  if (section) section.sign = JSON.stringify(roundSign(found, newest));
  page.composer.draw();
  mark();
};

/**
 * Shows the form of a new session.
 *
 * @param {{ conversation: string, turn: string } | null} from the chat that it begins with
 */
const begin = (from = null) =>
  tried(async () => {
    /** @type {ChatToCompare | null} */
    const chat = from ? await tried(() => api(chatPath(from))) : null;
    if (!chat) history.replaceState(null, "", `${root}/compare`);
    document.title = `${say("compare.title")} · ${options.title}`;
    head.replaceChildren();
    side?.mark("");
    const choices = await page.backends();
    const form = setup(
      choices,
      api,
      async (wanted) => {
        /** @type {Begun} */
        const begun = await api("compare/sessions", "POST", chat ? { ...wanted, ...from } : wanted);
        open(begun.id);
      },
      tell,
      chat,
    );
    layOut(main, []);
    main.replaceChildren(form);
  });

/** @param {{ conversation: string, turn: string }} from */
const chatPath = ({ conversation, turn }) =>
  `compare/chats/${encodeURIComponent(conversation)}?turn=${encodeURIComponent(turn)}`;

/**
 * Opens the results of a run of `chatlab compare` as a session of this person's.
 *
 * @param {string} token
 */
const openRun = async (token) => {
  /** @type {Begun | null} */
  const made = await tried(() => api(`compare/runs/${encodeURIComponent(token)}`, "POST"));
  if (made) open(made.id);
  else await begin();
};

const start = async () => {
  try {
    options = await api("compare/options");
  } catch (error) {
    sayAway(error instanceof Away);
    if (error instanceof Away) setTimeout(start, AGAIN);
    return tell(sentence(error));
  }
  sayAway(false);
  part("title").textContent = options.title;
  if (options.storage) side = beside(page);
  const query = new URLSearchParams(location.search);
  const wanted = query.get("s");
  const conversation = query.get("c");
  const run = query.get("run");
  if (wanted) open(wanted);
  else if (run) await openRun(run);
  else await begin(conversation ? { conversation, turn: query.get("t") ?? "" } : null);
};
start();
