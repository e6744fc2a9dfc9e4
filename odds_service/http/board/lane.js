// The stream behind one kind of view, for all tabs of the browser; used by hub.js.
//
// new Lane(name, filterOf, hooks, options)
//   filterOf(ids)  the filter for a set of events; a lane without `ids` has one fixed filter
//   hooks: image(lane), changes(lane, changes), fresh(lane, odds), state(lane)
//   .store (OddsStore), .covers(id), .want(ids), .retry(), .state()
//
// When more events are wanted, a second stream with the wider filter is opened. The first goes on
// until the image of the second is complete, so that odds on the screen are live all the while and
// a cursor is never used under another filter than its own. Events that nobody looks at any more
// stay for a while, since people scroll back; then the stream is narrowed in the same way.

import { OddsStore } from "./store.js";
import { ChangeStream } from "./stream.js";

const KEPT = 60; // events that nobody looks at, at most
const NARROW_MS = 30_000;
const UNUSED_MS = 10_000; // a lane without any events

export class Lane {
  constructor(name, filterOf, hooks, options = {}) {
    this.name = name;
    this.store = new OddsStore();
    this.filterOf = filterOf;
    this.hooks = hooks;
    this.options = options;
    this.current = this.pending = null;
    this.wanted = new Set();
    this.missed = this.reconnects = this.anew = 0; // of streams that are gone
    this.anewReason = "";
  }

  covers(id) {
    return this.current !== null && this.current.complete && (!this.current.ids || this.current.ids.has(id));
  }

  want(ids) {
    this.wanted = ids;
    clearTimeout(this.narrowing);
    this.narrowing = 0;
    const newest = this.pending ?? this.current;
    if (ids && !ids.size) {
      if (newest) this.narrowing = setTimeout(() => this.#close(), UNUSED_MS);
      return;
    }
    if (newest && (!ids || [...ids].every((id) => newest.ids.has(id)))) {
      if (ids && newest.ids.size > ids.size) this.narrowing = setTimeout(() => this.#open([]), NARROW_MS);
      return;
    }
    // One change at a time: what is wanted by then follows when the image is complete.
    if (!this.pending || !this.current) this.#open(ids && this.current ? [...this.current.ids] : []);
  }

  retry() {
    this.current?.retry();
    this.pending?.retry();
  }

  state() {
    const stream = this.current ?? this.pending;
    const refused = Boolean(this.current?.refused || this.pending?.refused);
    if (!stream) return { used: false, live: false, connected: false, refused };
    return {
      used: true, live: stream.live && stream.complete, connected: stream.connected, refused,
      revision: stream.revision, missed: this.missed + stream.missed, reconnects: this.reconnects + stream.reconnects,
      anew: this.anew + stream.anew, anewReason: stream.anewReason || this.anewReason,
      reason: stream.reason, sentAt: stream.sentAt,
    };
  }

  #open(extra) {
    let ids = null;
    if (this.wanted) {
      ids = new Set(this.wanted);
      for (const id of extra.reverse()) {
        if (ids.size >= this.wanted.size + KEPT) break;
        ids.add(id);
      }
    }
    this.#drop(this.pending);
    const stream = new ChangeStream(this.filterOf(ids && [...ids]), {
      image: (events) => this.#complete(stream, events),
      changes: (changes) => {
        if (stream !== this.current) return;
        for (const change of changes) this.store.apply(change);
        this.hooks.changes(this, changes);
      },
      fresh: (odds) => {
        if (stream !== this.current) return;
        this.store.fresh(odds);
        this.hooks.fresh(this, odds);
      },
      sources: (states) => this.store.setSources(states),
      state: () => this.hooks.state(this),
    }, this.options);
    stream.ids = ids;
    stream.complete = false;
    this.pending = stream;
    stream.start();
  }

  #complete(stream, events) {
    if (stream === this.pending) {
      this.pending = null;
      this.#drop(this.current);
      this.current = stream;
    }
    stream.complete = true;
    this.store.replace(events);
    this.hooks.image(this);
    this.want(this.wanted);
  }

  #drop(stream) {
    if (!stream) return;
    stream.stop();
    this.missed += stream.missed;
    this.reconnects += stream.reconnects;
    this.anew += stream.anew;
    this.anewReason = stream.anewReason || this.anewReason;
  }

  #close() {
    this.#drop(this.current);
    this.#drop(this.pending);
    this.current = this.pending = null;
    this.store.replace([]);
    this.hooks.state(this);
  }
}
