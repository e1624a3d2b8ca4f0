// What opens above the page: receipts, differences, the ranking, the list of sessions, and forms.
import { button, make } from "./dom.js";
import { laneForm } from "./compare_setup.js";

const dialog = document.getElementById("dialog");
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});

const show = (title, ...content) => {
  dialog.setAttribute("aria-label", title);
  dialog.replaceChildren(
    make(
      "header",
      {},
      make("h2", {}, title),
      button("Close", () => dialog.close(), { className: "plain" }),
    ),
    ...content.flat().filter(Boolean),
  );
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
};

const naming = (view) => (id) =>
  (view.lanes.find((lane) => lane.id === id) || { name: "a removed lane" }).name;

export const edit = (page, round) => {
  const box = make("textarea", { rows: "5", "aria-label": "Message" });
  box.value = round.text;
  show(
    "Edit the message",
    box,
    round.files.length
      ? make("p", { className: "quiet" }, `Sent again with it: ${round.files.join(", ")}`)
      : null,
    button(
      "Ask again",
      async () => {
        const body = { round: round.id, text: box.value, ...(round.only ? { lanes: round.only } : {}) };
        if (await page.session("/edit", "POST", body)) dialog.close();
      },
      { className: "primary" },
    ),
  );
  box.focus();
};

export const receipts = async (page, round, lane) => {
  const found = await page.session(`/rounds/${round}/receipts`, "GET");
  if (!found) return;
  const name = naming(page.view);
  const mine = found.receipts.filter((one) => one.lane === lane);
  const others = found.differences.filter((one) => one.a === lane || one.b === lane);
  show(
    `What ${name(lane)} was sent`,
    found.mismatches.map((one) => make("p", { className: "error" }, one)),
    mine.length ? null : make("p", {}, "Nothing was sent: it failed or was stopped before."),
    mine.map(({ receipt, repeat }) =>
      make(
        "section",
        { className: "receipt" },
        mine.length > 1 ? make("h3", {}, `Repeat ${repeat + 1}`) : null,
        make(
          "dl",
          {},
          Object.entries(receipt)
            .filter(
              ([key, value]) =>
                !["messages", "arrivals"].includes(key) &&
                value !== null &&
                value !== undefined &&
                JSON.stringify(value) !== "[]",
            )
            .flatMap(([key, value]) => [
              make(
                "dt",
                {},
                key === "sha256" ? "SHA-256" : key.replaceAll("_", " ").replace("sha256", "SHA-256"),
              ),
              make("dd", {}, typeof value === "string" ? value : JSON.stringify(value)),
            ]),
        ),
        receipt.messages.map(({ role, parts }) =>
          make(
            "div",
            { className: "sent" },
            make("strong", {}, role),
            parts.map((part) =>
              make(
                "pre",
                { tabindex: "0" },
                part.type === "text" ? part.text : JSON.stringify(part, null, 2),
              ),
            ),
          ),
        ),
      ),
    ),
    others.map((one) => {
      const other = name(one.a === lane ? one.b : one.a);
      return one.lines.length
        ? make(
            "details",
            { open: one.lines.length < 12 },
            make("summary", {}, `Differs from what ${other} was sent`),
            make("pre", { tabindex: "0" }, `${name(one.a)} | ${name(one.b)}\n\n${one.lines.join("\n")}`),
          )
        : make("p", { className: "quiet" }, `The same as ${other} was sent.`);
    }),
  );
};

export const difference = async (page, round, a, b) => {
  const found = await page.session(`/rounds/${round}/difference?a=${a}&b=${b}`, "GET");
  if (!found) return;
  const name = naming(page.view);
  show(
    `${name(a)} and ${name(b)}`,
    make(
      "p",
      { className: "quiet" },
      `${Math.round(found.agreement * 100)} % of the words agree. `,
      make("del", {}, `only ${name(a)}`),
      " ",
      make("ins", {}, `only ${name(b)}`),
    ),
    make(
      "div",
      { className: "difference" },
      found.spans.map(({ kind, text }) =>
        kind === "same" ? text : make(kind === "only_a" ? "del" : "ins", {}, text),
      ),
    ),
  );
};

export const ranking = async (page) => {
  const found = await page.session("/ranking", "GET");
  if (!found) return;
  const number = (value) => value.toFixed(0);
  show(
    "Ranking by the votes",
    found.sentence ? make("p", {}, found.sentence) : null,
    found.criteria.map((one) =>
      make(
        "section",
        {},
        make("h3", {}, one.criterion),
        make(
          "table",
          {},
          make(
            "thead",
            {},
            make(
              "tr",
              {},
              ["Rank", "Lane", "Score", "95 % interval", "Votes"].map((text) => make("th", {}, text)),
            ),
          ),
          make(
            "tbody",
            {},
            one.rows.map((row) =>
              make(
                "tr",
                {},
                [
                  row.rank,
                  row.lane,
                  number(row.score),
                  row.low === null ? "unknown" : `${number(row.low)} to ${number(row.high)}`,
                  row.count,
                ].map((text) => make("td", {}, text)),
              ),
            ),
          ),
        ),
        one.notes.map((note) => make("p", { className: "quiet" }, note)),
      ),
    ),
  );
};

