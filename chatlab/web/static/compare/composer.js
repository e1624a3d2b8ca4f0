// Where a message is written: to all lanes or to some, with files.
/** @import { RoundAsked, LaneView, Uploaded } from "../server.d.ts" */
/** @import { Page } from "./page.js" */
import { button, isComposing, make, say } from "../dom.js";

const touched = matchMedia("(pointer: coarse)"); // there, focus on a text box would open the keyboard

/**
 * The composer of a page, in `element`, as what the rest of the page asks of it.
 *
 * @param {HTMLElement} element
 * @param {Page} page
 */
export const composer = (element, page) => {
  /** @type {Uploaded[]} */
  let files = [];
  let sending = false;
  /** The lanes that alone are asked; none of them means all. @type {Set<string>} */
  const only = new Set();

  const box = make("textarea", {
    rows: "2",
    dir: "auto",
    "aria-label": say("compare.message"),
    onkeydown: (event) => {
      if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
      event.preventDefault();
      send();
    },
    onpaste: (event) => {
      const pasted = event.clipboardData?.files;
      if (!pasted?.length) return;
      event.preventDefault();
      attach(pasted);
    },
  });
  const upload = make("input", {
    type: "file",
    multiple: true,
    hidden: true,
    onchange: () => {
      attach(upload.files ?? []);
      upload.value = "";
    },
  });
  const to = make("div", { className: "chips", role: "group", "aria-label": say("compare.send-to") });
  const attached = make("div", { className: "files" });
  const go = make("span", {});
  const pick = button(say("compare.attach"), () => upload.click(), {
    "aria-label": say("compare.attach-files"),
  });
  element.append(to, attached, make("div", { className: "write" }, pick, upload, box, go));

  document.addEventListener("dragover", (event) => {
    if (!element.hidden && event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (element.hidden || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    attach(event.dataTransfer.files);
  });

  /** @param {Iterable<File>} chosen */
  const attach = async (chosen) => {
    for (const file of [...chosen]) {
      /** @type {Uploaded | null} */
      const found = await page.tried(() => page.api(`compare/uploads?session=${page.view.id}`, "POST", file));
      if (found) files.push(found);
    }
    draw();
  };

  const send = async () => {
    const text = box.value;
    if (!text.trim() && !files.length) return;
    if (sending) return page.tell(say("compare.still-sending"));
    if (page.view.running) return page.tell(say("compare.still-answering"));
    const lanes = chosen();
    const taken = files;
    sending = true;
    box.value = ""; // what is written from now on is another message
    files = [];
    only.clear();
    draw();
    /** @type {RoundAsked | null} */
    const sent = await page.session("/ask", "POST", {
      text,
      files: taken.map((file) => file.id),
      ...(lanes.length ? { lanes } : {}),
    });
    sending = false;
    if (!sent) {
      if (!box.value) box.value = text;
      files = [...taken, ...files];
      lanes.forEach((lane) => only.add(lane));
    }
    if (page.isOpen()) draw();
  };

  const chosen = () => page.view.lanes.map((lane) => lane.id).filter((id) => only.has(id));

  /** @param {string} id */
  const toggle = (id) => {
    if (!only.delete(id)) only.add(id);
    draw();
  };
  const toAll = () => {
    only.clear();
    draw();
  };

  const draw = () => {
    const begins = element.hidden && document.activeElement === document.body;
    element.hidden = false;
    if (begins && !touched.matches) box.focus({ preventScroll: true });
    element.setAttribute("aria-busy", String(sending));
    drawLanes();
    attached.replaceChildren(...files.flatMap(attachment));
    drawAction();
  };

  const drawLanes = () => {
    const { view } = page;
    const lanes = chosen();
    const mayChoose = !view.hidden || view.reveal === "as they come";
    const names = view.lanes.filter((lane) => lanes.includes(lane.id)).map((lane) => lane.name);
    box.placeholder = lanes.length
      ? say("compare.to-some", { lanes: names.join(", ") })
      : say("compare.to-all");
    const focused = to.contains(document.activeElement) ? document.activeElement?.textContent : null;
    const chips =
      mayChoose && view.lanes.length > 1
        ? [
            button(say("compare.all-lanes"), toAll, { "aria-pressed": String(!lanes.length) }),
            ...view.lanes.map((lane) => chip(lane, lanes.includes(lane.id))),
          ]
        : [];
    to.replaceChildren(...chips);
    if (focused) chips.find((one) => one.textContent === focused)?.focus();
  };

  /**
   * @param {LaneView} lane
   * @param {boolean} pressed
   */
  const chip = (lane, pressed) =>
    button(lane.name, () => toggle(lane.id), {
      "aria-pressed": String(pressed),
      title: say("compare.only-to", { lane: lane.name }),
    });

  /** @param {Uploaded} file */
  const attachment = (file) => {
    const name = file.name || file.media_type;
    const remove = () => {
      files = files.filter((one) => one !== file);
      draw();
    };
    return [
      button(`${name} ×`, remove, { "aria-label": say("compare.remove-file", { name }) }),
      file.not_for ? make("span", { className: "notice", role: "status" }, file.not_for) : "",
    ];
  };

  const drawAction = () => {
    const { running } = page.view;
    const wanted = say(running ? "compare.stop-all" : "compare.send");
    if (go.textContent === wanted) return;
    const had = go.contains(document.activeElement);
    const made = running
      ? button(wanted, () => page.session("/stop"), { className: "stop" })
      : button(wanted, send, { className: "primary" });
    go.replaceChildren(made);
    if (had) made.focus();
  };

  return {
    draw,
    /** @param {string} lane */
    only: (lane) => {
      only.clear();
      only.add(lane);
      draw();
      box.focus();
    },
    /** @param {string} text */
    fill: (text) => {
      if (!box.value) box.value = text;
      box.focus();
    },
    clear: () => {
      files = [];
      only.clear();
      box.value = "";
      element.hidden = true;
    },
  };
};
