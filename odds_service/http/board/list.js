// The list of matches: by start, with countdown, in-play mark, numbers of bookmakers and markets, and
// the best prices of the main market. Filters are in the address: sport, competition, inplay, q.
//
// openList(root, route) -> {update(route), focus(), close()}

import { call } from "./api.js";
import { BestPrices } from "./best.js";
import { debounced, fill, h, perFrame, setClass, setText } from "./dom.js";
import { feed } from "./feed.js";
import { flash } from "./flash.js";
import { clock, countdown, day, percent, price, words } from "./format.js";
import { MAIN_MARKETS } from "./hub.js";
import { WHY, outcomeName } from "./markets.js";
import { go, link } from "./router.js";
import { settings } from "./settings.js";
import { VirtualList } from "./virtual.js";

const SETTLE_MS = 120; // a list that scrolls subscribes when it comes to rest
const COUNTS_MS = 15_000;
const NARROW = matchMedia("(max-width: 720px)");
const REASONS = { "below_limit": "too good to be true" };

let last = null; // the match that was chosen last; the list comes back to it

export function openList(root, at) {
  return new List(root, at);
}

class List {
  constructor(root, at) {
    this.chosen = at;
    this.claim = feed.claim();
    this.counts = new Map(); // event id -> [bookmakers, markets]
    this.visible = [];
    this.drawn = new Map(); // event id -> prices on the screen
    this.side = h("nav", { class: "side", "aria-label": "Sports and competitions" });
    this.scroller = h("div", { class: "rows", role: "list", "aria-label": "Matches" });
    this.head = h("div", { class: "listhead" });
    this.note = h("p", { class: "note", role: "status" });
    fill(root, h("div", { class: "list" }, this.side, h("section", { class: "matches" }, this.head, this.note, this.scroller)));
    this.rows = new VirtualList(this.scroller, {
      make: (item) => (item.heading ? h("h2", { class: "dayrow" }) : makeRow()),
      draw: (node, item) => (item.heading ? setText(node, item.heading) : this.#row(node, item)),
      height: (item) => (item.heading ? 30 : NARROW.matches ? 92 : 52),
      seen: (items) => {
        const first = !this.visible.length;
        this.visible = items.map((item) => item.id);
        if (first) this.#settled();
        else this.settle();
      },
      choose: (item) => go({ view: "match", event: item.id }, { fresh: true }),
    });
    this.best = new BestPrices({
      ids: () => this.visible, markets: () => MAIN_MARKETS, changed: (ids) => { for (const id of ids) this.#priced(id); },
    });
    this.settle = debounced(() => this.#settled(), SETTLE_MS, 1_000);
    this.recount = debounced(() => this.#count(), 400, 2_000);
    this.rebuild = debounced(() => this.#build(), 60, 300);
    this.draw = perFrame(() => this.rows.redraw());
    this.offs = [
      feed.on("image", ({ lane }) => { if (lane === "index") this.#build(); else if (lane === "rows") this.best.ask(); }),
      feed.on("changes", ({ lane, changes }) => this.#changed(lane, changes)),
      feed.on("state", () => this.#note()),
      settings.on(() => { this.drawn.clear(); this.#build(); }),
    ];
    this.ticking = setInterval(() => this.#tick(), 1000);
    this.counting = setInterval(() => { if (!document.hidden) this.recount(); }, COUNTS_MS);
    this.resized = () => this.rows.resize();
    NARROW.addEventListener("change", this.resized);
    this.rows.active = last;
    document.title = "Odds";
    this.#build();
    this.#comeBack();
  }

  #comeBack() {
    if (!last || this.came || !this.rows.items.some((item) => item.id === last)) return;
    this.came = true;
    const idle = document.activeElement === document.body || !document.activeElement;
    if (idle) this.rows.focus();
  }

  update(at) {
    this.chosen = at;
    this.#build();
    this.scroller.scrollTop = 0;
  }

  focus() {
    this.rows.focus();
  }

  close() {
    last = this.rows.active;
    for (const off of this.offs) off();
    NARROW.removeEventListener("change", this.resized);
    clearInterval(this.ticking);
    clearInterval(this.counting);
    for (const ask of [this.settle, this.recount, this.rebuild, this.draw]) ask.cancel();
    this.best.stop();
    this.rows.close();
    this.claim.end();
  }

  // -- what is in the list --------------------------------------------------------------------

  #changed(lane, changes) {
    if (lane === "rows") {
      this.best.ask();
      if (changes.some((each) => /ADDED|REMOVED/.test(each.kind))) this.recount();
    } else if (lane === "index" && changes.some((each) => each.event)) this.rebuild();
    else if (lane === "index" && changes.some((each) => each.kind === "CHANGE_KIND_EVENT_ENDED")) this.rebuild();
  }

  #build() {
    const all = [...feed.stores.index.events.values()].map((entry) => entry.event).filter((event) => event.sport);
    this.#side(all);
    const sport = this.chosen.get("sport"), competitions = this.chosen.getAll("competition");
    const inPlay = this.chosen.get("inplay") === "1";
    const wanted = fold(this.chosen.get("q") ?? "").split(/\s+/).filter(Boolean);
    const found = all.filter((event) =>
      (!sport || event.sport === sport)
      && (!competitions.length || competitions.includes(event.competition))
      && (!inPlay || event.status === "EVENT_STATUS_IN_PLAY")
      && (!wanted.length || matches(event, wanted)));
    found.sort((a, b) => (a.startTime ?? "").localeCompare(b.startTime ?? "") || a.id.localeCompare(b.id));
    const zone = settings.get("zone"), items = [];
    let last = "";
    for (const event of found) {
      const heading = day(event.startTime, zone);
      if (heading !== last) items.push({ id: `day ${heading}`, heading: (last = heading) });
      items.push({ id: event.id, event });
    }
    this.#head(found, all);
    this.total = all.length;
    this.found = found.length;
    this.rows.set(items);
    this.#note();
  }

  #head(found, all) {
    const inPlay = this.chosen.get("inplay") === "1";
    const live = all.filter((event) => event.status === "EVENT_STATUS_IN_PLAY").length;
    const q = this.chosen.get("q");
    fill(this.head,
      h("span", { class: "total" }, NARROW.matches ? `${found.length} / ${all.length}` : `${found.length} of ${all.length} matches`),
      h("button", { class: "chip", "aria-pressed": String(inPlay), on: { click: () => go({ inplay: inPlay ? null : "1" }) } }, `In play ${live}`),
      q ? h("button", { class: "chip", "aria-label": "Clear the search", on: { click: () => go({ q: null }) } }, `“${q}” ×`) : null,
      NARROW.matches ? this.#select(all) : null,
      h("span", { class: "columns", "aria-hidden": "true" }, h("span", {}, "Best home"), h("span", {}, "Draw"), h("span", {}, "Away"),
        h("span", {}, "Margin"), h("span", {}, "Books"), h("span", {}, "Markets")));
  }

  #note() {
    const lane = feed.state.lanes.index;
    let text = "";
    if (!this.total) {
      text = !feed.indexed ? (lane.reason && !lane.connected ? `Waiting for the service: ${lane.reason}` : "Loading matches …")
        : "No matches yet. They come with the first answers of the sources.";
    } else if (!this.found) text = "No match fits. Clear the search or choose another sport.";
    setText(this.note, text);
    this.note.hidden = !text;
  }

  #groups(all) {
    const sports = new Map();
    for (const event of all) {
      if (!sports.has(event.sport)) sports.set(event.sport, { count: 0, competitions: new Map() });
      const sport = sports.get(event.sport);
      sport.count += 1;
      sport.competitions.set(event.competition, (sport.competitions.get(event.competition) ?? 0) + 1);
    }
    return [...sports].sort(([a], [b]) => a.localeCompare(b));
  }

  #side(all) {
    const groups = this.#groups(all);
    const text = JSON.stringify([groups.map(([name, s]) => [name, s.count, [...s.competitions]]), this.chosen.toString()]);
    if (text === this.sideText) return;
    this.sideText = text;
    const sport = this.chosen.get("sport"), competitions = this.chosen.getAll("competition");
    const item = (label, number, to, current, kind) => h("a", {
      href: link(to), "data-go": true, class: kind, "aria-current": current ? "true" : null,
    }, h("span", {}, label), h("span", { class: "number" }, number));
    fill(this.side,
      item("All sports", all.length, { sport: null, competition: null }, !sport && !competitions.length, "sport"),
      groups.map(([name, found]) => [
        item(sportName(name), found.count, { sport: name, competition: null }, sport === name && !competitions.length, "sport"),
        [...found.competitions].sort(([a], [b]) => a.localeCompare(b)).map(([competition, number]) =>
          item(competitionName(competition, name), number, { sport: name, competition }, competitions.includes(competition), "competition")),
      ]));
  }

  #select(all) {
    const select = h("select", { class: "chip", "aria-label": "Sport and competition", on: { change: () => {
      const [sport, competition] = JSON.parse(select.value);
      go({ sport, competition });
    } } });
    const option = (sport, competition, text) => h("option", { value: JSON.stringify([sport, competition]) }, text);
    fill(select, option(null, null, "All sports"), this.#groups(all).map(([sport, found]) => [
      option(sport, null, sportName(sport)),
      [...found.competitions.keys()].sort().map((competition) => option(sport, competition, `– ${competitionName(competition, sport)}`)),
    ]));
    select.value = JSON.stringify([this.chosen.get("sport"), this.chosen.get("competition")]);
    return select;
  }

  // -- the visible rows -----------------------------------------------------------------------

  #settled() {
    this.claim.show({ rows: this.visible });
    for (const id of this.drawn.keys()) if (!this.visible.includes(id)) this.drawn.delete(id);
    for (const id of this.counts.keys()) if (!this.visible.includes(id)) this.counts.delete(id);
    this.best.ask();
    this.recount();
  }

  async #count() {
    const eventIds = this.visible;
    if (!eventIds.length) return;
    try {
      const reply = await call("events", { eventIds, pageSize: 200 });
      for (const each of reply.events ?? []) {
        const books = each.bookmakers ?? [];
        this.counts.set(each.event.id, [books.length, books.reduce((sum, one) => sum + (one.markets ?? 0), 0)]);
      }
      this.draw();
    } catch { /* shown as unknown; asked again soon */ }
  }

