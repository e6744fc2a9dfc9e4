// The odds that a stream has told: images and changes folded into maps. Used by worker and page.
//
// new OddsStore()
//   .events   Map: event id -> {event, bookmakers: Map: bookmakerKey -> {bookmaker, source, stale,
//             confirmedAt, observedAt, markets: Map: marketKey -> Market}}
//   .sources  Map: source -> SourceState
//   .revisionOf…  none: the cursor belongs to the stream
//   .replace(events), .put(ids, events), .merge(events), .apply(change), .fresh(odds)
// marketKey(key), bookmakerKey(source, bookmaker): texts that name one market or bookmaker.
// Messages are those of the contract in JSON: fields with default values are absent.

export const marketKey = (key) => `${key.market}|${key.line ?? ""}|${key.participant ?? ""}`;
export const bookmakerKey = (source, bookmaker) => `${bookmaker}|${source}`;

const GONE = "MARKET_STATUS_REMOVED";
const ENDED = "CHANGE_KIND_EVENT_ENDED";

export class OddsStore {
  constructor() {
    this.events = new Map();
    this.sources = new Map();
  }

  replace(events) {
    this.events.clear();
    this.merge(events);
  }

  // Set these events to what is given; those of the ids that are not given are gone.
  put(ids, events) {
    for (const id of ids) this.events.delete(id);
    this.merge(events);
  }

  keepOnly(ids) {
    const kept = new Set(ids);
    for (const id of this.events.keys()) if (!kept.has(id)) this.events.delete(id);
  }

  merge(events) {
    for (const each of events) {
      const entry = this.#entry(each.event.id, each.event);
      for (const odds of each.bookmakers ?? []) {
        const shown = this.#bookmaker(entry, odds.source, odds.bookmaker);
        shown.stale = odds.stale ?? false;
        shown.confirmedAt = odds.confirmedAt;
        shown.observedAt = odds.observedAt;
        for (const market of odds.markets ?? []) shown.markets.set(marketKey(market.key), market);
      }
    }
  }

  setSources(states) {
    for (const state of states ?? []) this.sources.set(state.source, state);
  }

  apply(change) {
    if (change.sourceState) this.sources.set(change.sourceState.source, change.sourceState);
    const id = change.eventId;
    if (!id) return;
    if (change.kind === ENDED || (change.event && change.reason === "left_filter")) {
      this.events.delete(id);
      return;
    }
    if (change.event) this.#entry(id, change.event).event = change.event;
    const market = change.after;
    if (!market) return;
    const entry = this.#entry(id, { id });
    const gone = market.status === GONE || change.kind === "CHANGE_KIND_REMOVED";
    if (gone && !entry.bookmakers.has(bookmakerKey(change.source, change.bookmaker))) return;
    const shown = this.#bookmaker(entry, change.source, change.bookmaker);
    if (change.observedAt && !(shown.confirmedAt > change.observedAt)) {
      if (!gone) shown.confirmedAt = change.observedAt;
      shown.observedAt = change.observedAt;
    }
    if (!gone) shown.markets.set(marketKey(market.key), market);
    else {
      shown.markets.delete(marketKey(market.key));
      if (!shown.markets.size) entry.bookmakers.delete(bookmakerKey(change.source, change.bookmaker));
    }
  }

  fresh(odds) {
    for (const each of odds) {
      const shown = this.events.get(each.eventId)?.bookmakers.get(bookmakerKey(each.source, each.bookmaker));
      if (!shown) continue;
      shown.confirmedAt = each.confirmedAt;
      shown.stale = each.stale ?? false;
    }
  }

  // The events as an image tells them, to hand them on.
  image(ids) {
    const chosen = ids ? ids.filter((id) => this.events.has(id)) : [...this.events.keys()];
    return chosen.map((id) => {
      const entry = this.events.get(id);
      return {
        event: entry.event,
        bookmakers: [...entry.bookmakers.values()].map((odds) => ({ ...odds, markets: [...odds.markets.values()] })),
      };
    });
  }

  #entry(id, event) {
    let entry = this.events.get(id);
    if (!entry) this.events.set(id, (entry = { event, bookmakers: new Map() }));
    return entry;
  }

  #bookmaker(entry, source, bookmaker) {
    const key = bookmakerKey(source, bookmaker);
    let shown = entry.bookmakers.get(key);
    if (!shown) entry.bookmakers.set(key, (shown = { bookmaker, source, stale: false, markets: new Map() }));
    return shown;
  }
}
