// One subscription to /v1/changes that goes on over cuts, restarts and refusals.
//
// new ChangeStream(filter, hooks), .start(), .stop(), .retry()
//   filter: {eventIds, markets, …} in the names of the query
//   hooks:  image(events, sources) the whole image; changes(changes, message); fresh(odds);
//           sources(states); state() after anything in these fields has changed:
//   .live       the odds told so far are current: connected, image complete, nothing missing
//   .connected  .revision  .missed (times that the chain was broken)  .reconnects  .reason
//   .anew       times that a whole image was replaced by another one, and .anewReason of the last
//   .refused    a token is wanted; .retry() once there is one
//   .sentAt     [server's clock, ours] of the last heartbeat
// The cursor is kept in here; a stream begins with an image, and resumes exactly afterwards.

import { readEvents } from "./sse.js";

const HEARTBEAT_S = 5;
const SILENCE_MS = 4 * HEARTBEAT_S * 1000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 15_000;
const UNAUTHENTICATED = 16;
const CURSOR_CODES = new Set([3, 9, 11]); // invalid, epoch changed, not kept: begin anew
const ANEW = {
  INTENT_REASON_EPOCH_CHANGED: "the service has a new database",
  INTENT_REASON_AHEAD_OF_SERVER: "the service's database is an older one",
  INTENT_REASON_TOO_OLD: "changes in between are no longer kept",
  INTENT_REASON_HISTORY_GAP: "changes in between were not stored",
};

export class ChangeStream {
  constructor(filter, hooks, options = {}) {
    this.filter = filter;
    this.hooks = hooks;
    this.options = options;
    this.live = this.connected = this.refused = false;
    this.revision = "0";
    this.missed = this.reconnects = this.anew = 0;
    this.anewReason = "";
    this.whole = false; // an image has come as a whole
    this.reason = "connecting";
    this.cursor = null;
    this.sentAt = null;
    this.image = null;
    this.stopped = false;
    this.tokens = 0; // times that a token was given; a request without one may be refused late
  }

  start() {
    this.#run();
    return this;
  }

  stop() {
    this.stopped = true;
    this.live = this.connected = false;
    this.abort?.abort();
    this.wake?.();
  }

  // Try at once instead of waiting; after a token was given, or when the network is back.
  retry() {
    this.tokens += 1;
    this.refused = false;
    this.wake?.();
  }

  async #run() {
    let failures = 0;
    while (!this.stopped) {
      this.waitMs = null;
      const began = performance.now();
      try {
        await this.#connect();
        this.reason ||= "ended";
      } catch (error) {
        if (this.stopped) return;
        this.reason = error?.reason ?? "not reachable";
      }
      if (this.stopped) return;
      // A stream that held for a while is no failure: its end is.
      failures = performance.now() - began > 5_000 && this.opened ? 1 : failures + 1;
      this.connected = this.live = this.opened = false;
      this.image = null;
      this.reconnects += 1;
      this.hooks.state();
      if (this.refused) await this.#waiting(2 ** 31 - 1);
      else {
        const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 10));
        const least = this.waitMs ?? most / 4;
        await this.#waiting(least + Math.random() * most * 0.75);
      }
    }
  }

  #waiting(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => { clearTimeout(timer); resolve(); };
    }).finally(() => { this.wake = null; });
  }

  async #connect() {
    this.abort = new AbortController();
    const headers = { accept: "text/event-stream" };
    if (this.cursor) headers["last-event-id"] = this.cursor;
    this.#watch();
    try {
      const before = this.tokens;
      const answer = await fetch(`/v1/changes?${this.#query()}`, {
        headers, signal: this.abort.signal, cache: "no-store", credentials: "same-origin",
      });
      if (!answer.ok) await this.#refusal(answer, before);
      this.connected = true;
      this.reason = "";
      await readEvents(answer.body, (event) => { this.#watch(); this.#take(event); });
    } finally {
      clearTimeout(this.silence);
      this.abort.abort(); // also where a hook has thrown
    }
  }

  #query() {
    const query = new URLSearchParams();
    for (const [name, values] of Object.entries(this.filter)) {
      for (const value of [values].flat()) query.append(name, value);
    }
    query.set("heartbeat", `${HEARTBEAT_S}s`);
    if (this.options.freshness) query.set("freshness", "true");
    return query;
  }

  #watch() {
    clearTimeout(this.silence);
    const reason = `nothing came for ${SILENCE_MS / 1000} s`;
    this.silence = setTimeout(() => this.abort.abort(Object.assign(new Error(reason), { reason })), SILENCE_MS);
  }

  async #refusal(answer, before) {
    const after = Number(answer.headers.get("retry-after"));
    if (after > 0) this.waitMs = after * 1000;
    let status = {};
    try { status = await answer.json(); } catch { /* a proxy's own page */ }
    const late = answer.status === 401 && before !== this.tokens; // it knew nothing of the token
    if (late) this.waitMs = 0;
    const code = answer.status === 401 ? UNAUTHENTICATED : status.code;
    this.#failed(late ? undefined : code, status.message ?? `HTTP ${answer.status}`);
  }

  #failed(code, message) {
    if (code === UNAUTHENTICATED) this.refused = true;
    if (CURSOR_CODES.has(code)) this.cursor = null;
    throw Object.assign(new Error(message), { reason: message });
  }

  #take({ id, event, data }) {
    if (this.stopped) return;
    const message = JSON.parse(data);
    if (event === "error") this.#failed(message.code, message.message ?? "ended");
    if (event !== "opened" && (message.prevRevision ?? "0") !== this.revision) {
      // Something between the last message and this one is missing: begin anew.
      this.missed += 1;
      this.whole = false; // counted here alone
      this.cursor = null;
      this.live = false;
      throw Object.assign(new Error(), { reason: "a message was missing" });
    }
    this.revision = message.cursor?.revision ?? "0";
    TAKERS[event]?.(this, message);
    if (id !== undefined) this.cursor = id;
    this.hooks.state();
  }

  // What this stream told is to be replaced by another image, although it was whole.
  begunAnew(reason, otherwise) {
    if (!this.whole) return;
    this.whole = false;
    this.anew += 1;
    this.anewReason = ANEW[reason] ?? otherwise;
  }
}

const TAKERS = {
  opened(stream, message) {
    stream.opened = true;
    stream.live = message.intent !== "INTENT_IMAGE";
    if (!stream.live) stream.begunAnew(message.reason, "the service could not go on");
    stream.hooks.sources(message.sources ?? []);
  },
  image_begin(stream, message) {
    stream.live = false;
    stream.image = [];
    stream.hooks.sources(message.sources ?? []);
  },
  image(stream, message) {
    for (const each of message.events ?? []) stream.image.push(each);
  },
  image_end(stream) {
    const events = stream.image;
    stream.image = null;
    stream.live = stream.whole = true;
    stream.hooks.image(events);
  },
  lagged(stream) {
    stream.live = false;
    stream.begunAnew("", "this browser fell too far behind");
  },
  changes(stream, message) { stream.hooks.changes(message.changes ?? []); },
  freshness(stream, message) { stream.hooks.fresh(message.odds ?? []); },
  heartbeat(stream, message) {
    if (message.sentAt) stream.sentAt = [Date.parse(message.sentAt), Date.now()];
  },
  closing(stream, message) {
    stream.reason = "the service stops";
    stream.waitMs = parseFloat(message.retryAfter ?? "0") * 1000;
  },
};