  #priced(id) {
    const item = this.rows.nodes.get(id);
    const event = feed.stores.index.events.get(id)?.event;
    if (item && event) this.#row(item, { id, event });
  }

  #row(node, { id, event }) {
    const parts = node.parts;
    const zone = settings.get("zone");
    const playing = event.status === "EVENT_STATUS_IN_PLAY";
    if (node.dataset.event !== id) node.href = link({ view: "match", event: id }, { fresh: true });
    node.dataset.event = id;
    setClass(parts.time, playing ? "time playing" : "time");
    setText(parts.clock, clock(event.startTime, zone));
    setText(parts.left, playing ? "In play" : countdown(Date.parse(event.startTime) - feed.now()) || "due");
    setText(parts.home, event.home || event.name || "?");
    setText(parts.away, event.away || "");
    setText(parts.competition, competitionName(event.competition, event.sport));
    const [books, markets] = this.counts.get(id) ?? ["·", "·"];
    setText(parts.books, String(books));
    setText(parts.markets, String(markets));
    this.#prices(node, id);
  }

  #prices(node, id) {
    const { parts } = node;
    const found = this.best.of(id);
    const market = found && mainOf(found.best);
    const format = settings.get("format");
    const before = this.drawn.get(id) ?? {};
    const now = {};
    const places = placesOf(market);
    for (const [index, cell] of parts.prices.entries()) {
      const best = places[index];
      setText(cell.price, best ? price(best.price, format) : found ? "–" : "·");
      setText(cell.by, best ? best.bookmaker : "");
      cell.node.classList.toggle("none", !best);
      cell.node.title = best ? `${outcomeName(market.key.market, { key: best.outcome, name: best.name })}: ${best.bookmaker} (${best.source})` : "";
      if (best) {
        now[best.outcome] = best.price;
        const old = before[best.outcome];
        if (old !== undefined && old !== best.price) flash(cell.node, best.price > old);
      }
    }
    if (found) this.drawn.set(id, now);
    const suspect = market?.suspectOverround;
    const margin = suspect ?? market?.combinedOverround;
    const why = market || !found ? undefined : leftOut(found.best);
    setText(parts.margin, margin === undefined ? why ?? "–" : percent(margin));
    setClass(parts.margin, `margin${suspect !== undefined ? " suspect" : margin < 0 ? " under" : ""}`);
    parts.margin.title = suspect !== undefined
      ? `Suspect: ${(market.suspectReasons ?? []).map((word) => REASONS[word] ?? words(word)).join(", ")}` : "Margin of the best prices together";
    node.classList.toggle("late", this.best.late);
  }

  #tick() {
    for (const [id, node] of this.rows.nodes) {
      const event = feed.stores.index.events.get(id)?.event;
      if (!event || !node.parts) continue;
      if (event.status !== "EVENT_STATUS_IN_PLAY") setText(node.parts.left, countdown(Date.parse(event.startTime) - feed.now()) || "due");
      node.classList.toggle("late", this.best.late);
    }
  }
}

