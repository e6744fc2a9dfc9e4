// Best prices, margins and suspects of some events, as the server computes them. The page computes
// none.
//
// new BestPrices({ids, markets, changed}) , .ask(), .stop()
//   ids() -> event ids       markets() -> market types ([]: none, nothing is asked)
//   changed(ids)             after a reply: the events that it was about
//   .of(id) -> {best: [BestMarket], revision: BigInt} or undefined
//   .late                    the last reply is too old to be taken for live
// One request at a time; the first at once, after a change within WAIT_MS, and at least every IDLE_MS, since prices
// also grow stale without a change.

import { call } from "./api.js";
import { debounced } from "./dom.js";

const WAIT_MS = 120;
const IDLE_MS = 5_000;
const LATE_MS = 15_000;
const BATCH = 50; // events in a request

export class BestPrices {
  constructor({ ids, markets, changed }) {
    Object.assign(this, { ids, markets, changed });
    this.found = new Map();
    this.soon = debounced(() => this.#refresh(), WAIT_MS, 2 * WAIT_MS);
    this.timer = setInterval(() => { if (!document.hidden) this.soon(); }, IDLE_MS);
    this.at = performance.now();
    this.busy = this.again = this.stopped = this.begun = false;
  }

  get late() {
    return performance.now() - this.at > LATE_MS;
  }

  of(id) {
    return this.found.get(id);
  }

  ask() {
    if (this.busy) this.again = true;
    else if (this.begun) this.soon();
    else this.#refresh(); // nothing is on the screen yet
  }

  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    this.soon.cancel();
    this.abort?.abort();
  }

  async #refresh() {
    if (this.stopped || this.busy || document.hidden) return;
    const ids = this.ids(), markets = this.markets();
    if (!ids.length || !markets.length) return;
    this.busy = this.begun = true;
    this.again = false;
    this.abort = new AbortController();
    try {
      for (let from = 0; from < ids.length; from += BATCH) {
        const some = ids.slice(from, from + BATCH);
        const reply = await call("odds", { eventIds: some, markets, includeBest: true }, { signal: this.abort.signal });
        const revision = BigInt(reply.cursor?.revision ?? "0");
        for (const id of some) this.found.delete(id);
        for (const each of reply.events ?? []) this.found.set(each.event.id, { best: each.best ?? [], revision });
        this.changed(some);
      }
      this.at = performance.now();
      const kept = new Set(ids);
      for (const id of this.found.keys()) if (!kept.has(id)) this.found.delete(id);
    } catch (error) {
      if (this.stopped) return;
      if (error.retry_ms) await new Promise((resolve) => setTimeout(resolve, error.retry_ms));
    } finally {
      this.busy = false;
    }
    if (this.again && !this.stopped) this.soon();
  }
}
