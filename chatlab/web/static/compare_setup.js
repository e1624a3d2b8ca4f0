// What a session begins with: 2 to 8 lanes, each a backend with its own parameters and system prompt.
import { button, make } from "./dom.js";

const field = (text, input) => make("label", { className: "field" }, make("span", {}, text), input);

const choice = (label, values, chosen, onchange) => {
  const made = make("select", { "aria-label": label, onchange });
  for (const [value, text] of values)
    made.append(make("option", { value, selected: value === chosen }, text));
  return made;
};

// A lane's settings as a form; `read()` gives the lane, or throws an Error that says what is wrong.
export const laneForm = (options, given = {}) => {
  const element = make("div", { className: "lane-form" });
  const backend = choice(
    "Backend",
    options.backends.map((one) => [one.name, one.ready ? `${one.label} (${one.ready})` : one.label]),
    given.backend,
    () => {
      if (label.value === named) label.value = ""; // it was the other backend's
      draw();
    },
  );
  const label = make("input", { type: "text", maxlength: "60", placeholder: "the backend's name" });
  const own = (options.backends.find((one) => one.name === given.backend) || {}).label;
  const named = given.label && given.label !== own ? given.label : "";
  label.value = named;
  const system = make("textarea", { rows: "2", placeholder: "as configured" });
  system.value = given.system || "";
  const inputs = new Map();
  const more = make("details", {}, make("summary", {}, "Parameters and system prompt"));
  more.open = Boolean(given.system || Object.keys(given.parameters || {}).length);
  const draw = () => {
    const found = options.backends.find((one) => one.name === backend.value);
    const before = Object.fromEntries([...inputs].map(([name, { input }]) => [name, input.value]));
    inputs.clear();
    more.replaceChildren(more.firstChild, field("Name", label), field("System prompt", system));
    for (const parameter of found ? found.parameters : []) {
      const was = before[parameter.name] ?? shown((given.parameters || {})[parameter.name]);
      const values = parameter.type === "bool" ? ["true", "false"] : parameter.choices || [];
      const input = values.length
        ? choice(parameter.name, [["", "default"], ...values.map((value) => [value, value])], was)
        : make("input", { type: "text", placeholder: range(parameter) });
      input.value = was;
      inputs.set(parameter.name, { input, parameter });
      more.append(field(parameter.name.replaceAll("_", " "), input));
    }
  };
  draw();
  element.append(backend, more);
  return {
    element,
    read: () => {
      const parameters = {};
      for (const [name, { input, parameter }] of inputs) {
        if (input.value.trim() === "") continue;
        parameters[name] = value(parameter, input.value);
      }
      return {
        backend: backend.value,
        parameters,
        ...(label.value.trim() ? { label: label.value.trim() } : {}),
        ...(system.value.trim() ? { system: system.value } : {}),
      };
    },
  };
};

const shown = (value) =>
  value === undefined || value === null
    ? ""
    : Array.isArray(value)
      ? value.join("\n")
      : typeof value === "object"
        ? JSON.stringify(value)
        : String(value);

const range = ({ minimum, maximum }) =>
  minimum === null && maximum === null
    ? "default"
    : `default, ${minimum === null ? "up" : minimum} to ${maximum === null ? "any" : maximum}`;

const value = (parameter, text) => {
  if (parameter.type === "string") return text;
  if (parameter.type === "strings") return text.split("\n").filter(Boolean);
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${parameter.name}: “${text}” is not what this parameter takes (${parameter.type})`);
  }
};

export const setup = (options, begin, tell) => {
  const lanes = [];
  const list = make("ol", { className: "lane-list" });
  const add = (given) => {
    if (lanes.length === 8) return tell("A session has at most 8 lanes.");
    const form = laneForm(options, given);
    const item = make(
      "li",
      {},
      form.element,
      button(
        "Remove",
        () => {
          if (lanes.length === 2) return tell("A comparison has at least 2 lanes.");
          lanes.splice(lanes.indexOf(form), 1);
          item.remove();
        },
        { className: "plain" },
      ),
    );
    lanes.push(form);
    list.append(item);
  };
  const ready = options.backends.filter((one) => !one.ready);
  const first = options.defaults.lanes.length
    ? options.defaults.lanes
    : ready.slice(0, 2).map((one) => ({ backend: one.name }));
  first.forEach(add);
  while (lanes.length < 2) add(ready.length ? { backend: ready[0].name } : {});

  const { defaults } = options;
  const mode = choice(
    "History",
    [
      ["own", "own history: each lane continues with its own answers"],
      ["shared", "shared history: all continue from the answer you pick"],
    ],
    defaults.mode,
  );
  const blind = make("input", { type: "checkbox" });
  blind.checked = defaults.blind;
  const reveal = choice(
    "Answers appear",
    [
      ["together", "together, when all are complete"],
      ["paced", "all at the same pace"],
      ["as they come", "as they come"],
    ],
    defaults.reveal,
  );
  const repeats = make("input", { type: "number", min: "1", max: "20" });
  repeats.value = defaults.repeats;
  const form = make(
    "form",
    {
      className: "setup",
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await begin({
            lanes: lanes.map((lane) => lane.read()),
            mode: mode.value,
            blind: blind.checked,
            reveal: reveal.value,
            repeats: Number(repeats.value),
          });
        } catch (error) {
          tell(error.message);
        }
      },
    },
    make("h2", {}, "New comparison"),
    make(
      "p",
      { className: "quiet" },
      "One message goes to all lanes. Each lane has its own conversation, its own task and a receipt of what it was sent.",
    ),
    list,
    button("Add a lane", () => add({ backend: options.backends[0].name })),
    make(
      "div",
      { className: "choices" },
      field("History", mode),
      make(
        "label",
        { className: "field check" },
        blind,
        make("span", {}, "Blind: names are hidden until you reveal them"),
      ),
      field("Blind answers appear", reveal),
      field("Ask each lane so many times", repeats),
    ),
    make("button", { type: "submit", className: "primary" }, "Start"),
  );
  return form;
};