const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

const folded = new WeakMap();
function matches(event, wanted) {
  let text = folded.get(event);
  if (text === undefined) {
    text = fold(`${event.name ?? ""} ${event.home ?? ""} ${event.away ?? ""} ${event.competition ?? ""} ${event.id}`);
    folded.set(event, text);
  }
  return wanted.every((word) => text.includes(word));
}

const SPORTS = {
  americanfootball: "American football", aussierules: "Australian football", icehockey: "Ice hockey", mma: "MMA",
  rugbyleague: "Rugby league", rugbyunion: "Rugby union", tabletennis: "Table tennis",
};
export const sportName = (sport) => SPORTS[sport] ?? sentence(words(sport || "other"));
export function competitionName(competition, sport) {
  const short = competition?.startsWith(`${sport}_`) ? competition.slice(sport.length + 1) : competition ?? "";
  return short.length <= 4 ? short.toUpperCase() : sentence(words(short));
}
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export function mainOf(best) {
  const able = best.filter((each) => each.prices?.length);
  for (const market of MAIN_MARKETS) {
    const found = able.filter((each) => each.key.market === market && each.key.line === undefined);
    if (found.length) return found.reduce((a, b) => ((b.overrounds?.length ?? 0) > (a.overrounds?.length ?? 0) ? b : a));
  }
  return undefined;
}

