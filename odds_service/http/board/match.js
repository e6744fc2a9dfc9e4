// One match: its head, the groups of its markets as tabs, and the grid of odds.
//
// openMatch(root, route) -> {update(route), focus(), close()}
//
// A tool (hooks.js, addMatchTool) gets the handle `match`:
//   .eventId  .event()  .entry()      of the live store; .group
//   .aside                            an element beside the grid for panels, hidden while empty
//   .bar                              an element between tabs and grid, hidden while empty
//   .freeze(eventOdds, text)          shows a past EventOdds (as GetOdds gives it, with `best`)
//                                     in place of the live odds, and says so; .thaw() ends it
//   .relook()                         draws every cell anew, so that looks (addCellLook) apply
//   .on(fn) -> off                    fn(changes) after changes of this match; fn([]) after an image
//   .openTool(name or null)           presses a tool's button; the address has ?tool=name

import { BestPrices } from "./best.js";
import { fill, h, setText } from "./dom.js";
import { feed } from "./feed.js";
import { clock, countdown, day } from "./format.js";
import { Grid } from "./grid.js";
import { choosers, tools } from "./hooks.js";
import { competitionName, sportName } from "./list.js";
import { ALL, groupName, groupOf, groupOrder, inSport, loadMarkets } from "./markets.js";
import { go, link } from "./router.js";
import { settings } from "./settings.js";
import { OddsStore, bookmakerKey, marketKey } from "./store.js";

export function openMatch(root, at) {
  return new MatchView(root, at);
}

