// The one script of the pages: it sends forms without leaving the page and puts in
// what the server sends. Without it everything works, but nothing is live.
(() => {
  "use strict";
  const plain = { createHTML: (html) => html };
  const policy = window.trustedTypes ? trustedTypes.createPolicy("page", plain) : plain;
  const byID = (id) => document.getElementById(id);

  // The server has escaped what others wrote; this is the only place where a string
  // becomes markup.
  const parse = (html) => {
    const template = document.createElement("template");
    template.innerHTML = policy.createHTML(html);
    return template.content.firstElementChild;
  };

  // The element of a new piece that takes the place of one of the old piece: of the
  // same id, or else the one that has as many before it.
  const twin = (was, old, fresh) => {
    if (was === old) return fresh;
    if (was.id) return fresh.querySelector("#" + CSS.escape(was.id));
    const now = fresh.querySelectorAll(was.tagName)[[...old.querySelectorAll(was.tagName)].indexOf(was)];
    return now?.id ? null : now;
  };

  // Whoever is typing or has opened something in a piece does not notice that it is
  // a new one.
  const keep = (old, fresh) => {
    for (const was of old.querySelectorAll("details[id][open]")) {
      const now = fresh.querySelector("#" + CSS.escape(was.id));
      if (now) now.open = true;
    }
    for (const was of old.querySelectorAll("input[id], select[id], textarea[id]")) {
      const now = fresh.querySelector("#" + CSS.escape(was.id));
      const initial = was.tagName === "SELECT"
        ? [...was.options].find((o) => o.defaultSelected)?.value ?? was.options[0]?.value
        : was.defaultValue;
      if (now && was.value !== initial) now.value = was.value;
    }
    if (old.matches("details[open]")) fresh.open = true;
    return old.contains(document.activeElement) ? twin(document.activeElement, old, fresh) : null;
  };

  // Times are told on the browser's clock; the server knows only its own.
  const local = (root) => {
    const two = (n) => String(n).padStart(2, "0");
    for (const at of root.querySelectorAll("time[data-local]")) {
      const t = new Date(at.dateTime), today = t.toDateString() === new Date().toDateString();
      const minute = two(t.getHours()) + ":" + two(t.getMinutes());
      at.title = t.toLocaleString(document.documentElement.lang);
      at.textContent = at.dataset.local === "minute" ? minute
        : today ? minute + ":" + two(t.getSeconds()) : two(t.getMonth() + 1) + "-" + two(t.getDate()) + " " + minute;
    }
  };

  // Where a piece belongs in a list of the newest first: it may come later than others
  // that are newer.
  const place = (list, fresh) => {
    const older = fresh.dataset.key && [...list.children].find((e) => (e.dataset.key || "") <= fresh.dataset.key);
    if (older) older.before(fresh); else if (fresh.dataset.key) list.append(fresh); else list.prepend(fresh);
  };

  // Only this script can copy.
  const copies = (root) => root.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = false; });

  // A field hides the entries of a list that do not have its text.
  const filter = (field, entries) => {
    const text = field.value.trim().toLowerCase();
    for (const e of entries) e.classList.toggle("off", text !== "" && !e.textContent.toLowerCase().includes(text));
  };
  const filters = document.querySelectorAll("[data-filter]");
  filters.forEach((field) => {
    field.hidden = false; // only this script can filter
    field.addEventListener("input", () => filter(field, byID(field.dataset.filter).children));
  });

  const atEnd = (list) => list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  const toEnd = (list) => { list.scrollTop = list.scrollHeight; };

  const put = (piece) => {
    const fresh = parse(piece.html);
    if (!fresh) return;
    local(fresh);
    copies(fresh);
    filters.forEach((field) => { if (field.dataset.filter === piece.in || byID(piece.id)?.parentElement?.id === field.dataset.filter) filter(field, [fresh]); });
    const old = byID(piece.id);
    old?.classList.remove("changed", "new");
    if (old?.isEqualNode(fresh)) return; // after an interruption all is sent again
    const list = old ? old.closest("[data-follow]") : byID(piece.in);
    const follow = list && "follow" in list.dataset && atEnd(list);
    if (old) {
      const focus = keep(old, fresh);
      fresh.classList.add("changed");
      old.replaceWith(fresh);
      focus?.focus({ preventScroll: true });
    } else if (list) {
      fresh.classList.add("new");
      list.querySelector(":scope > .empty")?.remove();
      if (list.dataset.order === "newest") place(list, fresh); else list.append(fresh);
      const most = Number(list.dataset.most || 0);
      while (most && list.children.length > most) {
        (list.dataset.order === "newest" ? list.lastElementChild : list.firstElementChild).remove();
      }
    }
    if (follow) toEnd(list);
  };

  // Attributes that begin with data-on would be taken for event handlers by those who
  // escape HTML, hence these names.
  const link = (state) => {
    const at = byID("link");
    if (!at || at.dataset.state === state) return;
    at.dataset.state = state;
    at.textContent = at.dataset[state];
  };

  const listen = () => {
    const source = new EventSource(document.body.dataset.live);
    source.addEventListener("open", () => link("joined"));
    source.addEventListener("error", () => {
      link("lost");
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
    });
    source.addEventListener("pieces", (event) => JSON.parse(event.data).forEach(put));
    source.addEventListener("reload", () => location.reload());
    addEventListener("pagehide", () => source.close(), { once: true });
  };

  const problem = (text) => {
    const at = byID("problem");
    if (!at) return;
    at.hidden = !text;
    at.querySelector("p").textContent = text;
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    const button = event.submitter, busy = form.ariaBusy === "true", leaves = !("send" in form.dataset);
    if (busy || !leaves) event.preventDefault();
    if (busy) return;
    form.ariaBusy = "true";
    if (leaves) return;
    button?.closest("details.popup")?.removeAttribute("open");
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form, button)),
      });
      if (!answer.ok) throw new Error((await answer.json()).error);
      problem("");
      if (form.dataset.send === "clear") {
        form.querySelectorAll("input:not([type=hidden])").forEach((input) => { input.value = ""; });
        form.querySelector("[data-focus]")?.focus();
      }
      const next = answer.headers.get("X-Next"); // the view has become another one
      if (next) location.assign(next);
    } catch (error) {
      problem(error instanceof TypeError ? document.body.dataset.away : error.message);
    } finally {
      form.ariaBusy = "false";
    }
  });

  document.addEventListener("change", (event) => {
    const chosen = event.target.selectedOptions?.[0];
    const input = event.target.dataset.hints && byID(event.target.dataset.hints);
    if (chosen && input) {
      input.placeholder = chosen.dataset.hint || "";
      input.required = chosen.hasAttribute("data-needed");
      input.focus();
    }
  });

  addEventListener("pageshow", () => document.querySelectorAll("form[aria-busy]").forEach((form) => { form.ariaBusy = "false"; }));

  const copy = (button) => {
    const from = byID(button.dataset.copy);
    getSelection().selectAllChildren(from); // where the clipboard is not ours, one key is left to press
    navigator.clipboard?.writeText(from.textContent).then(() => { button.textContent = button.dataset.done; }, () => {});
  };
  copies(document);

  document.addEventListener("click", (event) => {
    const copies = event.target.closest("[data-copy]");
    if (copies) copy(copies);
    if (event.target.closest("[data-dismiss]")) problem("");
    document.querySelectorAll("details.popup[open]").forEach((popup) => {
      if (!popup.contains(event.target)) popup.open = false;
    });
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const popup = document.activeElement?.closest("details.popup[open]");
    if (!popup) return;
    popup.open = false;
    popup.querySelector("summary").focus();
  });

  local(document);
  document.querySelectorAll("[data-follow]").forEach(toEnd);
  if (document.body.dataset.live) listen();
})();
