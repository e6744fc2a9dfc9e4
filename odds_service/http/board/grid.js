// The table of a match: bookmakers across, outcomes down, one block for each market.
//
// new Grid(place, {choose})           choose(context): a price was clicked, or Enter pressed on it
// .show({entry, group, bestOf, live}) entry: of OddsStore, or null; group: markets in it are shown;
//                                     bestOf() -> {best, revision} or undefined; draws all anew
// .touch(marketKey, bookmakerKey)     a market has changed: drawn in the next frame
// .touchBest(), .touchBookmaker(key), .tick(), .relook(), .focus(), .close()
// .keys()                             the MarketKeys of the group
// A context is {eventId, event, key, market, outcome: {key, name}, price, odds, row}, see hooks.js.

import { fill, h, perFrame, setClass, setText } from "./dom.js";
import { feed } from "./feed.js";
import { flash, unflash } from "./flash.js";
import { age, percent, price, words } from "./format.js";
import { looks } from "./hooks.js";
import { ALL, WHY, compareKeys, compareOutcomes, groupOf, groupOrder, marketTitle, outcomeName, settles } from "./markets.js";
import { settings } from "./settings.js";
import { bookmakerKey, marketKey } from "./store.js";

const SUSPENDED = "MARKET_STATUS_SUSPENDED";

const counts = (market, odds) => [market.prices, market.overrounds].some((list) =>
  list?.some((each) => each.bookmaker === odds.bookmaker && each.source === odds.source));

const indexed = new WeakMap(); // a reply with best prices -> Map: marketKey -> its BestMarkets

function bestIn(found, text) {
  let index = indexed.get(found);
  if (!index) {
    indexed.set(found, (index = new Map()));
    for (const each of found.best) {
      const key = marketKey(each.key);
      if (index.has(key)) index.get(key).push(each);
      else index.set(key, [each]);
    }
  }
  return index.get(text) ?? [];
}