class MatchView {
  constructor(root, at) {
    this.claim = feed.claim();
    this.listeners = new Set();
    this.frozen = null;
    this.tool = null;
    this.head = h("header", { class: "matchhead" });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Markets" });
    this.toolbar = h("div", { class: "matchtools" });
    this.bar = h("div", { class: "matchbar" });
    this.aside = h("aside", { class: "matchaside" });
    this.body = h("section", { class: "matchbody", role: "tabpanel" });
    this.note = h("p", { class: "note", role: "status" });
    fill(root, h("div", { class: "match" }, this.head, h("div", { class: "tabrow" }, this.tabs, this.toolbar), this.bar, this.note,
      h("div", { class: "matchmain" }, this.body, this.aside)));
    this.grid = new Grid(this.body, { choose: (context) => { for (const fn of choosers) fn(context); } });
    this.best = new BestPrices({
      ids: () => (this.eventId && !this.frozen ? [this.eventId] : []), markets: () => this.#marketTypes(),
      changed: () => { if (!this.frozen) this.grid.touchBest(); },
    });
    this.offs = [
      feed.on("image", ({ lane, ids }) => { if (lane === "match" && ids.includes(this.eventId)) this.#imaged(); }),
      feed.on("changes", ({ lane, changes }) => { if (lane === "match") this.#changed(changes); }),
      feed.on("fresh", ({ lane, odds }) => { if (lane === "match") this.#fresh(odds); }),
      feed.on("state", () => this.#note()),
      settings.on(() => { this.#drawHead(); this.grid.relook(); }),
    ];
    this.ticking = setInterval(() => { this.#tick(); }, 1000);
    this.tabs.addEventListener("keydown", (event) => this.#tabKey(event));
    this.handle = this.#makeHandle();
    loadMarkets().then(() => { if (!this.closed) this.#draw(); });
    this.update(at);
  }

  update(at) {
    const eventId = at.get("event") ?? "";
    this.group = at.get("group");
    if (eventId !== this.eventId) {
      this.#useTool(null);
      this.frozen = null;
      this.eventId = eventId;
      this.stale = new Map();
      this.claim.show({ match: eventId ? [eventId] : [] });
      this.best.ask();
    }
    this.#draw();
    this.#useTool(at.get("tool"));
  }

  focus() {
    this.grid.focus();
  }

  close() {
    this.closed = true;
    this.#useTool(null);
    for (const off of this.offs) off();
    clearInterval(this.ticking);
    this.best.stop();
    this.grid.close();
    this.claim.end();
  }

  #entry() {
    return feed.stores.match.events.get(this.eventId) ?? null;
  }

  #event() {
    return this.#entry()?.event ?? feed.stores.index.events.get(this.eventId)?.event ?? null;
  }

  #shown() {
    return this.frozen?.entry ?? this.#entry();
  }

  #marketTypes() {
    return [...new Set(this.grid.keys().map((key) => key.market))];
  }

  // -- following the feed ---------------------------------------------------------------------

  #imaged() {
    this.#draw();
    this.best.ask();
    for (const fn of this.listeners) fn([]);
  }

  #changed(changes) {
    const own = changes.filter((each) => each.eventId === this.eventId);
    if (!own.length) return;
    if (own.some((each) => each.event || each.kind === "CHANGE_KIND_EVENT_ENDED")) this.#drawHead();
    const entry = this.#entry();
    if (!this.frozen) {
      if (entry !== this.grid.entry) this.#draw();
      for (const change of own) {
        if (change.after) this.grid.touch(marketKey(change.after.key), bookmakerKey(change.source, change.bookmaker));
      }
      if (own.some((each) => /_ADDED|_REMOVED/.test(each.kind))) this.#drawTabs();
      this.best.ask();
    }
    for (const fn of this.listeners) fn(own);
  }

  #fresh(odds) {
    for (const each of odds) {
      if (each.eventId !== this.eventId) continue;
      const key = bookmakerKey(each.source, each.bookmaker);
      const stale = each.stale ?? false;
      if (this.stale.get(key) === stale) continue;
      this.stale.set(key, stale);
      if (this.frozen) continue;
      this.grid.touchBookmaker(key);
      this.best.ask();
    }
  }

  #tick() {
    this.#drawCountdown();
    if (!this.frozen) this.grid.tick();
    this.body.classList.toggle("late", !this.frozen && this.best.late);
  }

  // -- drawing --------------------------------------------------------------------------------

  #draw() {
    this.#drawHead();
    this.#drawTabs();
    const frozen = this.frozen;
    this.grid.show({
      entry: this.#shown(), group: this.shownGroup, live: !frozen,
      bestOf: () => (frozen ? frozen.best : this.best.of(this.eventId)),
    });
    this.best.ask();
    this.#note();
  }

  #drawHead() {
    const event = this.#event();
    const zone = settings.get("zone");
    if (!event) return void fill(this.head, h("h1", {}, "Match"));
    const sources = Object.keys(event.sourceIds ?? {});
    this.left = h("span", { class: "left" });
    fill(this.head,
      h("h1", {}, event.name || `${event.home} – ${event.away}`),
      h("p", { class: "about" },
        h("a", { href: link({ sport: event.sport }, { fresh: true }), "data-go": true }, sportName(event.sport)), " · ",
        h("a", { href: link({ sport: event.sport, competition: event.competition }, { fresh: true }), "data-go": true }, competitionName(event.competition, event.sport)),
        ` · ${day(event.startTime, zone)} ${clock(event.startTime, zone)}${zone === "utc" ? " UTC" : ""} · `, this.left,
        sources.length ? h("span", { class: "sources" }, ` · ${sources.join(", ")}`) : null));
    document.title = `${event.name || event.home} · Odds`;
    this.#drawCountdown();
  }

  #drawCountdown() {
    const event = this.#event();
    if (!event || !this.left) return;
    const playing = event.status === "EVENT_STATUS_IN_PLAY";
    setText(this.left, playing ? "in play" : `in ${countdown(Date.parse(event.startTime) - feed.now()) || "0:00"}`);
    this.left.classList.toggle("playing", playing);
  }

  #drawTabs() {
    inSport(this.#event()?.sport);
    const counts = new Map();
    const seen = new Set();
    for (const odds of this.#shown()?.bookmakers.values() ?? []) {
      for (const [text, market] of odds.markets) {
        if (seen.has(text)) continue;
        seen.add(text);
        const group = groupOf(market.key.market);
        counts.set(group, (counts.get(group) ?? 0) + 1);
      }
    }
    const groups = groupOrder(counts.keys());
    if (groups.length > 1) {
      groups.push(ALL);
      counts.set(ALL, seen.size);
    }
    this.shownGroup = counts.has(this.group) ? this.group : groups[0];
    const text = JSON.stringify([groups.map((group) => [group, groupName(group), counts.get(group)]), this.shownGroup]);
    if (text !== this.tabText) {
      this.tabText = text;
      const focused = this.tabs.contains(document.activeElement);
      fill(this.tabs, groups.map((group) => h("button", {
        role: "tab", "data-group": group, "aria-selected": String(group === this.shownGroup), tabIndex: group === this.shownGroup ? 0 : -1,
        on: { click: () => go({ group }) },
      }, groupName(group), h("span", { class: "number" }, counts.get(group)))));
      const chosen = this.tabs.querySelector("[aria-selected=true]");
      if (focused) chosen?.focus();
      if (chosen) this.tabs.scrollLeft = chosen.offsetLeft + chosen.offsetWidth - this.tabs.clientWidth; // on a phone
    }
    if (this.toolbar.childElementCount !== tools.length) {
      fill(this.toolbar, tools.map((tool) => h("button", {
        class: "chip", "data-tool": tool.name, "aria-pressed": "false",
        on: { click: () => this.handle.openTool(this.tool?.name === tool.name ? null : tool.name) },
      }, tool.label)));
    }
  }

  #tabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...this.tabs.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next?.focus();
    next?.click();
  }

  #note() {
    const lane = feed.state.lanes.match;
    let text = "";
    if (this.frozen) text = this.frozen.text;
    else if (!this.eventId) text = "No match is chosen.";
    else if (!this.#entry()) {
      if (!feed.loaded("match", this.eventId)) text = lane.reason && !lane.connected ? `Waiting for the service: ${lane.reason}` : "Loading odds …";
      else text = "This match is over, or the service does not know it.";
    } else if (!this.#entry().bookmakers.size) text = "No bookmaker prices this match now.";
    else if (!feed.live("match")) text = `Not live: ${lane.reason || "connecting again"}. These are the last odds that came.`;
    setText(this.note, text);
    this.note.hidden = !text;
    this.note.classList.toggle("warn", Boolean(text) && !feed.live("match"));
  }

  // -- tools ----------------------------------------------------------------------------------

  #useTool(name) {
    if ((this.tool?.name ?? null) === (name ?? null)) return;
    this.detach?.();
    this.detach = null;
    this.frozen = null;
    this.tool = tools.find((tool) => tool.name === name) ?? null;
    for (const each of this.toolbar.children) each.setAttribute("aria-pressed", String(each.dataset.tool === this.tool?.name));
    if (this.tool) this.detach = this.tool.attach(this.handle) ?? null;
    if (!this.closed) this.#draw();
  }

  #makeHandle() {
    const view = this;
    return {
      get eventId() { return view.eventId; },
      get group() { return view.shownGroup; },
      event: () => view.#event(),
      entry: () => view.#entry(),
      aside: view.aside,
      bar: view.bar,
      freeze(eventOdds, text) {
        const store = new OddsStore();
        store.merge([eventOdds]);
        view.frozen = { entry: store.events.get(eventOdds.event.id), best: { best: eventOdds.best ?? [], revision: 0n }, text };
        view.#draw();
      },
      thaw() {
        if (!view.frozen) return;
        view.frozen = null;
        view.#draw();
      },
      relook: () => view.grid.relook(),
      on(fn) {
        view.listeners.add(fn);
        return () => view.listeners.delete(fn);
      },
      openTool: (name) => go({ tool: name }, { replace: true }),
    };
  }
}

