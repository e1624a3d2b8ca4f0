// Where a message is written: to all lanes or to some, with files.
import { button, make } from "./dom.js";

export const composer = (element, page) => {
  let files = [],
    sending = false;
  const only = new Set();

  const box = make("textarea", {
    rows: "2",
    "aria-label": "Message",
    onkeydown: (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      }
    },
    onpaste: (event) => {
      if (event.clipboardData.files.length) {
        event.preventDefault();
        attach(event.clipboardData.files);
      }
    },
  });
  const upload = make("input", {
    type: "file",
    multiple: true,
    hidden: true,
    onchange: () => {
      attach(upload.files);
      upload.value = "";
    },
  });
  const to = make("div", { className: "chips", role: "group", "aria-label": "Send to" });
  const attached = make("div", { className: "files" });
  const go = make("span", {});
  element.append(
    to,
    attached,
    make(
      "div",
      { className: "write" },
      button("Attach", () => upload.click(), { "aria-label": "Attach files" }),
      upload,
      box,
      go,
    ),
  );

  document.addEventListener("dragover", (event) => {
    if (!element.hidden && event.dataTransfer.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (element.hidden || !event.dataTransfer.files.length) return;
    event.preventDefault();
    attach(event.dataTransfer.files);
  });

  const attach = async (chosen) => {
    for (const file of [...chosen]) {
      const found = await page.tried(() => page.api(`compare/uploads?session=${page.view.id}`, "POST", file));
      if (found) files.push(found);
    }
    draw();
  };

  const send = async () => {
    const text = box.value;
    if (!text.trim() && !files.length) return;
    if (sending) return page.tell("The last message is still being sent: wait a moment.");
    if (page.view.running) return page.tell("The lanes are still answering: wait, or stop them.");
    const lanes = chosen(),
      taken = files;
    sending = true;
    box.value = ""; // what is written from now on is another message
    files = [];
    only.clear();
    draw();
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
    if (page.view) draw();
  };

  const chosen = () => page.view.lanes.map((lane) => lane.id).filter((id) => only.has(id));
  const toggle = (id) => {
    if (!only.delete(id)) only.add(id);
    draw();
  };

  const draw = () => {
    const { view } = page;
    element.hidden = false;
    element.setAttribute("aria-busy", String(sending));
    const lanes = chosen();
    const mayChoose = !view.hidden || view.reveal === "as they come";
    const names = view.lanes
      .filter((lane) => lanes.includes(lane.id))
      .map((lane) => lane.name)
      .join(", ");
    box.placeholder = lanes.length ? `Message to ${names} only` : "Message to all lanes";
    const focused = to.contains(document.activeElement) ? document.activeElement.textContent : null;
    to.replaceChildren(
      ...(mayChoose && view.lanes.length > 1
        ? [
            button(
              "All lanes",
              () => {
                only.clear();
                draw();
              },
              { "aria-pressed": String(!lanes.length) },
            ),
            ...view.lanes.map((lane) =>
              button(lane.name, () => toggle(lane.id), {
                "aria-pressed": String(lanes.includes(lane.id)),
                title: `Only to ${lane.name}`,
              }),
            ),
          ]
        : []),
    );
    if (focused !== null) [...to.children].find((one) => one.textContent === focused)?.focus();
    attached.replaceChildren(
      ...files.flatMap((file) => [
        button(
          `${file.name} ×`,
          () => {
            files = files.filter((one) => one !== file);
            draw();
          },
          { "aria-label": `Take ${file.name} away` },
        ),
        file.not_for ? make("span", { className: "notice", role: "status" }, file.not_for) : "",
      ]),
    );
    const wanted = view.running ? "Stop all" : "Send";
    if (go.textContent !== wanted) {
      const had = go.contains(document.activeElement);
      go.replaceChildren(
        view.running
          ? button(wanted, () => page.session("/stop"), { className: "stop" })
          : button(wanted, send, { className: "primary" }),
      );
      if (had) go.firstChild.focus();
    }
  };

  return {
    draw,
    only: (lane) => {
      only.clear();
      only.add(lane);
      draw();
      box.focus();
    },
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
