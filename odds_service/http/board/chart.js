// The chart of a cell: its price and the margin over time, all bookmakers of the market overlaid.
//
// A chosen cell sets ?cell=[market, line, participant, outcome]; the panel stands in the aside of the
// match for as long as the address names a cell. The points are the server's (GET /v1/series); what
// changes meanwhile extends the right edge at once, and the margin follows with the next reading.

import { call } from "./api.js";
import { debounced, fill, h, perFrame, setText } from "./dom.js";
import { feed } from "./feed.js";
import { clock, day, percent, price, seconds } from "./format.js";
import { onCell } from "./hooks.js";
import { compareOutcomes, marketTitle, outcomeName } from "./markets.js";
import { plot, svg } from "./plot.js";
import { go, onRoute, route } from "./router.js";
import { extend, holding, placeAt, pricesOf, readSeries } from "./series.js";
import { settings } from "./settings.js";
import { bookmakerKey, marketKey } from "./store.js";

const COLOURS = 8; // more bookmakers share them
const POINTS = 600;
const TABLE_ROWS = 200;
const READ_MS = 2_000;
const LEAST_SPAN_S = 60;
const REMOVED = /_REMOVED/;

export const cellText = (key, outcome) => JSON.stringify([key.market, key.line ?? null, key.participant ?? "", outcome]);

export function readCell(text) {
  try {
    const [market, line, participant, outcome] = JSON.parse(text);
    if (![market, participant, outcome].every((each) => typeof each === "string")) return null;
    if (line !== null && typeof line !== "number") return null;
    const key = { market };
    if (line !== null) key.line = line;
    if (participant) key.participant = participant;
    return { key, outcome };
  } catch {
    return null; // an address that somebody wrote
  }
}

let panel = null;

function follow() {
  const at = route();
  const aside = document.querySelector("#view .matchaside");
  const cell = at.get("view") === "match" && aside ? readCell(at.get("cell")) : null;
  const name = cell && `${at.get("event")} ${marketKey(cell.key)}`;
  if (panel && (panel.name !== name || !panel.node.isConnected)) {
    panel.close();
    panel = null;
  }
  if (!cell) return;
  panel ??= new Chart(aside, at.get("event"), cell, name);
  panel.choose(cell.outcome);
}

onCell(({ key, outcome }) => go({ cell: cellText(key, outcome.key) }, { replace: route().has("cell") }));
onRoute(() => queueMicrotask(follow)); // after the view has followed the address
new MutationObserver(follow).observe(document.getElementById("view"), { childList: true });

