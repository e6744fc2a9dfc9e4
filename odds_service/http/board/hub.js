// Shares the streams of one browser among its tabs. Runs in the SharedWorker, or in the page where
// there is none.
//
// new Hub(), .join(port): a port has postMessage(message) and onmessage.
// A tab posts   {kind: "show", rows: [event id], match: [event id]}   all that it shows now
//               {kind: "pause"}  it is hidden: nothing is posted to it until its next "show"
//               {kind: "retry"}  a token was given      {kind: "ping"}  is answered      {kind: "bye"}
// A tab gets    {kind: "image", lane, ids, events}   these events are now so (ids null: all events)
//               {kind: "changes", lane, changes}     {kind: "fresh", lane, odds}
//               {kind: "pong"}
//               {kind: "state", lanes: {name: Lane.state()}, sources: [SourceState], tabs}
// Lanes:  index  all events without odds (names, starts, status)
//         rows   the main markets of the events in the lists that are on a screen
//         match  all markets of the matches that are open
// That is one stream for each kind of view, never one for a tab: browsers allow six HTTP/1.1
// connections to a host.

import { Lane } from "./lane.js";

export const MAIN_MARKETS = ["h2h", "h2h_3_way", "outrights"];
const NOBODY = "-"; // a filter of bookmakers that matches none leaves the events alone
const STATE_MS = 250;
const SILENT_MS = 6 * 60_000; // browsers wake a hidden tab's timers once a minute
const SWEEP_MS = 60_000;

export class Hub {
  constructor() {
    this.tabs = new Map();
    const hooks = {
      image: (lane) => this.#image(lane),
      changes: (lane, changes) => this.#pass(lane, "changes", changes),
      fresh: (lane, odds) => this.#pass(lane, "fresh", odds),
      state: () => this.#stateSoon(),
    };
    this.lanes = {
      index: new Lane("index", () => ({ bookmakers: NOBODY }), hooks),
      rows: new Lane("rows", (eventIds) => ({ eventIds, markets: MAIN_MARKETS }), hooks, { freshness: true }),
      match: new Lane("match", (eventIds) => ({ eventIds }), hooks, { freshness: true }),
    };
    this.told = "";
    setInterval(() => this.#sweep(), SWEEP_MS);
  }

  join(port) {
    const tab = { port, shown: { rows: new Set(), match: new Set() }, paused: true, heard: Date.now() };
    port.onmessage = ({ data }) => this.#take(tab, data);
    port.start?.();
    this.lanes.index.want(null);
  }

  #take(tab, message) {
    tab.heard = Date.now();
    if (message.kind === "show") this.#show(tab, message);
    else if (message.kind === "pause") tab.paused = true;
    else if (message.kind === "retry") for (const lane of Object.values(this.lanes)) lane.retry();
    else if (message.kind === "ping") tab.port.postMessage({ kind: "pong" });
    else if (message.kind === "bye") this.#leave(tab);
  }

  #show(tab, message) {
    const anew = tab.paused || !this.tabs.has(tab.port);
    this.tabs.set(tab.port, tab);
    tab.paused = false;
    if (anew && this.lanes.index.covers("")) this.#post(tab, "index", null, this.lanes.index.store.image(null));
    for (const name of ["rows", "match"]) {
      const before = anew ? new Set() : tab.shown[name];
      tab.shown[name] = new Set(message[name] ?? []);
      const lane = this.lanes[name];
      const ids = [...tab.shown[name]].filter((id) => !before.has(id) && lane.covers(id));
      if (ids.length) this.#post(tab, name, ids, lane.store.image(ids));
      this.#want(name);
    }
    if (anew) this.#state(true);
  }

  #want(name) {
    const ids = new Set();
    for (const tab of this.tabs.values()) for (const id of tab.shown[name]) ids.add(id);
    this.lanes[name].want(ids);
  }

  #leave(tab) {
    if (!this.tabs.delete(tab.port)) return;
    tab.paused = true;
    tab.port.close?.();
    this.#want("rows");
    this.#want("match");
  }

  #sweep() {
    for (const tab of this.tabs.values()) if (Date.now() - tab.heard > SILENT_MS) this.#leave(tab);
  }

  #image(lane) {
    for (const tab of this.tabs.values()) {
      if (tab.paused) continue;
      const ids = lane.name === "index" ? null : [...tab.shown[lane.name]].filter((id) => lane.covers(id));
      if (!ids || ids.length) this.#post(tab, lane.name, ids, lane.store.image(ids));
    }
    this.#state(true);
  }

  #post(tab, lane, ids, events) {
    tab.port.postMessage({ kind: "image", lane, ids, events });
  }

  #pass(lane, kind, list) {
    const field = kind === "changes" ? "changes" : "odds";
    for (const tab of this.tabs.values()) {
      if (tab.paused) continue;
      const shown = tab.shown[lane.name];
      const chosen = shown ? list.filter((each) => !each.eventId || shown.has(each.eventId)) : list;
      if (chosen.length) tab.port.postMessage({ kind, lane: lane.name, [field]: chosen });
    }
  }

  #stateSoon() {
    const now = this.#lanes();
    const urgent = JSON.stringify(Object.values(now).map((s) => [s.used, s.live, s.connected, s.refused, s.missed, s.anew, s.reason]));
    if (urgent !== this.told) this.#state(true);
    else this.timer ||= setTimeout(() => this.#state(false), STATE_MS);
    this.told = urgent;
  }

  #lanes() {
    return Object.fromEntries(Object.entries(this.lanes).map(([name, lane]) => [name, lane.state()]));
  }

  #state() {
    clearTimeout(this.timer);
    this.timer = 0;
    const message = { kind: "state", lanes: this.#lanes(), sources: [...this.lanes.index.store.sources.values()], tabs: this.tabs.size };
    for (const tab of this.tabs.values()) if (!tab.paused) tab.port.postMessage(message);
  }
}
