// Live calculators: controls that recompute with the book's own Python in a worker of the reader's browser.
const { draw, merge } = window.tunewise;

// -- the engine: one worker a page, started at the first touch ---------------------------------------------------------
let worker, count = 0;
const waiting = new Map();

function engine() {
  if (worker) return worker;
  worker = new Worker(new URL("live-worker.mjs", import.meta.url), { type: "module" });
  const fail = (words) => { for (const done of waiting.values()) done({ failed: words }); waiting.clear(); worker = undefined; };
  worker.onmessage = ({ data }) => { waiting.get(data.id)?.(data); waiting.delete(data.id); };
  worker.onerror = (event) => { event.preventDefault?.(); fail("the calculator's engine did not start"); };
  return worker;
}

export function call(core, settings) {
  return new Promise((done) => {
    const id = ++count;
    waiting.set(id, done);
    engine().postMessage({ id, core, settings: settings && JSON.stringify(settings) });
  });
}
window.tunewise.call = call;

// -- one block ---------------------------------------------------------------------------------------------------------
class Block {
  constructor(root) {
    this.root = root;
    this.spec = JSON.parse(root.querySelector("script.tw-spec").textContent);
    this.form = root.querySelector("form");
    this.status = root.querySelector(".tw-status");
    this.controls = new Map(this.spec.controls.map((c) => [c.name, { ...c, field: this.form.elements[c.name] }]));
    this.first = this.values();
    this.drawn = new Map(); // a figure's place -> what it was last given, as text
    this.unseen = new Set(); // places whose figure waits
    this.lookUp = window.tunewise.lookups?.[this.spec.core]; // what the page itself can answer needs no engine
    root.querySelectorAll("fieldset").forEach((f) => { f.disabled = false; });
    root.querySelector(".tw-buttons").hidden = false;
    for (const c of this.controls.values()) this.show(c);
    for (const event of ["pointerenter", "focusin", "touchstart"]) {
      this.form.addEventListener(event, () => this.warm(), { once: true, passive: true });
    }
    this.form.addEventListener("input", (e) => { const c = this.controls.get(e.target.name); if (c) { this.show(c); this.changed(); } });
    this.form.addEventListener("submit", (e) => e.preventDefault());
    this.form.addEventListener("click", (e) => this.press(e.target.dataset?.do));
    const linked = this.fromAddress();
    if (linked && !this.lookUp) { // the saved result is of another setting: it is not shown for this one
      this.results("hidden");
      this.say("Computing the setting of this link in your browser…");
    }
    if (linked || this.lookUp) this.changed();
  }

  results(visibility) { for (const part of this.root.querySelectorAll(".tw-text, .tw-figures, .tw-tables")) part.style.visibility = visibility; }

  values() {
    const read = ({ kind, field, options }) => kind === "checkbox" ? field.checked : kind === "text" ? field.value
      : kind === "select" ? options[field.selectedIndex][0] : field.value.trim() === "" ? null : Number(field.value);
    return Object.fromEntries([...this.controls].map(([name, c]) => [name, read(c)]));
  }

  put(c, value) {
    if (c.kind === "checkbox") c.field.checked = value === true || value === "true";
    else if (c.kind === "text") c.field.value = value;
    else if (c.kind === "select") { const i = c.options.findIndex(([v]) => String(v) === String(value)); if (i >= 0) c.field.selectedIndex = i; }
    else if (value !== "" && Number.isFinite(Number(value))) c.field.value = value;
    this.show(c);
  }

  show(c) { // a range says its value, also to a screen reader
    if (c.kind !== "range") return;
    const text = Number(c.field.value).toLocaleString("en", { maximumFractionDigits: 6 });
    this.root.querySelector(`output[for="${c.field.id}"]`).textContent = text;
    c.field.setAttribute("aria-valuetext", `${text} ${c.unit ?? ""}`.trim());
  }

  say(words) { if (this.status.textContent !== words) this.status.textContent = words; }

  async warm() {
    if (this.warmed || this.lookUp) return;
    this.warmed = true;
    const answer = await call();
    if (answer.failed) this.broken(answer.failed);
  }

  broken(words) {
    this.warmed = false;
    this.say(`The calculator could not start (${words}). The result you see is the saved one. Move a control to try again.`);
  }

