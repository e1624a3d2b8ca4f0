// What a session begins with: 2 to 8 lanes, each a backend with its own parameters and system prompt.
/** @import { Api } from "../dom.js" */
/**
 * @import {
 *   BackendChoices, Begin, ChatToCompare, LaneSpec, ModelsListed, ParameterView,
 * } from "../server.d.ts"
 */
import { button, make, say, sentence } from "../dom.js";

const MOST = 8;
const FEWEST = 2;

/**
 * @param {string} text
 * @param {HTMLElement} input
 */
const field = (text, input) => make("label", { className: "field" }, make("span", {}, text), input);

/**
 * @param {string} label
 * @param {[value: string, text: string][]} values
 * @param {string | undefined} chosen
 * @param {() => void} [onchange]
 */
const choice = (label, values, chosen, onchange) => {
  const made = make("select", { "aria-label": label, onchange });
  for (const [value, text] of values)
    made.append(make("option", { value, selected: value === chosen }, text));
  return made;
};

/** @typedef {{ input: HTMLInputElement | HTMLSelectElement, parameter: ParameterView }} ParameterInput */

/**
 * The model of a backend whose server lists some, for lanes that are to have another one than configured.
 *
 * @param {Api} api
 * @param {string} first
 */
const modelField = (api, first) => {
  const list = make("datalist", { id: `models-${crypto.randomUUID()}` });
  const input = make("input", {
    type: "text",
    list: list.id,
    placeholder: say("compare.as-configured"),
    dir: "auto",
  });
  input.value = first;
  const problem = make("p", { className: "quiet", role: "status" });
  const element = make("div", {}, field(say("compare.model"), input), list, problem);
  /** @param {string} backend */
  const of = async (backend) => {
    list.replaceChildren();
    problem.textContent = "";
    /** @type {Promise<ModelsListed>} */
    const asked = api(`backends/${encodeURIComponent(backend)}/models`);
    const found = await asked.catch((error) => ({ models: [], problem: sentence(error) }));
    list.replaceChildren(...found.models.map((value) => make("option", { value })));
    problem.textContent = found.problem && say("compare.models-unknown", { problem: found.problem });
  };
  return { element, input, of };
};

/**
 * A lane's settings as a form; `read()` gives the lane, or throws an Error that says what is wrong.
 *
 * @param {BackendChoices} options
 * @param {Api} api
 * @param {Partial<LaneSpec>} given
 */
export const laneForm = (options, api, given = {}) => {
  /** @param {string | undefined} name */
  const known = (name) => options.backends.find((one) => one.name === name);
  const [name = "", ...rest] = given.backend?.split(":") ?? [];
  const chosenModel = known(given.backend) || !known(name)?.discovers ? "" : rest.join(":");
  const model = modelField(api, chosenModel);
  const backend = choice(
    say("compare.backend"),
    options.backends.map((one) => [one.name, one.ready ? `${one.label} (${one.ready})` : one.label]),
    chosenModel ? name : given.backend,
    () => {
      if (label.value === named) label.value = ""; // it was the other backend's
      model.input.value = "";
      draw();
    },
  );
  const label = make("input", { type: "text", maxlength: "60", placeholder: say("compare.backends-name") });
  const named = given.label && given.label !== known(given.backend)?.label ? given.label : "";
  label.value = named;
  const system = make("textarea", { rows: "2", dir: "auto", placeholder: say("compare.as-configured") });
  system.value = given.system || "";
  /** @type {Map<string, ParameterInput>} */
  const inputs = new Map();
  const summary = make("summary", {}, say("compare.more-settings"));
  const more = make("details", {}, summary);
  more.open = Boolean(given.system || Object.keys(given.parameters || {}).length);
  const draw = () => {
    model.element.hidden = !known(backend.value)?.discovers;
    if (!model.element.hidden) void model.of(backend.value);
    const before = new Map([...inputs].map(([name, { input }]) => [name, input.value]));
    inputs.clear();
    more.replaceChildren(summary, field(say("compare.name"), label), field(say("compare.system"), system));
    for (const parameter of known(backend.value)?.parameters ?? []) {
      const was = before.get(parameter.name) ?? shown(given.parameters?.[parameter.name]);
      const input = parameterInput(parameter, was);
      inputs.set(parameter.name, { input, parameter });
      more.append(field(parameter.name.replaceAll("_", " "), input));
    }
  };
  draw();
  return {
    element: make("div", { className: "lane-form" }, backend, model.element, more),
    read: () => ({
      backend: [backend.value, model.input.value.trim()].filter(Boolean).join(":"),
      parameters: readParameters(inputs),
      ...(label.value.trim() ? { label: label.value.trim() } : {}),
      ...(system.value.trim() ? { system: system.value } : {}),
    }),
  };
};

/**
 * @param {ParameterView} parameter
 * @param {string} value
 */
const parameterInput = (parameter, value) => {
  const values = parameter.type === "bool" ? ["true", "false"] : parameter.choices;
  if (values.length) {
    return choice(parameter.name, [["", say("compare.default")], ...pairs(values)], value);
  }
  const input = make("input", { type: "text", placeholder: range(parameter) });
  input.value = value;
  return input;
};

/**
 * @param {string[]} values
 * @returns {[string, string][]}
 */
const pairs = (values) => values.map((value) => [value, value]);