export const sessions = async (page) => {
  const list = make("ul", { className: "sessions" });
  const more = async (after) => {
    const found = await page.tried(() =>
      page.api(`compare/sessions${after ? `?after=${encodeURIComponent(after)}` : ""}`),
    );
    if (!found) return;
    list.append(
      ...found.sessions.map((one) => {
        const title = one.title || "Untitled";
        const item = make(
          "li",
          {},
          button(
            title,
            () => {
              dialog.close();
              page.open(one.id);
            },
            { className: "plain" },
          ),
          make("span", { className: "quiet" }, new Date(one.updated).toLocaleString()),
          button(
            "Delete",
            async () => {
              if (!(await page.tried(() => page.api(`compare/sessions/${one.id}`, "DELETE")))) return;
              const back = button("Undo", async () => {
                if (await page.tried(() => page.api(`compare/sessions/${one.id}/restore`, "POST", {}))) {
                  list.replaceChildren();
                  more();
                }
              });
              item.replaceChildren(`Deleted “${title}”. `, back);
              back.focus();
            },
            { "aria-label": `Delete ${title}` },
          ),
        );
        return item;
      }),
    );
    if (found.next)
      list.append(
        make(
          "li",
          {},
          button("More", (event) => {
            event.target.closest("li").remove();
            more(found.next);
          }),
        ),
      );
    if (!list.children.length) list.append(make("li", { className: "quiet" }, "No comparisons yet."));
  };
  show("Your comparisons", list);
  await more();
};

export const changeLane = async (page, lane) => {
  const choices = await page.tried(page.backends);
  if (!choices) return;
  const { view } = page;
  const form = laneForm(choices, lane || { backend: choices.backends[0].name });
  const from = make(
    "select",
    {},
    make("option", { value: "" }, "begins anew"),
    lane
      ? make("option", { value: lane.id }, "keeps this lane's history")
      : view.lanes.map((one) => make("option", { value: one.id }, `goes on from ${one.name}`)),
  );
  const history = make(
    "label",
    { className: "field" },
    make("span", {}, lane ? "With another backend" : "History"),
    from,
  );
  show(
    lane ? `Change ${lane.name}` : "Add a lane",
    form.element,
    view.mode === "own" ? history : null,
    button(
      lane ? "Change" : "Add",
      () =>
        page.tried(async () => {
          const read = { ...form.read(), ...(from.value ? { history_from: from.value } : {}) };
          await page.api(page.below(`/lanes${lane ? `/${lane.id}` : ""}`), lane ? "PATCH" : "POST", read);
          dialog.close();
        }),
      { className: "primary" },
    ),
  );
};

export const rename = (page) => {
  const box = make("input", { type: "text", maxlength: "80", "aria-label": "Title" });
  box.value = page.view.title;
  const form = make(
    "form",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        if (!(await page.session("/title", "POST", { title: box.value }))) return;
        dialog.close();
        page.view.title = box.value.trim();
        page.drawHead();
      },
    },
    box,
    make("button", { type: "submit", className: "primary" }, "Rename"),
  );
  show("Rename this comparison", form);
  box.select();
};

export const share = async (page) => {
  const found = await page.session("/shares", "GET");
  if (!found) return;
  const link = make("p", {});
  const count = make("p", { className: "quiet" });
  const draw = (links) => {
    count.textContent =
      links === 0
        ? "There is no link yet."
        : links === 1
          ? "There is one link."
          : `There are ${links} links.`;
  };
  let { links } = found;
  draw(links);
  show(
    "Share this comparison",
    make(
      "p",
      {},
      "Whoever has a link can read the report of this comparison, without signing in, until you end it.",
    ),
    count,
    link,
    make(
      "div",
      { className: "tools" },
      button(
        "Make a link",
        async () => {
          const made = await page.session("/shares");
          if (!made) return;
          const address = new URL(`${page.root}/-/shared/comparison/${made.token}`, location.href).href;
          link.replaceChildren(make("a", { href: address }, address));
          draw((links += 1));
          try {
            await navigator.clipboard.writeText(address);
            page.tell("The link is copied.");
          } catch {
            /* it is on the page */
          }
        },
        { className: "primary" },
      ),
      button("End all links", async () => {
        if (!(await page.session("/shares", "DELETE"))) return;
        link.replaceChildren();
        draw((links = 0));
      }),
    ),
  );
};

export const report = (page) => {
  const format = make(
    "select",
    {},
    [
      ["html", "HTML, to read and to print"],
      ["markdown", "Markdown"],
      ["jsonl", "JSON lines, with everything"],
      ["votes", "CSV of the votes"],
    ].map(([value, text]) => make("option", { value }, text)),
  );
  const without = make("textarea", {
    rows: "2",
    placeholder: "one a line: email, phone, iban, ipv4, api-key, or a regular expression",
  });
  const link = make("a", { target: "_blank", rel: "noopener", className: "go" }, "Open the report");
  const draw = () => {
    const redact = without.value
      .split("\n")
      .filter((line) => line.trim())
      .map((line) => `&redact=${encodeURIComponent(line.trim())}`);
    link.href = page.path(`/report?format=${format.value}${redact.join("")}`);
  };
  format.onchange = without.oninput = draw;
  draw();
  show(
    "Report",
    make("label", { className: "field" }, make("span", {}, "As"), format),
    make("label", { className: "field" }, make("span", {}, "Take out"), without),
    link,
  );
};