// The reason why there is no best price, where bookmakers have the main market.
function leftOut(best) {
  const left = best.filter((each) => MAIN_MARKETS.includes(each.key.market)).flatMap((each) => each.exclusions ?? []);
  return left.length ? WHY[left[0].reason]?.[0] : undefined;
}

function placesOf(market) {
  const prices = market?.prices ?? [];
  const by = new Map(prices.map((each) => [each.outcome, each]));
  if (by.has("home") || by.has("away")) return [by.get("home"), by.get("draw"), by.get("away")];
  return prices.slice(0, 3);
}

function makeRow() {
  const span = (name) => h("span", { class: name });
  const parts = {
    time: span("time"), clock: span("clock"), left: span("left"), home: span("home"), away: span("away"),
    competition: span("competition"), margin: span("margin"), books: span("books"), markets: span("markets"), prices: [],
  };
  parts.time.append(parts.clock, parts.left);
  for (let index = 0; index < 3; index++) {
    const cell = { price: span("price"), by: span("by") };
    cell.node = h("span", { class: "best" }, cell.price, cell.by);
    parts.prices.push(cell);
  }
  const node = h("a", { class: "row", "data-go": true, role: "listitem" }, parts.time,
    h("span", { class: "teams" }, parts.home, parts.away), parts.competition,
    parts.prices.map((cell) => cell.node), parts.margin, parts.books, parts.markets);
  node.parts = parts;
  return node;
}
