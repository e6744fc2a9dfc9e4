// My bookmaker: one of the match as the reference, and the others shown against it.
//
// ?tool=reference&ref=bookmaker; the choice is remembered. Each cell of another bookmaker says by how
// much its price is better or worse. A price compared with another is display; the margins are the
// server's (GET /v1/odds with includeBest).

import { call } from "./api.js";
import { debounced, fill, h, perFrame } from "./dom.js";
import { feed } from "./feed.js";
import { percent } from "./format.js";
import { addCellLook, addMatchTool } from "./hooks.js";
import { ALL, compareKeys, groupOf, marketTitle } from "./markets.js";
import { go, onRoute, route } from "./router.js";
import { settings } from "./settings.js";
import { bookmakerKey, marketKey } from "./store.js";

const SETTING = "reference";
const MARGINS_MS = 1_500;
const LOOK_BACK_MS = 3_600_000; // a market that the reference had since then is "no longer offered"
const SHOWN_MARKETS = 12;
const EQUAL = 1e-9;
const LOOKS = ["x-better", "x-worse", "x-equal", "x-mine", "x-only"];

addMatchTool({ name: "reference", label: "My bookmaker", attach: (match) => {
  const tool = new Reference(match);
  return () => tool.close();
} });

const bettable = (market, outcome) =>
  market?.status === "MARKET_STATUS_OPEN" && outcome?.active === true && typeof outcome.price === "number";

// By how much a price is better (above 0) or worse than the reference's, as a share of it.
export function against(price, reference) {
  const share = price / reference - 1;
  return Math.abs(share) < EQUAL ? 0 : share;
}

class Reference {
  constructor(match) {
    this.match = match;
    this.had = new Map(); // marketKey -> MarketKey that the reference had within the look-back
    this.margins = new Map(); // bookmakerKey -> Map: marketKey -> margin
    this.select = h("select", { class: "chip", "aria-label": "My bookmaker", on: { change: () => this.#choose(this.select.value) } });
    this.table = h("table", { class: "plain refs" });
    this.lists = h("div", { class: "reflists" });
    this.node = h("section", { class: "reference", "aria-label": "My bookmaker" },
      h("div", { class: "asofline" }, h("label", {}, "My bookmaker ", this.select),
        this.legend = h("span", { class: "soft" }, h("span", { class: "swatch x-better" }, "+ better"), h("span", { class: "swatch x-worse" }, "− worse"))),
      h("div", { class: "scroll" }, this.table), this.lists);
    match.bar.append(this.node);
    this.draw = perFrame(() => this.#draw());
    this.ask = debounced(() => this.#readMargins(), MARGINS_MS, 3 * MARGINS_MS);
    this.offs = [
      addCellLook((cell, context) => this.#look(cell, context)),
      match.on((changes) => this.#changed(changes)),
      onRoute(() => queueMicrotask(() => { if (!this.closed) this.#follow(); })),
    ];
    this.#follow();
    this.#readMargins();
  }

  close() {
    this.closed = true;
    for (const off of this.offs) off();
    this.draw.cancel();
    this.ask.cancel();
    this.asking?.abort();
    this.node.remove();
    for (const node of document.querySelectorAll("#view td.cell")) {
      node.classList.remove(...LOOKS);
      if (node.cell && !node.cell.stale) node.cell.note.textContent = "";
    }
  }

  #bookmakers() {
    return [...(this.match.entry()?.bookmakers.entries() ?? [])];
  }

  #choose(bookmaker) {
    settings.set(SETTING, bookmaker);
    go({ ref: bookmaker }, { replace: true });
  }

  #follow() {
    const wanted = route().get("ref") ?? settings.get(SETTING) ?? "";
    const before = `${this.group} ${this.chosen}`;
    const group = this.match.group;
    this.chosen = wanted;
    if (`${group} ${this.chosen}` === before && this.drawn) return;
    if (wanted && route().get("ref") !== wanted) go({ ref: wanted }, { replace: true });
    this.had.clear();
    this.#remember();
    this.#readPast();
    this.match.relook();
    this.draw();
  }

  // The group that is shown is known when the odds have come.
  #inGroup(market) {
    return this.group === ALL || groupOf(market) === this.group;
  }

  #reference() {
    return this.#bookmakers().find(([, odds]) => odds.bookmaker === this.chosen)?.[1] ?? null;
  }

  #remember() {
    for (const [text, market] of this.#reference()?.markets ?? []) this.had.set(text, market.key);
  }

  async #readPast() {
    const chosen = this.chosen;
    if (!chosen) return;
    try {
      const asOfTime = new Date(feed.now() - LOOK_BACK_MS).toISOString();
      const reply = await call("odds", { eventIds: this.match.eventId, bookmakers: chosen, asOfTime });
      if (this.closed || chosen !== this.chosen) return;
      for (const odds of reply.events?.[0]?.bookmakers ?? []) {
        for (const market of odds.markets ?? []) this.had.set(marketKey(market.key), market.key);
      }
      this.draw();
    } catch { /* nothing is kept of then: what this page has seen counts */ }
  }

  async #readMargins() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    try {
      const reply = await call("odds", { eventIds: this.match.eventId, includeBest: true }, { signal: asking.signal });
      if (this.closed) return;
      this.margins.clear();
      for (const best of reply.events?.[0]?.best ?? []) {
        for (const each of best.overrounds ?? []) {
          const name = bookmakerKey(each.source, each.bookmaker);
          if (!this.margins.has(name)) this.margins.set(name, new Map());
          this.margins.get(name).set(marketKey(best.key), each.overround ?? 0);
        }
      }
      this.draw();
    } catch (error) {
      if (error.name !== "AbortError") this.margins.clear();
    }
  }

  #changed(changes) {
    if (this.closed) return;
    this.#remember();
    // A cell is compared with the reference's: a move of that one touches its whole row.
    if (!changes.length || changes.some((each) => each.bookmaker === this.chosen)) this.relook ??= requestAnimationFrame(() => {
      this.relook = null;
      if (!this.closed) this.match.relook();
    });
    this.draw();
    this.ask();
  }

  #look(cell, { key, outcome, odds, market, price }) {
    const reference = this.#reference();
    const mine = reference?.markets.get(marketKey(key));
    const own = mine?.outcomes?.find((each) => each.key === outcome.key);
    let look = "", note = "";
    if (reference && odds?.bookmaker === this.chosen) look = "x-mine";
    else if (reference && bettable(market, market?.outcomes?.find((each) => each.key === outcome.key))) {
      if (!own) look = "x-only";
      else if (bettable(mine, own)) {
        const share = against(price, own.price);
        look = share > 0 ? "x-better" : share < 0 ? "x-worse" : "x-equal";
        note = share ? `${share > 0 ? "+" : ""}${percent(share)}` : "=";
      }
    }
    for (const name of LOOKS) cell.node.classList.toggle(name, name === look);
    if (!cell.stale && cell.note.textContent !== note) cell.note.textContent = note;
  }

