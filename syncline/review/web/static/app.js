// The review app's keys, selection and live parts. Pages work without it: every action is a form.
"use strict";
(() => {
  const find = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const page = document.body.dataset.page;
  const selected = new Set();
  let current = null; // the number of the conflict that the cursor is on
  let paneTimer = 0;

  // --- words to the user -----------------------------------------------------------------------
  let toastTimer = 0;
  function tell(text) {
    const toast = find("#toast");
    toast.textContent = text;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { toast.textContent = ""; }, 8000);
  }
  document.body.addEventListener("told", (event) => tell(event.detail.value));
  document.body.addEventListener("htmx:responseError", (event) => {
    const answer = event.detail.xhr;
    tell(answer.status === 401 ? "You are signed out: open a new link." : answer.responseText.slice(0, 300));
  });
  document.body.addEventListener("htmx:sendError", () => tell("The server does not answer."));

  // --- live ------------------------------------------------------------------------------------
  // A browser has six connections for a host: a page that nobody sees gives its own back, and asks
  // for everything anew when it is seen again. What htmx takes for an EventSource.
  class SeenOnly extends EventTarget {
    constructor(url) {
      super();
      Object.assign(this, { url, names: new Set(), real: null, readyState: EventSource.CONNECTING });
      document.addEventListener("visibilitychange", () => this.turn());
      this.turn(false);
    }
    turn(again = true) {
      if (this.readyState === EventSource.CLOSED) return;
      if (document.hidden) { this.real?.close(); this.real = null; return; }
      if (this.real) return;
      this.real = new EventSource(this.url);
      this.real.onopen = (event) => { this.readyState = EventSource.OPEN; this.onopen?.(event); };
      this.real.onerror = (event) => {
        if (event.target !== this.real) return;
        this.readyState = this.real.readyState;
        this.onerror?.(event);
      };
      for (const name of this.names) {
        this.relay(name);
        if (again) this.tell(name, "{}");
      }
    }
    relay(name) { this.real.addEventListener(name, (event) => this.tell(name, event.data)); }
    tell(name, data) { this.dispatchEvent(new MessageEvent(name, { data })); }
    addEventListener(name, listener, options) {
      super.addEventListener(name, listener, options);
      if (this.names.has(name)) return;
      this.names.add(name);
      if (this.real) this.relay(name);
    }
    close() { this.readyState = EventSource.CLOSED; this.real?.close(); }
  }
  htmx.createEventSource = (url) => new SeenOnly(url);

  // --- keys on or off (single letters can be in the way of speech input) -----------------------
  const keysOn = () => localStorage.getItem("keys") !== "off";
  const help = find("#help");
  if (help) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.id = "keys-on";
    box.checked = keysOn();
    box.addEventListener("change", () => localStorage.setItem("keys", box.checked ? "on" : "off"));
    label.append(box, " Single keys are on");
    find("form", help).before(label);
    find("#help-open").addEventListener("click", () => help.showModal());
  }

  // --- the list --------------------------------------------------------------------------------
  const rows = () => all("#rows tr[data-id]");
  const rowOf = (id) => find(`#row-${id}`);
  const isOpen = (row) => row.dataset.state === "open";

  function mark(row) {
    for (const other of all("#rows tr.here")) {
      other.classList.remove("here");
      other.removeAttribute("aria-current");
    }
    if (!row) return;
    row.classList.add("here");
    row.setAttribute("aria-current", "true");
    current = row.dataset.id;
  }
  function show(id) {
    clearTimeout(paneTimer);
    const pane = find("#pane");
    if (!pane || pane.offsetParent === null) return; // a narrow window has no room for it
    paneTimer = setTimeout(
      () => htmx.ajax("GET", `/api/conflicts/${id}`, { source: pane, target: pane, swap: "innerHTML" }), 80);
  }
  function goTo(row) {
    if (!row) return;
    const link = find("a.open", row);
    link.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
  function move(step) {
    const every = rows();
    if (!every.length) return;
    const at = every.findIndex((row) => row.dataset.id === current);
    goTo(every[at < 0 ? 0 : Math.min(Math.max(at + step, 0), every.length - 1)]);
  }
  function nextOpen(after) {
    const every = rows();
    const at = every.findIndex((row) => row.dataset.id === after);
    goTo(every.slice(at + 1).find(isOpen) || every.find(isOpen) || every[at]);
  }
  function count() {
    const option = find('#scope option[value="selection"]');
    if (option) option.textContent = `the selected (${selected.size})`;
    const every = find("#select-all");
    if (every) {
      const boxes = all('#rows input[name="id"]:not(:disabled)');
      every.checked = boxes.length > 0 && boxes.every((box) => box.checked);
    }
  }
  function reselect() {
    for (const box of all('#rows input[name="id"]')) {
      if (box.disabled) selected.delete(box.value);
      box.checked = selected.has(box.value);
    }
    count();
  }
  async function decide(id, take) {
    const row = rowOf(id);
    if (!row) return;
    if (!isOpen(row)) { tell(`Conflict ${id} is ${row.dataset.state}.`); return; }
    row.setAttribute("aria-busy", "true");
    await send(id, "decide", { take, version: row.dataset.version });
    const now = rowOf(id);
    if (now && !isOpen(now)) nextOpen(id); else { goTo(now); show(id); }
  }
  async function undo(id) {
    await send(id, "undo", {});
    goTo(rowOf(id));
    show(id);
  }
  // htmx has one request at a time for an element, lets others wait and keeps the last of these
  // only: every decision has an element of its own, so that none waits, and none is dropped.
  async function send(id, what, values) {
    const source = document.body.appendChild(document.createElement("div"));
    const path = `/api/conflicts/${id}/${what}`;
    await htmx.ajax("POST", path, { source, target: `#row-${id}`, swap: "outerHTML", values });
    source.remove();
  }

  if (page === "list") {
    document.addEventListener("focusin", (event) => {
      const row = event.target.closest("#rows tr[data-id]");
      if (row && row.dataset.id !== current) { mark(row); show(row.dataset.id); }
    });
    document.addEventListener("change", (event) => {
      const box = event.target;
      if (box.id === "select-all") {
        for (const other of all('#rows input[name="id"]:not(:disabled)')) {
          other.checked = box.checked;
          if (box.checked) selected.add(other.value); else selected.delete(other.value);
        }
      } else if (box.name === "id") {
        if (box.checked) selected.add(box.value); else selected.delete(box.value);
      } else return;
      count();
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-take], [data-undo]");
      if (!button) return;
      if (button.dataset.take) decide(current, button.dataset.take); else undo(button.dataset.undo);
    });
    document.body.addEventListener("htmx:afterSettle", (event) => {
      if (event.target.id === "list" || event.target.closest("#rows")) {
        reselect();
        const row = current && rowOf(current);
        mark(row);
        if (row && event.target.id === "list" && !document.activeElement.closest("input, textarea, select")) show(current);
      }
    });
    // Selected conflicts of other pages go along with the form.
    find("#bulk")?.addEventListener("submit", () => {
      for (const old of all("#bulk input.elsewhere")) old.remove();
      const here = new Set(all('#rows input[name="id"]').map((box) => box.value));
      for (const id of selected) {
        if (here.has(id)) continue;
        const field = document.createElement("input");
        Object.assign(field, { type: "hidden", name: "id", value: id, className: "elsewhere" });
        find("#bulk").append(field);
      }
    });
    reselect();
  }

  const listKeys = {
    j: () => move(1),
    k: () => move(-1),
    n: () => nextOpen(current),
    x: () => {
      const box = current && rowOf(current) && find('input[name="id"]', rowOf(current));
      if (box && !box.disabled) box.click();
    },
    e: () => { if (current) location.href = `/conflicts/${current}#edit`; },
    u: () => { if (current) undo(current); },
    s: () => take("source"),
    t: () => take("target"),
    m: () => take("merge"),
  };
  function take(side) {
    if (!find("#bulk button")) return; // a viewer
    if (selected.size) {
      find("#scope").value = "selection";
      find(`#bulk button[value="${side}"]`).click();
    } else if (current) decide(current, side);
    else tell("Move to a conflict first: j");
  }

  // --- one conflict ----------------------------------------------------------------------------
  function startEdit() {
    const field = find('textarea[data-edit]') || find('#decide textarea');
    if (!field) return;
    field.closest("details")?.setAttribute("open", "");
    field.focus();
    field.select();
  }
  if (page === "conflict") {
    document.addEventListener("input", (event) => {
      if (!event.target.matches('#decide textarea')) return;
      const name = event.target.name.slice("text.".length);
      const radio = find(`input[type="radio"][name="${CSS.escape(`side.${name}`)}"][value="edit"]`);
      if (radio) radio.checked = true;
    });
    // The fields of a group are taken from one side: whoever chooses it for one chooses it for all.
    // Before anybody else hears of the change: the preview sends the form as it then is.
    document.addEventListener("change", (event) => {
      const { group } = event.target.dataset;
      if (!group || !["source", "target", ""].includes(event.target.value)) return;
      for (const other of all(`#decide input[data-group="${group}"]`)) {
        if (other.value === event.target.value) other.checked = true;
      }
    }, true);
    if (location.hash === "#edit") startEdit();
  }

  // --- the keyboard ----------------------------------------------------------------------------
  const typing = (target) =>
    target.matches('textarea, select, [contenteditable], input:not([type="checkbox"]):not([type="radio"])');
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (typing(event.target) || !keysOn()) return;
    if (event.key === "?") { event.preventDefault(); help.showModal(); return; }
    if (event.key === "/") {
      const search = find("#search");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
      return;
    }
    if (page === "list" && listKeys[event.key]) { event.preventDefault(); listKeys[event.key](); return; }
    if (!/^[a-z]$/.test(event.key)) return;
    if (event.key === "e" && page === "conflict") { event.preventDefault(); startEdit(); return; }
    const wanted = find(`[data-key="${event.key}"]`);
    if (wanted) { event.preventDefault(); wanted.click(); }
  });
})();
