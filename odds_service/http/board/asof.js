// The match at any moment of its history: a slider over all that is kept of it.
//
// ?tool=asof&at=2026-03-01T12:00:00Z; without `at` the slider stands at the end. The odds are those of
// GET /v1/odds with asOfTime. As long as the tool is open, the match is marked as past; Escape, the
// button or the address lead back to live.

import { call } from "./api.js";
import { debounced, fill, h, setText } from "./dom.js";
import { feed } from "./feed.js";
import { age, day, seconds } from "./format.js";
import { addMatchTool } from "./hooks.js";
import { go, onRoute, route } from "./router.js";
import { settings } from "./settings.js";

const SETTLE_MS = 80;
const LEAST_SPAN_S = 60;
const FALLBACK_SPAN_S = 86_400; // where the history does not tell when it begins
const BYTES = 65_536; // the first line of a history is far shorter
const STEPS_S = [-60, -10, -1, 1, 10, 60];

addMatchTool({ name: "asof", label: "As of", attach: (match) => {
  const tool = new AsOf(match);
  return () => tool.close();
} });

export const momentText = (at_s) => new Date(at_s * 1000).toISOString().replace(".000Z", "Z");

class AsOf {
  constructor(match) {
    this.match = match;
    this.root = match.bar.closest(".match");
    this.slider = h("input", { type: "range", step: 1, "aria-label": "Moment", on: { input: () => this.#moved(Number(this.slider.value)) } });
    this.when = h("output", { class: "moment", "aria-live": "polite" });
    this.bounds = [h("span", { class: "soft" }), h("span", { class: "soft" })];
    this.live = h("button", { class: "chip back", title: "Escape", on: { click: () => this.#leave() } }, "Back to live");
    this.steps = STEPS_S.map((step_s) => h("button", {
      class: "chip", "aria-label": `${Math.abs(step_s)} seconds ${step_s < 0 ? "earlier" : "later"}`,
      on: { click: () => this.#moved(this.at_s + step_s) },
    }, `${step_s < 0 ? "−" : "+"}${Math.abs(step_s)} s`));
    this.bar = h("div", { class: "asof", role: "group", "aria-label": "A moment of the past" },
      h("div", { class: "asofline" }, h("b", { class: "pastmark" }, "Past"), this.when, h("span", { class: "asofsteps" }, this.steps), this.live),
      h("div", { class: "asofline" }, this.bounds[0], this.slider, this.bounds[1]));
    match.bar.append(this.bar);
    for (const node of [this.root, document.body]) node.classList.add("past");
    this.key = (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || event.target.closest?.("input[type=search], dialog, .chart")) return;
      event.preventDefault();
      this.#leave();
    };
    document.addEventListener("keydown", this.key, true);
    this.ask = debounced(() => this.#read(), SETTLE_MS, 2 * SETTLE_MS);
    this.offs = [
      onRoute((at) => { if (at.get("tool") === "asof") this.#follow(at); }),
      settings.on(() => { this.#drawWhen(); this.#drawBounds(); }),
    ];
    this.to_s = Math.floor(feed.now() / 1000);
    this.from_s = this.to_s - FALLBACK_SPAN_S;
    // Until the beginning is known, a step could not tell where to end.
    this.slider.disabled = true;
    this.#follow(route());
    this.#begin().finally(() => { this.slider.disabled = false; });
  }

  close() {
    this.closed = true;
    for (const off of this.offs) off();
    this.ask.cancel();
    this.asking?.abort();
    this.beginning?.abort();
    document.removeEventListener("keydown", this.key, true);
    for (const node of [this.root, document.body]) node.classList.remove("past");
    this.bar.remove();
    if (route().has("at")) queueMicrotask(() => { if (route().get("tool") !== "asof") go({ at: null }, { replace: true }); });
  }

  #leave() {
    go({ tool: null, at: null }, { replace: true });
    document.querySelector("[data-tool=asof]")?.focus();
  }

  // The slider begins with the first change that is kept of the match. Until that is known it stays
  // still: a step within other bounds would lead somewhere else.
  async #begin() {
    this.#enable(false);
    await this.#readBeginning();
    if (!this.closed) this.#enable(true);
  }

  #enable(able) {
    for (const node of [this.slider, ...this.steps]) node.disabled = !able;
  }

  async #readBeginning() {
    const asking = (this.beginning = new AbortController());
    try {
      const answer = await fetch(`/v1/history?${new URLSearchParams({ eventIds: this.match.eventId })}`, { signal: asking.signal, credentials: "same-origin" });
      const reader = answer.ok ? answer.body.pipeThrough(new TextDecoderStream()).getReader() : null;
      let text = "";
      while (reader && !text.includes("\n") && text.length < BYTES) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
      }
      asking.abort(); // the rest is not read
      const first = Date.parse(firstTime(text)) / 1000;
      if (this.closed || Number.isNaN(first)) return;
      this.from_s = Math.min(Math.floor(first), this.to_s - LEAST_SPAN_S, Math.floor(this.at_s));
      this.#drawBounds();
    } catch { /* the slider keeps its plain span */ }
  }

  #follow(at) {
    const asked = Date.parse(at.get("at")) / 1000;
    const at_s = Number.isNaN(asked) ? this.to_s : asked;
    if (at_s === this.at_s) return;
    this.at_s = at_s;
    if (at_s > this.to_s) this.to_s = Math.min(Math.ceil(at_s), Math.floor(feed.now() / 1000));
    if (at_s < this.from_s) this.from_s = Math.floor(at_s);
    this.#drawBounds();
    this.#drawWhen();
    this.ask();
  }

  #moved(at_s) {
    this.to_s = Math.max(this.to_s, Math.min(at_s, Math.floor(feed.now() / 1000)));
    const kept = Math.min(this.to_s, Math.max(this.from_s, at_s));
    go({ at: momentText(kept) }, { replace: true });
  }

  async #read() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const at_s = this.at_s;
    const eventIds = this.match.eventId;
    try {
      const reply = await call("odds", { eventIds, asOfTime: momentText(at_s), includeBest: true }, { signal: asking.signal });
      if (this.closed) return;
      const found = reply.events?.find((each) => each.event.id === eventIds) ?? reply.events?.[0];
      const shown = found ?? { event: this.match.event() ?? { id: eventIds }, bookmakers: [] };
      const many = shown.bookmakers?.length ?? 0;
      this.#freeze(shown, many ? "These are odds of the past." : "No bookmaker priced this match then.");
    } catch (error) {
      if (error.name === "AbortError" || this.closed) return;
      // The odds of another moment must not stay under this one's time.
      this.#freeze({ event: this.match.event() ?? { id: eventIds }, bookmakers: [] }, `The odds of this moment cannot be shown: ${error.message}`);
    }
    this.bar.dataset.shown = momentText(at_s);
  }

  #freeze(odds, text) {
    this.match.freeze({ ...odds, event: { ...odds.event, id: this.match.eventId } }, text);
  }

  #drawWhen() {
    const zone = settings.get("zone");
    const time = momentText(this.at_s);
    setText(this.when, `${day(time, zone)} ${seconds(time, zone)}${zone === "utc" ? " UTC" : ""} · ${age(feed.now() - this.at_s * 1000)} ago`);
    this.slider.setAttribute("aria-valuetext", this.when.textContent);
  }

  #drawBounds() {
    this.slider.min = this.from_s;
    this.slider.max = this.to_s;
    this.slider.value = this.at_s;
    const zone = settings.get("zone");
    for (const [index, at_s] of [this.from_s, this.to_s].entries()) fill(this.bounds[index], seconds(at_s * 1000, zone));
  }
}

// A line of a history is a message whose changes carry the time of their detection.
export const firstTime = (text) => /"detectedAt"\s*:\s*"([^"]+)"/.exec(text)?.[1] ?? "";