  #draw() {
    if (this.closed) return;
    this.drawn = true;
    this.group = this.match.group;
    this.#drawSelect();
    const reference = this.#reference();
    this.legend.hidden = !reference;
    if (!reference) {
      fill(this.table);
      fill(this.lists, h("p", { class: "soft" }, this.chosen ? `${this.chosen} does not price this match now.` : "Choose a bookmaker to see the others against it."));
      return;
    }
    const others = this.#bookmakers().filter(([, odds]) => odds.bookmaker !== this.chosen);
    fill(this.table, h("thead", {}, h("tr", {}, ["Bookmaker", "Better", "Worse", "Equal", "Mean difference", "Margin difference", "Only there"]
      .map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, others.map(([name, odds]) => this.#row(name, odds, reference))));
    this.#drawLists(others, reference);
  }

  #drawSelect() {
    const names = [...new Set(this.#bookmakers().map(([, odds]) => odds.bookmaker))].sort();
    if (this.chosen && !names.includes(this.chosen)) names.unshift(this.chosen);
    const text = JSON.stringify([names, this.chosen]);
    if (text === this.selectText) return;
    this.selectText = text;
    fill(this.select, h("option", { value: "" }, "none"), names.map((name) => h("option", { value: name }, name)));
    this.select.value = this.chosen;
  }

  #row(name, odds, reference) {
    const seen = { better: 0, worse: 0, equal: 0, sum: 0, only: 0 };
    for (const [text, market] of odds.markets) {
      if (!this.#inGroup(market.key.market)) continue;
      const mine = reference.markets.get(text);
      if (!mine && market.status === "MARKET_STATUS_OPEN") seen.only += 1;
      for (const outcome of market.outcomes ?? []) {
        const own = mine?.outcomes?.find((each) => each.key === outcome.key);
        if (!bettable(market, outcome) || !bettable(mine, own)) continue;
        const share = against(outcome.price, own.price);
        seen[share > 0 ? "better" : share < 0 ? "worse" : "equal"] += 1;
        seen.sum += share;
      }
    }
    const many = seen.better + seen.worse + seen.equal;
    const margin = this.#marginDifference(name, reference);
    const signed = (share) => (Number.isNaN(share) ? "–" : `${share > 0 ? "+" : ""}${percent(share)}`);
    return h("tr", { "data-bookmaker": odds.bookmaker }, h("th", { scope: "row" }, odds.bookmaker),
      h("td", { class: "better" }, seen.better), h("td", { class: "worse" }, seen.worse), h("td", {}, seen.equal),
      h("td", {}, signed(many ? seen.sum / many : NaN)), h("td", { class: "margin" }, signed(margin)), h("td", {}, seen.only));
  }

  // The mean over the markets of the group that both price completely.
  #marginDifference(name, reference) {
    const theirs = this.margins.get(name);
    const own = this.margins.get(bookmakerKey(reference.source, reference.bookmaker));
    let sum = 0, many = 0;
    for (const [text, margin] of theirs ?? []) {
      if (!own?.has(text) || !this.#inGroup(text.slice(0, text.indexOf("|")))) continue;
      sum += margin - own.get(text);
      many += 1;
    }
    return many ? sum / many : NaN;
  }

  #drawLists(others, reference) {
    const only = new Map();
    for (const [, odds] of others) {
      for (const [text, market] of odds.markets) {
        if (market.status === "MARKET_STATUS_OPEN" && !reference.markets.has(text)) only.set(text, market.key);
      }
    }
    const gone = new Map([...this.had].filter(([text]) => !reference.markets.has(text)));
    const list = (title, name, keys) => {
      const sorted = [...keys.values()].sort(compareKeys);
      return h("p", { "data-list": name }, h("b", {}, `${title}: ${sorted.length}`),
        sorted.slice(0, SHOWN_MARKETS).map((key) => h("span", { class: "chip plainchip" }, marketTitle(key))),
        sorted.length > SHOWN_MARKETS ? ` and ${sorted.length - SHOWN_MARKETS} more` : null);
    };
    fill(this.lists, list("Offered only by the others", "only", only), list(`No longer offered by ${this.chosen}`, "gone", gone));
  }
}