class Chart {
  constructor(aside, eventId, cell, name) {
    Object.assign(this, { eventId, name, key: cell.key, outcome: cell.outcome, series: [], hidden: new Set(), at: null });
    this.opener = document.activeElement;
    this.note = h("p", { class: "chartnote", role: "status" });
    this.outcomes = h("div", { class: "chartoutcomes", role: "group", "aria-label": "Outcome" });
    this.stage = h("div", { class: "stage", tabIndex: 0, role: "application", "aria-roledescription": "chart",
      "aria-label": "Prices over time. Left and right move through the points; Escape closes." });
    this.readout = h("div", { class: "readout", "aria-live": "polite" });
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Bookmakers shown" });
    this.table = h("table", { class: "plain" });
    this.details = h("details", { class: "astable", on: { toggle: () => this.#drawTable() } }, h("summary", {}, "As a table"),
      h("div", { class: "scroll" }, this.table));
    this.title = h("h2", {}, marketTitle(this.key));
    this.node = h("section", { class: "chart", "aria-label": `Chart of ${marketTitle(this.key)}` },
      h("div", { class: "charthead" }, this.title,
        h("button", { class: "chip", "aria-label": "Close the chart", on: { click: () => this.#leave() } }, "×")),
      this.outcomes, this.note, this.stage, this.readout, this.legend, this.details);
    aside.append(this.node);
    this.node.scrollIntoView({ block: "nearest" });
    this.draw = perFrame(() => this.#draw());
    this.read = debounced(() => this.#read(), READ_MS, 2 * READ_MS);
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.stage);
    this.node.addEventListener("keydown", (event) => this.#key(event));
    this.escape = (event) => { // from the table too, where Enter has opened it
      if (event.key !== "Escape" || event.defaultPrevented || event.target.closest?.("input, select, dialog")) return;
      event.preventDefault();
      this.#leave();
    };
    document.addEventListener("keydown", this.escape, true);
    this.stage.addEventListener("pointermove", (event) => this.#point(event));
    this.stage.addEventListener("pointerdown", (event) => this.#point(event));
    this.stage.addEventListener("pointerleave", () => this.#choosePoint(null));
    this.offs = [
      feed.on("changes", ({ lane, changes }) => { if (lane === "match") this.#changed(changes); }),
      feed.on("image", ({ lane, ids }) => { if (lane === "match" && ids?.includes(eventId)) this.read(); }),
      settings.on(() => this.#drawAll()),
    ];
    this.ticking = setInterval(() => { if (!document.hidden) this.draw(); }, 1000);
    setText(this.note, "Loading the series …");
    this.#read();
  }

  close() {
    this.closed = true;
    document.removeEventListener("keydown", this.escape, true);
    clearInterval(this.ticking);
    for (const off of this.offs) off();
    for (const ask of [this.draw, this.read]) ask.cancel();
    this.resizing.disconnect();
    this.asking?.abort();
    this.node.remove();
  }

  choose(outcome) {
    if (outcome === this.outcome && this.drawn) return;
    this.outcome = outcome;
    this.#drawAll();
  }

  #leave() {
    go({ cell: null }, { replace: true });
    const cell = this.opener?.closest?.("td.cell") && this.opener.isConnected ? this.opener : document.querySelector("#view td.cell[tabindex='0']");
    cell?.focus();
  }

  // -- points -----------------------------------------------------------------------------------

  async #read() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const { market, line, participant } = this.key;
    try {
      const reply = await call("series", { eventId: this.eventId, market, line, participant, maxPoints: POINTS }, { signal: asking.signal });
      if (this.closed) return;
      this.event = reply.event;
      this.gaps = reply.gaps === true;
      this.from_s = Date.parse(reply.fromTime) / 1000;
      const now = readSeries(reply);
      for (const each of now) this.#keepNewer(each);
      this.series = now;
      this.failed = "";
    } catch (error) {
      if (error.name === "AbortError" || this.closed) return;
      this.failed = error.message;
    }
    this.#drawAll();
  }

  // What came while the call was under way must not be lost.
  #keepNewer(series) {
    const known = this.series.find((each) => each.source === series.source && each.bookmaker === series.bookmaker);
    if (!known) return;
    const last_s = series.at_s.at(-1) ?? -Infinity;
    for (let at = 0; at < known.at_s.length; at++) {
      if (known.at_s[at] <= last_s || !known.live?.has(known.at_s[at])) continue;
      const outcomes = [...known.prices].map(([key, one]) => ({ key, name: one.name, price: Number.isNaN(one.values[at]) ? undefined : one.values[at] }));
      this.#extend(series, { outcomes, status: known.offered[at] ? "MARKET_STATUS_OPEN" : "" }, known.at_s[at]);
    }
  }

  #extend(series, market, t_s) {
    if (extend(series, market, t_s)) (series.live ??= new Set()).add(t_s);
  }

  #changed(changes) {
    const own = changes.filter((each) => each.eventId === this.eventId && each.after && marketKey(each.after.key) === marketKey(this.key));
    if (!own.length) return;
    for (const change of own) {
      const name = bookmakerKey(change.source, change.bookmaker);
      const series = this.series.find((each) => bookmakerKey(each.source, each.bookmaker) === name);
      if (!series) continue; // the next reading has it
      const market = REMOVED.test(change.kind) ? { ...change.after, status: "MARKET_STATUS_REMOVED" } : change.after;
      this.#extend(series, market, Date.parse(change.detectedAt) / 1000);
    }
    this.draw();
    this.read();
  }

  // -- drawing ----------------------------------------------------------------------------------

  #drawAll() {
    if (this.closed) return;
    setText(this.title, marketTitle(this.key)); // the names may come after the chart
    this.#drawOutcomes();
    this.#drawLegend();
    this.#drawTable();
    this.#draw();
  }

  #name(key) {
    for (const each of this.series) if (each.prices.has(key)) return outcomeName(this.key.market, { key, name: each.prices.get(key).name });
    return key;
  }

  #drawOutcomes() {
    const keys = [...new Set(this.series.flatMap((each) => [...each.prices.keys()]))].sort(compareOutcomes);
    const focused = this.outcomes.contains(document.activeElement);
    fill(this.outcomes, keys.map((key) => h("button", {
      class: "chip", "data-outcome": key, "aria-pressed": String(key === this.outcome),
      on: { click: () => go({ cell: cellText(this.key, key) }, { replace: true }) },
    }, this.#name(key))));
    if (focused) this.outcomes.querySelector("[aria-pressed=true]")?.focus();
  }

  #label(series) {
    const twice = this.series.some((each) => each !== series && each.bookmaker === series.bookmaker);
    return twice ? `${series.bookmaker} (${series.source})` : series.bookmaker;
  }

  #drawLegend() {
    const focused = document.activeElement?.dataset?.series;
    fill(this.legend, this.series.map((each, index) => {
      const name = bookmakerKey(each.source, each.bookmaker);
      return h("button", {
        class: `chip key c${index % COLOURS}`, "data-series": name, "aria-pressed": String(!this.hidden.has(name)),
        on: { click: () => { if (!this.hidden.delete(name)) this.hidden.add(name); this.#drawAll(); } },
      }, this.#label(each), each.stale ? h("span", { class: "soft" }, " stale") : null);
    }));
    if (focused) [...this.legend.children].find((each) => each.dataset.series === focused)?.focus();
  }

  #shown() {
    return this.series.map((each, index) => ({ ...each, label: this.#label(each), colour: index % COLOURS }))
      .filter((each) => !this.hidden.has(bookmakerKey(each.source, each.bookmaker)));
  }

  #draw() {
    if (this.closed) return;
    const shown = this.#shown();
    const first_s = Math.min(...this.series.map((each) => each.at_s[0] ?? Infinity));
    this.stage.hidden = !Number.isFinite(first_s);
    const notes = [this.failed];
    if (!this.failed && this.stage.hidden) notes.push("Nothing is kept of this market.");
    if (this.gaps) notes.push("Something is missing here: changes that were not kept.");
    if (shown.some((each) => each.thinned)) notes.push("Thinned to fit the screen; highs and lows are kept.");
    setText(this.note, notes.filter(Boolean).join(" "));
    this.note.hidden = !this.note.textContent;
    if (this.stage.hidden) return;
    const zone = settings.get("zone"), format = settings.get("format");
    const to_s = Math.max(feed.now() / 1000, first_s + LEAST_SPAN_S);
    const from_s = Math.min(first_s, to_s - LEAST_SPAN_S);
    const width = Math.max(260, this.stage.clientWidth);
    const start_s = Date.parse(this.event?.startTime) / 1000;
    const marks = Number.isNaN(start_s) ? [] : [{ at_s: start_s, text: "start", kind: "start" }];
    const ticks = (t_s, step_s) => (step_s >= 86_400 ? day : step_s < 60 ? seconds : clock)(t_s * 1000, zone);
    const line = (each, values) => ({ name: each.label, colour: each.colour, at_s: each.at_s, offered: each.offered, values });
    const common = { width, from_s, to_s, marks, ticks };
    this.prices = plot({ ...common, height: 200, label: `Price of ${this.#name(this.outcome)} over time`,
      least: 0.08, format: (value) => price(Math.round(value * 100) / 100, format),
      lines: shown.map((each) => ({ ...line(each, pricesOf(each, this.outcome) ?? []), closing: each.closing })) });
    this.margins = plot({ ...common, height: 110, label: "Margin over time", least: 0.008, format: (value) => percent(value),
      lines: shown.map((each) => line(each, each.margin)) });
    for (const each of [this.prices, this.margins]) {
      each.cross = svg("line", { class: "cross", y1: 12, y2: each === this.prices ? 180 : 90, x1: -9, x2: -9 });
      each.node.append(each.cross);
    }
    this.drawn = true;
    fill(this.stage, h("p", { class: "caption" }, "Price"), this.prices.node, h("p", { class: "caption" }, "Margin"), this.margins.node);
    this.#drawReadout();
  }

  #drawReadout() {
    const at_s = this.at ?? feed.now() / 1000;
    const x = this.at === null ? -9 : this.prices.x(at_s);
    for (const each of [this.prices, this.margins]) { each.cross.setAttribute("x1", x); each.cross.setAttribute("x2", x); }
    const format = settings.get("format"), zone = settings.get("zone");
    // Without a chosen point nothing is announced: the last prices are in the table of the match.
    this.readout.setAttribute("aria-live", this.at === null ? "off" : "polite");
    fill(this.readout, h("p", { class: "when" }, this.at === null ? "Now" : `${day(at_s * 1000, zone)} ${seconds(at_s * 1000, zone)}`),
      h("table", { class: "plain" }, h("tbody", {}, this.#shown().map((each) => {
        const index = placeAt(each, at_s);
        const values = pricesOf(each, this.outcome) ?? [];
        const value = holding(values, index);
        const off = index < 0 || each.offered[index] === false || Number.isNaN(values[index]);
        return h("tr", { class: off ? "off" : "" }, h("th", { class: `key c${each.colour}`, scope: "row" }, each.label),
          h("td", {}, price(value, format)), h("td", {}, off ? (index < 0 ? "not yet" : "not offered") : percent(each.margin[index])),
          h("td", { class: "soft" }, index >= 0 && index === each.closing ? "closing" : ""));
      }))));
  }

  #drawTable() {
    if (!this.details.open) return;
    const format = settings.get("format"), zone = settings.get("zone");
    const rows = this.#shown().flatMap((each) => each.at_s.map((t_s, index) => ({ each, t_s, index })));
    rows.sort((a, b) => b.t_s - a.t_s);
    fill(this.table, h("caption", {}, `${rows.length > TABLE_ROWS ? `The last ${TABLE_ROWS} of ${rows.length}` : rows.length} points, newest first`),
      h("thead", {}, h("tr", {}, ["Time", "Bookmaker", "Price", "Margin", "Offered"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.slice(0, TABLE_ROWS).map(({ each, t_s, index }) => h("tr", {},
        h("td", {}, seconds(t_s * 1000, zone)), h("td", {}, each.label), h("td", {}, price(pricesOf(each, this.outcome)?.[index], format)),
        h("td", {}, percent(each.margin[index])), h("td", {}, each.offered[index] === false ? "no" : "yes")))));
  }

  // -- reading a point --------------------------------------------------------------------------

  #choosePoint(at_s) {
    this.at = at_s;
    if (this.drawn) this.#drawReadout();
  }

  #point(event) {
    if (!this.drawn) return;
    const box = this.prices.node.getBoundingClientRect();
    this.#choosePoint(this.prices.t_s(event.clientX - box.left));
  }

  #key(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey || !this.drawn) return;
    const times = [...new Set(this.#shown().flatMap((each) => each.at_s))].sort((a, b) => a - b);
    const here = this.at ?? Infinity;
    const moves = {
      ArrowLeft: () => times.findLast((each) => each < here) ?? times[0],
      ArrowRight: () => times.find((each) => each > here) ?? null,
      Home: () => times[0], End: () => null,
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    this.#choosePoint(moves[event.key]() ?? null);
  }
}