  // The newest setting wins: what was asked while Python was busy, and has been overtaken, is never computed.
  changed() {
    this.wanted = this.values();
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    const starting = setTimeout(() => { this.root.classList.add("tw-stale"); this.say("Starting the calculator in your browser…"); }, 250);
    let answer;
    while (this.wanted) {
      const settings = this.wanted;
      this.wanted = undefined;
      const empty = [...this.controls.values()].find((c) => settings[c.name] === null);
      answer = empty ? { wrong: `“${empty.label}” is empty or not a number: type a number.` }
        : this.lookUp ? { said: this.lookUp(this.root) } : await call(this.spec.core, settings);
      if (answer.ok) await this.draw(JSON.parse(answer.ok)).catch((e) => { answer = { failed: e.message }; });
    }
    clearTimeout(starting);
    this.results("");
    this.busy = false;
    this.root.classList.toggle("tw-wrong", Boolean(answer.wrong));
    this.root.classList.toggle("tw-stale", Boolean(answer.wrong ?? answer.failed)); // the result below is of other settings: it stands back
    clearTimeout(this.later);
    if (answer.failed) return this.broken(answer.failed);
    if (answer.wrong) return this.say(answer.wrong);
    this.root.dataset.draws = Number(this.root.dataset.draws ?? 0) + 1;
    // Not at each step of a drag: a screen reader would never come to an end, and browsers limit changes of the address.
    this.later = setTimeout(() => { this.say(answer.said ?? "Computed in your browser for the settings above."); this.toAddress(); }, 400);
  }

  // What the reader sees is drawn at once, the figures out of sight when the hand rests; one that stayed the same is left alone.
  async draw({ text = "", figures = [], tables = [] }) {
    const holder = this.root.querySelector(".tw-figures");
    while (holder.children.length > figures.length) holder.lastChild.remove();
    const inSight = [...holder.children].map((place) => { const r = place.getBoundingClientRect(); return r.bottom > 0 && r.top < innerHeight; });
    this.root.querySelector(".tw-text").replaceChildren(...text.split("\n").filter((p) => p.trim()).map((p) => element("p", {}, p)));
    const look = [...this.root.querySelectorAll(".tw-tables table")].map((saved) => saved.className); // cards on a telephone, or not
    this.root.querySelector(".tw-tables").replaceChildren(...tables.map((made, i) => table(made, look[i] ?? "")));
    const drawing = figures.map((figure, i) => {
      const spec = { data: figure.data, layout: { ...merge(this.spec.style, figure.layout), meta: { alt: figure.alt ?? "" } } };
      const place = holder.children[i] ?? element("figure", { class: "tw-figure" }, element("p", { class: "tw-title" }), element("div", { class: "tw-plot", role: "img" }));
      if (!place.isConnected) holder.append(place);
      const said = JSON.stringify(spec);
      if (this.drawn.get(place) === said) return undefined;
      this.drawn.set(place, said);
      place.spec = spec;
      if (inSight[i] ?? true) { this.unseen.delete(place); return draw(place, spec); }
      this.unseen.add(place);
      return undefined;
    });
    clearTimeout(this.resting);
    this.resting = setTimeout(() => { for (const place of this.unseen) draw(place, place.spec); this.unseen.clear(); }, 200);
    await Promise.all(drawing);
  }

  // -- the setting in the page's address: ?cost.calls_per_month=5000, only what differs from the start -----------------
  fromAddress() {
    let found = false;
    for (const [key, value] of new URLSearchParams(location.search)) {
      const [block, name] = key.split(".");
      const c = block === this.spec.name && this.controls.get(name);
      if (c && !c.private) { this.put(c, value); found = true; }
    }
    return found && JSON.stringify(this.values()) !== JSON.stringify(this.first);
  }

  address() {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(this.values())) {
      if (this.controls.get(name).private) continue; // stays on the page
      const key = `${this.spec.name}.${name}`;
      if (value === this.first[name] || value === null) url.searchParams.delete(key);
      else url.searchParams.set(key, value);
    }
    return url;
  }

  toAddress() { history.replaceState(history.state, "", this.address()); }

  async press(what) {
    if (what === "reset") {
      for (const [name, value] of Object.entries(this.first)) this.put(this.controls.get(name), value);
      this.changed();
    } else if (what === "link") {
      const url = this.address();
      url.hash = this.root.id;
      try { await navigator.clipboard.writeText(url.href); this.say("Link copied."); }
      catch { this.toAddress(); this.say("The page's address now holds this setting: copy it from there."); }
    } else if (what === "print") {
      document.documentElement.classList.add("tw-one");
      window.print();
      document.documentElement.classList.remove("tw-one");
    }
  }
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
  made.append(...children);
  return made;
}

function table({ caption, header, rows }, look) {
  const row = (...cells) => element("tr", { role: "row" }, ...cells);
  const head = row(...header.map((h) => h ? element("th", { scope: "col", role: "columnheader" }, h) : element("td", { role: "cell" })));
  const body = rows.map(([first, ...rest]) => row(element("th", { scope: "row", role: "rowheader" }, cell(first)),
    ...rest.map((c, i) => element("td", { role: "cell", "data-label": header[i + 1] }, cell(c)))));
  return element("div", { class: "tw-table", role: "group", tabindex: 0, "aria-label": caption },
    element("table", { role: "table", class: look }, element("caption", {}, caption), element("thead", { role: "rowgroup" }, head), element("tbody", { role: "rowgroup" }, ...body)));
}
const cell = (v) => v === null ? "not yet measured" : typeof v === "boolean" ? (v ? "yes" : "no") : typeof v === "number" ? v.toLocaleString("en", { maximumSignificantDigits: 6 }) : String(v);

for (const root of document.querySelectorAll(".tw-live")) new Block(root);
