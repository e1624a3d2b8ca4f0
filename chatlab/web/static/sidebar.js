// The list of conversations beside the chat. Everything here is asked of this page's own server, and text
// is only ever set as text. `root` is where the app is mounted; `open` shows a conversation, "" a new one.
import { asking, button, make, menu } from "./dom.js";

export function sidebar(element, { root, open, sharing }) {
  const api = asking(root);
  const act = (className, text, label, what) =>
    button(text, what, { className, "aria-label": label, title: label });

  const fresh = act("chatlab-new", "New chat", "New chat", () => choose(""));
  const search = make("input", {
    className: "chatlab-search",
    type: "search",
    placeholder: "Search",
    "aria-label": "Search conversations",
  });
  const list = make("div", { className: "chatlab-list", role: "list" });
  const told = make("div", { className: "chatlab-told", role: "status" });
  const end = make("div", { className: "chatlab-end" });
  const FORMATS = [
    ["jsonl", "JSONL"],
    ["markdown", "Markdown"],
    ["html", "HTML"],
  ];
  const chosenFile = make("input", {
    type: "file",
    hidden: true,
    accept: ".json,.jsonl",
    "aria-label": "Conversations to import",
    onchange: () => {
      for (const file of chosenFile.files) bring(file);
      chosenFile.value = "";
    },
  });
  const foot = make(
    "div",
    { className: "chatlab-foot" },
    button("Import…", () => chosenFile.click()),
    menu(
      "Export all conversations",
      "Export all…",
      ...FORMATS.map(([format, text]) => button(text, () => download(`export?format=${format}`))),
    ),
    chosenFile,
  );
  element.replaceChildren(fresh, search, list, told, foot);

  let chosen = "",
    next = null,
    asked = 0,
    loading = false;

  const DAY = 86_400_000;
  const group = (conversation) => {
    if (conversation.pinned) return "Pinned";
    const today = new Date().setHours(0, 0, 0, 0);
    const then = new Date(conversation.updated);
    const days = Math.ceil((today - then) / DAY);
    if (days <= 0) return "Today";
    if (days === 1) return "Yesterday";
    if (days <= 7) return "Last 7 days";
    if (days <= 30) return "Last 30 days";
    return then.toLocaleDateString(undefined, { month: "long", year: "numeric" });
  };

  const snippet = (text) => {
    const made = make("span", { className: "chatlab-snippet" });
    for (const piece of text.split(/(\uE000[^\uE001]*\uE001)/)) {
      made.append(piece.startsWith("\uE000") ? make("mark", {}, piece.slice(1, -1)) : piece);
    }
    return made;
  };

  const row = (conversation) => {
    const made = make("div", { className: "chatlab-row", role: "listitem", "data-id": conversation.id });
    const title = act(
      "chatlab-title",
      conversation.title || "Untitled",
      conversation.title || "Untitled",
      () => choose(conversation.id, conversation.turn),
    );
    if (conversation.snippet) title.append(snippet(conversation.snippet));
    const more = menu(`More about ${conversation.title || "Untitled"}`, "⋯", ...actions(conversation, made));
    made.append(title, more);
    if (conversation.id === chosen) made.setAttribute("aria-current", "true");
    return made;
  };

  const actions = (conversation, made) => {
    const shown = [];
    const add = (text, what) => shown.push(button(text, what));
    add("Rename", () => rename(conversation, made));
    add(conversation.pinned ? "Unpin" : "Pin", () => change(conversation, { pinned: !conversation.pinned }));
    for (const [format, text] of FORMATS) {
      add(`Export as ${text}`, () => download(`conversations/${conversation.id}/export?format=${format}`));
    }
    if (sharing) {
      add("Copy a link for others", () => share(conversation));
      add("End all links", () =>
        api(`conversations/${conversation.id}/shares`, "DELETE").then(
          () => tell("Nobody can read it by a link any more."),
          failed,
        ),
      );
    }
    add("Delete", () => remove(conversation));
    return shown;
  };

  const tell = (text, undo) => {
    told.replaceChildren(text);
    if (undo) told.append(" ", button("Undo", undo, { className: "chatlab-undo" }));
  };
  const failed = (error) => tell(error.message);
  const download = (path) => {
    const link = make("a", { href: `${root}/-/${path}`, download: "" });
    document.body.append(link);
    link.click();
    link.remove();
  };
  const bring = (file) => {
    tell(`Reading ${file.name}…`);
    api("import", "POST", file).then(({ conversations, comparisons, problems }) => {
      const chats = conversations === 1 ? "1 conversation" : `${conversations} conversations`;
      const sessions = comparisons === 1 ? "1 comparison session" : `${comparisons} comparison sessions`;
      const count = comparisons ? `${chats} and ${sessions}` : chats;
      tell([`Imported ${count} of ${file.name}.`, ...problems].join(" "));
      refresh();
    }, failed);
  };
  const change = (conversation, what) =>
    api(`conversations/${conversation.id}`, "PATCH", what).then(() => refresh(), failed);
  const share = (conversation) =>
    api(`conversations/${conversation.id}/shares`, "POST").then(async ({ token }) => {
      const link = new URL(`${root}/-/shared/${token}`, location.href).href;
      const copied = await navigator.clipboard?.writeText(link).then(
        () => true,
        () => false,
      );
      tell(`${copied ? "Copied. " : ""}Anybody with this link can read it: ${link}`);
    }, failed);
  const remove = (conversation) =>
    api(`conversations/${conversation.id}`, "DELETE").then(() => {
      if (conversation.id === chosen) choose("");
      refresh();
      tell(`Deleted “${conversation.title || "Untitled"}”.`, () =>
        api(`conversations/${conversation.id}/restore`, "POST").then(() => {
          tell("");
          refresh();
        }, failed),
      );
    }, failed);
  const rename = (conversation, made) => {
    const input = make("input", { className: "chatlab-rename", "aria-label": "New title", maxlength: "200" });
    input.value = conversation.title;
    const title = made.querySelector(".chatlab-title");
    title.replaceWith(input);
    input.focus();
    input.select();
    let done = false;
    const end = (keep) => {
      if (done) return;
      done = true;
      const wanted = input.value.trim();
      input.replaceWith(title);
      if (keep && wanted && wanted !== conversation.title) change(conversation, { title: wanted });
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
      event.stopPropagation();
    });
    input.addEventListener("blur", () => end(true));
  };

  const show = (conversations, more) => {
    if (!more) list.replaceChildren();
    end.remove();
    for (const conversation of conversations) {
      const name = search.value.trim() ? "Found" : group(conversation);
      if (list.dataset.last !== name || !list.children.length)
        list.append(make("div", { className: "chatlab-day" }, name));
      list.dataset.last = name;
      list.append(row(conversation));
    }
    if (!list.children.length) {
      list.append(
        make(
          "div",
          { className: "chatlab-none" },
          search.value.trim() ? "Nothing found." : "No conversations yet.",
        ),
      );
    }
    if (next) list.append(end);
  };

  let later;
  const held = () => list.querySelector(".chatlab-rename, details[open]"); // not under somebody's hand
  const load = async (more) => {
    if (more && (loading || !next)) return;
    loading = true;
    const mine = ++asked;
    const words = search.value.trim();
    const query = new URLSearchParams(words ? { q: words } : more ? { after: next } : {});
    try {
      const found = await api(`conversations?${query}`);
      if (mine !== asked) return; // a later question has been asked
      if (!more && held()) return void (later = setTimeout(refresh, 1000));
      next = found.next;
      show(found.conversations, more);
    } catch (error) {
      failed(error);
    } finally {
      loading = false;
    }
  };
  const refresh = () => {
    clearTimeout(later);
    if (held()) later = setTimeout(refresh, 1000);
    else load(false);
  };

  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(refresh, 150);
  });
  new IntersectionObserver(
    (seen) => {
      if (seen.some((one) => one.isIntersecting)) load(true);
    },
    { rootMargin: "200px" },
  ).observe(end);

  const choose = (id, turn) => {
    mark(id);
    open(id, turn || "");
  };
  const mark = (id) => {
    chosen = id;
    list.querySelectorAll("[aria-current]").forEach((other) => other.removeAttribute("aria-current"));
    const found = [...list.querySelectorAll(".chatlab-row")].find((one) => one.dataset.id === id);
    if (found) found.setAttribute("aria-current", "true");
  };
  refresh();
  return { refresh, mark };
}