export class Grid {
  constructor(place, { choose }) {
    this.choose = choose;
    this.blocks = new Map(); // marketKey -> block
    this.dirty = new Map(); // marketKey -> Set of bookmakerKeys
    this.table = h("table", { class: "odds", role: "grid", "aria-label": "Odds" });
    this.headRow = h("tr", {});
    this.table.append(h("thead", {}, this.headRow));
    this.columns = [];
    this.frame = perFrame(() => this.#drawDirty());
    this.box = h("div", { class: "gridbox" }, this.table);
    place.append(this.box);
    this.table.addEventListener("click", (event) => this.#chosen(event.target));
    this.table.addEventListener("keydown", (event) => this.#key(event));
    this.table.addEventListener("focusin", (event) => { if (event.target.matches("td.cell")) this.#rove(event.target); });
  }

  show({ entry, group, bestOf, live = true }) {
    // Odds of another match, or of another time, are no moves.
    if (live !== this.live || entry?.event.id !== this.entry?.event.id) this.#forget();
    this.entry = entry;
    this.group = group;
    this.bestOf = bestOf;
    this.live = live;
    this.dirty.clear();
    this.#build();
  }

  keys() {
    const found = new Map();
    for (const odds of this.entry?.bookmakers.values() ?? []) {
      for (const [text, market] of odds.markets) if (this.group === ALL || groupOf(market.key.market) === this.group) found.set(text, market.key);
    }
    const keys = [...found.values()].sort(compareKeys);
    if (this.group !== ALL) return keys;
    const order = groupOrder(new Set(keys.map((key) => groupOf(key.market))));
    return keys.sort((a, b) => order.indexOf(groupOf(a.market)) - order.indexOf(groupOf(b.market)));
  }

  touch(market, bookmaker) {
    const set = this.dirty.get(market) ?? new Set();
    this.dirty.set(market, set.add(bookmaker));
    this.frame();
  }

  touchBookmaker(bookmaker) {
    for (const market of this.blocks.keys()) this.touch(market, bookmaker);
  }

  touchBest() {
    this.bestDirty = true;
    this.frame();
  }

  relook() {
    for (const block of this.blocks.values()) this.#drawBlock(block);
  }

  tick() {
    for (const column of this.columns) this.#drawHead(column);
    for (const block of this.blocks.values()) {
      for (const row of block.rows) for (const cell of row.cells) if (cell.stale) this.#drawNote(cell);
    }
  }

  focus() {
    (this.table.querySelector("td.cell[tabindex='0']") ?? this.table.querySelector("td.cell"))?.focus();
  }

  close() {
    this.frame.cancel();
  }

  // -- building -------------------------------------------------------------------------------

  #build() {
    const odds = [...(this.entry?.bookmakers.values() ?? [])].sort((a, b) =>
      a.bookmaker.localeCompare(b.bookmaker) || a.source.localeCompare(b.source));
    const twice = new Set(odds.map((each) => each.bookmaker)).size < odds.length;
    const columns = odds.map((each) => bookmakerKey(each.source, each.bookmaker)).join("\n");
    if (columns !== this.columnText) {
      this.columnText = columns;
      this.columns = odds.map((each) => {
        const parts = { name: h("span", { class: "book" }, each.bookmaker), age: h("span", { class: "age" }) };
        parts.node = h("th", { scope: "col", title: `${each.bookmaker}, by way of ${each.source}` }, parts.name,
          twice ? h("span", { class: "by" }, each.source) : null, parts.age);
        return { key: bookmakerKey(each.source, each.bookmaker), ...parts };
      });
      fill(this.headRow, h("th", { scope: "col", class: "first" }, "Market"), h("th", { scope: "col", class: "second" }, "Best"),
        this.columns.map((column) => column.node));
      for (const block of this.blocks.values()) block.body.remove();
      this.blocks.clear();
    }
    const wanted = new Map(this.keys().map((key) => [marketKey(key), key]));
    for (const [text, block] of this.blocks) {
      if (wanted.has(text)) continue;
      block.body.remove();
      this.blocks.delete(text);
    }
    let before = this.table.tHead;
    for (const [text, key] of wanted) {
      const outcomes = this.#outcomes(text);
      const signature = outcomes.map((each) => each.key).join("\n");
      let block = this.blocks.get(text);
      if (block && block.signature !== signature) {
        block.body.remove();
        block = null;
      }
      if (!block) this.blocks.set(text, (block = this.#makeBlock(text, key, outcomes, signature)));
      if (before.nextSibling !== block.body) before.after(block.body);
      before = block.body;
      this.#drawBlock(block);
    }
    for (const column of this.columns) this.#drawHead(column);
    if (!this.table.querySelector("td.cell[tabindex='0']")) {
      const first = this.table.querySelector("td.cell");
      if (first) first.tabIndex = 0;
    }
  }

  #outcomes(text) {
    const found = new Map();
    for (const odds of this.entry.bookmakers.values()) {
      for (const each of odds.markets.get(text)?.outcomes ?? []) if (!found.has(each.key)) found.set(each.key, each);
    }
    return [...found.values()].sort((a, b) => compareOutcomes(a.key, b.key));
  }

  #forget() {
    for (const block of this.blocks.values()) {
      for (const row of block.rows) {
        for (const cell of row.cells) {
          cell.was = undefined;
          unflash(cell.node);
        }
      }
    }
  }

  #makeBlock(text, key, outcomes, signature) {
    const title = h("th", { scope: "rowgroup", class: "first" }, h("span", { class: "title" }, marketTitle(key)));
    title.title = [marketTitle(key), settles(key.market)].filter(Boolean).join(": "); // a long name is cut
    const block = { text, key, signature, rows: [], margins: [], combined: h("td", { class: "second margin" }) };
    block.suspect = h("span", { class: "suspects", role: "note" });
    title.append(block.suspect);
    const head = h("tr", { class: "market" }, title, block.combined);
    for (const column of this.columns) {
      const node = h("td", { class: "margin" });
      block.margins.push({ node, column });
      head.append(node);
    }
    block.body = h("tbody", { "data-market": text }, head);
    for (const outcome of outcomes) {
      const row = { outcome, block, cells: [], best: { price: h("span", { class: "price" }), by: h("span", { class: "by" }) } };
      row.best.node = h("td", { class: "second best" }, row.best.price, row.best.by);
      row.node = h("tr", { class: "outcome", "data-outcome": outcome.key },
        h("th", { scope: "row", class: "first" }, outcomeName(key.market, outcome)), row.best.node);
      for (const column of this.columns) {
        const cell = { row, column, value: h("span", { class: "price" }), note: h("span", { class: "cellnote" }) };
        cell.node = h("td", { class: "cell", tabIndex: -1, "data-bookmaker": column.key }, cell.value, cell.note);
        cell.node.cell = cell;
        row.cells.push(cell);
        row.node.append(cell.node);
      }
      block.rows.push(row);
      block.body.append(row.node);
    }
    return block;
  }

  // -- drawing --------------------------------------------------------------------------------

  #drawDirty() {
    if (!this.entry) return;
    let anew = false;
    for (const [text, bookmakers] of this.dirty) {
      const block = this.blocks.get(text);
      const signature = block && this.#outcomes(text).map((each) => each.key).join("\n");
      const known = [...bookmakers].every((key) => this.columns.some((column) => column.key === key));
      if (!block || block.signature !== signature || !known) { anew = true; break; }
      const best = this.#bestFor(block);
      for (const row of block.rows) for (const cell of row.cells) if (bookmakers.has(cell.column.key)) this.#drawCell(cell, best);
      this.#drawBest(block, best);
    }
    this.dirty.clear();
    if (anew || this.columns.some((column) => !this.entry.bookmakers.has(column.key))) this.#build();
    else if (this.bestDirty) {
      for (const block of this.blocks.values()) this.#drawBlock(block);
    }
    this.bestDirty = false;
    for (const column of this.columns) this.#drawHead(column);
  }

  #drawBlock(block) {
    const best = this.#bestFor(block);
    for (const row of block.rows) for (const cell of row.cells) this.#drawCell(cell, best);
    this.#drawBest(block, best);
  }

  #drawHead(column) {
    const odds = this.entry?.bookmakers.get(column.key);
    if (!odds) return;
    const ms = feed.now() - Date.parse(odds.confirmedAt);
    setText(column.age, !this.live ? "" : odds.stale ? `stale ${age(ms)}` : age(ms));
    column.node.classList.toggle("stale", this.live && odds.stale === true);
  }