/** @param {Map<string, ParameterInput>} inputs */
const readParameters = (inputs) => {
  /** @type {Record<string, unknown>} */
  const parameters = {};
  for (const [name, { input, parameter }] of inputs) {
    if (input.value.trim() !== "") parameters[name] = parsed(parameter, input.value);
  }
  return parameters;
};

/**
 * A parameter's value as its input shows it.
 *
 * @param {unknown} value
 */
const shown = (value) => {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.join("\n");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};

/** @param {ParameterView} parameter */
const range = ({ minimum, maximum }) => {
  if (minimum === null && maximum === null) return say("compare.default");
  if (minimum === null) return say("compare.range-to", { high: maximum ?? "" });
  if (maximum === null) return say("compare.range-from", { low: minimum });
  return say("compare.range-from-to", { low: minimum, high: maximum });
};

/**
 * @param {ParameterView} parameter
 * @param {string} text
 * @returns {unknown}
 */
const parsed = (parameter, text) => {
  if (parameter.type === "string") return text;
  if (parameter.type === "strings") return text.split("\n").filter(Boolean);
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(say("compare.not-taken", { name: parameter.name, text, type: parameter.type }));
  }
};

/**
 * The list of lanes of a session that is to begin, 2 to 8 of them.
 *
 * @param {BackendChoices} options
 * @param {Api} api
 * @param {(text: string) => void} tell
 * @param {ChatToCompare | null} chat
 */
const laneList = (options, api, tell, chat) => {
  /** @type {ReturnType<typeof laneForm>[]} */
  const lanes = [];
  const element = make("ol", { className: "lane-list" });
  /** @param {Partial<LaneSpec>} given */
  const add = (given) => {
    if (lanes.length === MOST) return tell(say("compare.at-most", { most: MOST }));
    const form = laneForm(options, api, given);
    const remove = () => {
      if (lanes.length === FEWEST) return tell(say("compare.at-least", { fewest: FEWEST }));
      lanes.splice(lanes.indexOf(form), 1);
      item.remove();
    };
    const item = make("li", {}, form.element, button(say("compare.remove"), remove, { className: "plain" }));
    lanes.push(form);
    element.append(item);
  };
  const ready = options.backends.filter((one) => !one.ready).map((one) => ({ backend: one.name }));
  const configured = chat ? besideChat(options, chat) : options.defaults.lanes;
  (configured.length ? configured : ready.slice(0, FEWEST)).forEach(add);
  while (lanes.length < FEWEST) add(ready[0] ?? {});
  return { element, add, read: () => lanes.map((lane) => lane.read()) };
};

/**
 * The lane that a chat is, and another one beside it: one that is configured for comparisons, if there is.
 *
 * @param {BackendChoices} options
 * @param {ChatToCompare} chat
 * @returns {Partial<LaneSpec>[]}
 */
const besideChat = (options, { lane }) => {
  const ready = options.backends.filter((one) => !one.ready).map((one) => ({ backend: one.name }));
  const other = [...options.defaults.lanes, ...ready].find((one) => one.backend !== lane.backend);
  return [lane, other ?? lane];
};

/**
 * The form that begins a session.
 *
 * @param {BackendChoices} options
 * @param {Api} api
 * @param {(wanted: Begin) => Promise<void>} begin
 * @param {(text: string) => void} tell
 * @param {ChatToCompare | null} chat that it begins with
 */
export const setup = (options, api, begin, tell, chat = null) => {
  const { defaults } = options;
  const lanes = laneList(options, api, tell, chat);
  const mode = choice(
    say("compare.history"),
    [
      ["own", say("compare.own-about")],
      ["shared", say("compare.shared-about")],
    ],
    defaults.mode,
  );
  const blind = make("input", { type: "checkbox" });
  blind.checked = defaults.blind;
  const reveal = choice(
    say("compare.appear"),
    [
      ["together", say("compare.together")],
      ["paced", say("compare.paced")],
      ["as they come", say("compare.as-they-come")],
    ],
    defaults.reveal,
  );
  const repeats = make("input", {
    type: "number",
    min: "1",
    max: "20",
    title: say("compare.repeats-about"),
  });
  repeats.value = String(defaults.repeats);
  /** @param {SubmitEvent} event */
  const onsubmit = async (event) => {
    event.preventDefault();
    try {
      await begin({
        lanes: lanes.read(),
        mode: /** @type {Begin["mode"]} */ (mode.value),
        blind: blind.checked,
        reveal: /** @type {Begin["reveal"]} */ (reveal.value),
        repeats: Number(repeats.value),
      });
    } catch (error) {
      tell(sentence(error));
    }
  };
  const blindLabel = make("span", {}, say("compare.blind-about"));
  const about = chat ? say("compare.about-chat") : say("compare.about");
  return make(
    "form",
    { className: "setup", onsubmit },
    make(
      "h2",
      { dir: "auto" },
      chat ? say("compare.compare-chat", { title: chat.title || say("both.untitled") }) : say("compare.new"),
    ),
    make("p", { className: "quiet" }, about),
    lanes.element,
    button(say("compare.add-lane"), () => lanes.add({ backend: options.backends[0].name })),
    make(
      "div",
      { className: "choices" },
      field(say("compare.history"), mode),
      chat ? null : make("label", { className: "field check" }, blind, blindLabel),
      chat ? null : field(say("compare.blind-appear"), reveal),
      field(say("compare.repeats"), repeats),
    ),
    make("button", { type: "submit", className: "primary" }, say("compare.start")),
  );
};
