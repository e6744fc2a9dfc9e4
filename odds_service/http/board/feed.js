// The live odds of this tab.
//
// feed.show({rows: [event id], match: [event id]})   all that this tab shows; the union over views
//                                                    is made by `claim`
// feed.claim() -> {show({rows, match}), end()}       a view's own share of what is shown
// feed.stores.index | .rows | .match                 OddsStore of each lane (hub.js), kept current
// feed.loaded(lane, id)                              whether the odds of an event have come
// feed.live(lane)                                    whether a lane's odds may be taken for live
// feed.state                                         {lanes, sources: Map, tabs}
// feed.now()                                         the server's clock as estimated, in ms
// feed.on(kind, fn) -> off                           kinds: image {lane, ids}, changes {lane, changes},
//                                                    fresh {lane, odds}, state {}
// feed.state.lost                                    times that the worker was gone, and opened anew
// feed.retry()                                       after a token was given
// Handlers run after the stores have changed. They have to be cheap: draw in a frame (dom.js).

import { Hub } from "./hub.js"; // by itself, it might not come when it is needed
import { OddsStore } from "./store.js";

const PROTOCOL = "odds-board-2"; // tabs of another version get a worker of their own
const PING_MS = 5_000;
const DEAF_MS = 10_000; // a worker that answers no ping for so long is gone
const CLOCKS_DIFFER_MS = 2_000; // less is the network's delay

class Feed {
  constructor() {
    this.stores = { index: new OddsStore(), rows: new OddsStore(), match: new OddsStore() };
    this.state = { lanes: { index: {}, rows: {}, match: {} }, sources: new Map(), tabs: 0, lost: 0 };
    this.delays_ms = []; // of the last changes
    this.clock_ms = 0; // how far the server's clock is ahead
    this.handlers = new Map();
    this.claims = new Set();
    this.have = { rows: new Set(), match: new Set() };
    this.shown = { rows: [], match: [] };
    this.indexed = false;
  }

  start() {
    this.#use(this.#open());
    setInterval(() => this.#ping(), PING_MS);
    document.addEventListener("visibilitychange", () => this.#visible());
    addEventListener("pagehide", () => this.port.postMessage({ kind: "bye" }));
    addEventListener("pageshow", (event) => { if (event.persisted) this.#post(); });
    addEventListener("online", () => this.retry());
  }

  #open() {
    this.shared = typeof SharedWorker === "function";
    if (this.shared) {
      const worker = new SharedWorker(new URL("worker.js", import.meta.url), { type: "module", name: PROTOCOL });
      worker.addEventListener("error", () => this.#use(this.#inPage()), { once: true });
      return worker.port;
    }
    return this.#inPage();
  }

  #use(port) {
    this.port = port;
    port.onmessage = ({ data }) => this.#take(data);
    port.start?.();
    this.#post();
  }

  // Browsers do not tell of a worker that has crashed or was ended for its memory.
  #ping() {
    this.port.postMessage({ kind: "ping" });
    // Once more after a while: where this page itself stood still, the answers come now.
    if (this.shared) this.deaf ||= setTimeout(() => { this.deaf = setTimeout(() => this.#reopen(), DEAF_MS / 10); }, DEAF_MS);
  }

  #reopen() {
    this.deaf = 0;
    this.port.postMessage({ kind: "bye" }); // one that was only slow
    this.port.onmessage = null;
    this.port.close();
    this.state.lost += 1;
    this.state.lanes = { index: {}, rows: {}, match: {} }; // nothing is live until the next one says so
    this.#tell({ kind: "state" });
    this.#use(this.#open());
  }

  #inPage() {
    this.shared = false;
    const { port1, port2 } = new MessageChannel();
    new Hub().join(port1);
    return port2;
  }

  claim() {
    const claim = {
      shown: { rows: [], match: [] },
      show: (shown) => { claim.shown = { rows: [], match: [], ...shown }; this.#claimed(); },
      end: () => { this.claims.delete(claim); this.#claimed(); },
    };
    this.claims.add(claim);
    return claim;
  }

  loaded(lane, id) {
    return lane === "index" ? this.indexed : this.have[lane].has(id);
  }

  live(lane) {
    return this.state.lanes[lane]?.live === true;
  }

  now() {
    return Date.now() + this.clock_ms;
  }

  on(kind, fn) {
    if (!this.handlers.has(kind)) this.handlers.set(kind, new Set());
    this.handlers.get(kind).add(fn);
    return () => this.handlers.get(kind).delete(fn);
  }

  retry() {
    this.port.postMessage({ kind: "retry" });
  }

  #claimed() {
    const all = (lane) => [...new Set([...this.claims].flatMap((claim) => claim.shown[lane]))];
    const shown = { rows: all("rows"), match: all("match") };
    if (String(shown.rows) === String(this.shown.rows) && String(shown.match) === String(this.shown.match)) return;
    this.shown = shown;
    for (const lane of ["rows", "match"]) {
      const kept = new Set(shown[lane]);
      this.stores[lane].keepOnly(shown[lane]);
      for (const id of this.have[lane]) if (!kept.has(id)) this.have[lane].delete(id);
    }
    this.#post();
  }

  #post() {
    if (this.port && !document.hidden) this.port.postMessage({ kind: "show", ...this.shown });
  }

  #visible() {
    if (document.hidden) this.port.postMessage({ kind: "pause" });
    else this.#post();
  }

  #take(message) {
    clearTimeout(this.deaf);
    this.deaf = 0;
    const store = this.stores[message.lane];
    if (message.kind === "image") this.#image(message, store);
    else if (message.kind === "changes") {
      for (const change of message.changes) store.apply(change);
      this.#delays(message);
    } else if (message.kind === "fresh") store.fresh(message.odds);
    else if (message.kind === "state") this.#state(message);
    this.#tell(message);
  }

  #tell(message) {
    for (const handler of this.handlers.get(message.kind) ?? []) handler(message);
  }

  #image(message, store) {
    if (!message.ids) {
      store.replace(message.events);
      this.indexed = true;
      return;
    }
    const shown = new Set(this.shown[message.lane]); // what is no longer shown comes late
    const ids = message.ids.filter((id) => shown.has(id));
    store.put(ids, message.events.filter((each) => shown.has(each.event.id)));
    for (const id of ids) this.have[message.lane].add(id);
  }

  #state(message) {
    this.state.lanes = message.lanes;
    this.state.tabs = message.tabs;
    this.state.sources = new Map(message.sources.map((each) => [each.source, each]));
    const sentAt = message.lanes.index.sentAt;
    if (sentAt) {
      const ahead = sentAt[0] - sentAt[1];
      this.clock_ms = Math.abs(ahead) > CLOCKS_DIFFER_MS ? ahead : 0;
    }
  }

  #delays(message) {
    if (message.lane === "index") return;
    const last = message.changes[message.changes.length - 1];
    if (!last.detectedAt || last.reason === "entered_filter") return;
    this.delays_ms.push(Math.max(0, this.now() - Date.parse(last.detectedAt)));
    if (this.delays_ms.length > 50) this.delays_ms.shift();
  }
}

export const feed = new Feed();