  // The best prices of a market, where nothing of it has changed since they were computed.
  #bestFor(block) {
    const found = this.bestOf?.();
    if (!found) return { markets: [], settled: false };
    const markets = bestIn(found, block.text);
    let settled = true;
    if (this.live) {
      for (const odds of this.entry.bookmakers.values()) {
        const market = odds.markets.get(block.text);
        if (!market) continue;
        if (BigInt(market.revision ?? "0") > found.revision) settled = false;
        // Odds also grow stale without a change.
        if (odds.stale && markets.some((each) => counts(each, odds))) settled = false;
      }
    }
    return { markets, settled };
  }

  #drawCell(cell, { markets, settled }) {
    const { row, column } = cell;
    const odds = this.entry.bookmakers.get(column.key);
    const market = odds?.markets.get(row.block.text);
    const outcome = market?.outcomes?.find((each) => each.key === row.outcome.key);
    const value = outcome?.price;
    const format = settings.get("format");
    setText(cell.value, outcome ? price(value, format) : "");
    const best = settled && market && !(this.live && odds.stale) && markets.some((each) => each.prices?.some((one) =>
      one.outcome === row.outcome.key && one.bookmaker === odds.bookmaker && one.source === odds.source && one.price === value));
    cell.stale = this.live && odds?.stale === true && outcome !== undefined;
    const names = ["cell"];
    if (!outcome) names.push("absent");
    else if (market.status === SUSPENDED || outcome.active !== true) names.push("suspended");
    if (cell.stale) names.push("stale");
    if (best) names.push("is-best");
    for (const name of cell.node.classList) if (name.startsWith("x-")) names.push(name);
    setClass(cell.node, names.join(" "));
    const label = market?.status === SUSPENDED ? "suspended" : outcome && outcome.active !== true ? "not active" : best ? "the best price" : "";
    if (cell.node.title !== label) cell.node.title = label;
    if (this.live && cell.was !== undefined && value !== undefined && cell.was !== value) flash(cell.node, value > cell.was);
    cell.was = value;
    this.#drawNote(cell);
    const context = this.context(cell);
    for (const look of looks) look(cell, context);
  }

  #drawNote(cell) {
    const odds = this.entry?.bookmakers.get(cell.column.key);
    setText(cell.note, cell.stale ? age(feed.now() - Date.parse(odds.confirmedAt)) : "");
  }

  #drawBest(block, { markets, settled }) {
    const format = settings.get("format");
    // Two- and three-way prices of one market are compared apart; the fuller one is in the column.
    const main = [...markets].sort((a, b) => (b.overrounds?.length ?? 0) - (a.overrounds?.length ?? 0))[0];
    const suspect = markets.find((each) => each.suspectOverround !== undefined);
    const margin = suspect?.suspectOverround ?? main?.combinedOverround;
    setText(block.combined, margin === undefined ? "" : percent(margin));
    setClass(block.combined, `second margin${suspect ? " suspect" : margin < 0 ? " under" : ""}${settled ? "" : " settling"}`);
    block.combined.title = suspect ? "Too good to be true; not to be bet on" : "Margin of the best prices together";
    setText(block.suspect, suspect ? `Suspect: ${(suspect.suspectReasons ?? []).map(words).join(", ")}` : "");
    for (const { node, column } of block.margins) {
      const odds = this.entry.bookmakers.get(column.key);
      const same = (each) => each.bookmaker === odds?.bookmaker && each.source === odds?.source;
      const counted = markets.flatMap((each) => each.overrounds ?? []).find(same);
      const left = markets.flatMap((each) => each.exclusions ?? []).find(same);
      const [short, long] = left ? WHY[left.reason] ?? ["left out", "left out of the best prices"] : ["", ""];
      setText(node, counted ? percent(counted.overround) : short);
      setClass(node, `margin${left ? " left-out" : ""}${settled ? "" : " settling"}`);
      node.title = left ? `Left out of the best prices: ${long}` : counted ? `${odds.bookmaker}'s margin` : "";
    }
    for (const row of block.rows) {
      const found = markets.flatMap((each) => each.prices ?? []).filter((each) => each.outcome === row.outcome.key)
        .sort((a, b) => b.price - a.price)[0];
      setText(row.best.price, found ? price(found.price, format) : markets.length || !this.bestOf?.() ? "–" : "");
      setText(row.best.by, found ? found.bookmaker : "");
      setClass(row.best.node, `second best${settled ? "" : " settling"}`);
    }
  }

  // -- choosing -------------------------------------------------------------------------------

  context(cell) {
    const { row, column } = cell;
    const odds = this.entry.bookmakers.get(column.key) ?? null;
    const market = odds?.markets.get(row.block.text) ?? null;
    const outcome = market?.outcomes?.find((each) => each.key === row.outcome.key);
    return {
      eventId: this.entry.event.id, event: this.entry.event, key: row.block.key, market, odds,
      outcome: { key: row.outcome.key, name: outcomeName(row.block.key.market, row.outcome) }, price: outcome?.price, row,
    };
  }

  #chosen(target) {
    const cell = target.closest("td.cell")?.cell;
    if (!cell) return;
    cell.node.focus();
    this.choose(this.context(cell));
  }

  #rove(node) {
    const before = this.table.querySelector("td.cell[tabindex='0']");
    if (before && before !== node) before.tabIndex = -1;
    node.tabIndex = 0;
  }

  #key(event) {
    const cell = event.target.cell;
    if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(this.context(cell));
      return;
    }
    const rows = [...this.blocks.values()].sort((a, b) => (a.body.compareDocumentPosition(b.body) & 4 ? -1 : 1)).flatMap((block) => block.rows);
    let y = rows.indexOf(cell.row), x = cell.row.cells.indexOf(cell);
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -99], End: [0, 99], PageUp: [-10, 0], PageDown: [10, 0] };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    y = Math.max(0, Math.min(rows.length - 1, y + move[0]));
    x = Math.max(0, Math.min(rows[y].cells.length - 1, x + move[1]));
    rows[y].cells[x].node.focus();
  }
}
