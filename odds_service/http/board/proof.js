// The strip at the bottom: connected, revision, delay, nothing missed, sources, quota, queue.
//
// startProof(root)

import { statusSoon } from "./api.js";
import { fill, h, perFrame, setClass, setText } from "./dom.js";
import { feed } from "./feed.js";
import { age, count } from "./format.js";

const HEALTH = { SOURCE_HEALTH_UP: "up", SOURCE_HEALTH_STALE: "stale", SOURCE_HEALTH_DOWN: "down" };

export function startProof(root) {
  const part = (name, label, title) => {
    const value = h("b", {});
    const node = h("span", { class: `part ${name}`, title, "data-part": name }, h("span", { class: "label" }, label), value);
    return { node, value, set(text, kind = "") { setText(value, text); setClass(node, `part ${name} ${kind}`); } };
  };
  const parts = {
    connected: part("connected", "", "The connection to the service"),
    missed: part("missed", "", "Each message names the revision of the one before it; as long as they fit, nothing is missing"),
    revision: part("revision", "Revision", "The newest change that this browser has; the service's newest beside it when it differs"),
    delay: part("delay", "Delay", "From the detection of a change to this page, the median of the last changes"),
    sources: part("sources", "Sources", "Sources that are up"),
    quota: part("quota", "Quota", "Requests left, the least of all sources that tell it"),
    queue: part("queue", "Queue", "Changes that wait for the database, and the age of the oldest"),
  };
  const details = h("div", { class: "details", hidden: true });
  const more = h("button", { class: "more", "aria-expanded": "false", on: { click: () => {
    details.hidden = !details.hidden;
    more.setAttribute("aria-expanded", String(!details.hidden));
    draw();
  } } }, "Details");
  fill(root, details, h("div", { class: "strip" }, Object.values(parts).map((each) => each.node), more));
  let status = null;

  const drawMissed = (used) => {
    const missed = used.reduce((sum, lane) => sum + (lane.missed ?? 0), 0);
    // The streams of one browser are read anew for one reason.
    const anew = Math.max(0, ...used.map((lane) => lane.anew ?? 0)) + feed.state.lost;
    const why = used.find((lane) => lane.anewReason)?.anewReason ?? "the browser had ended the board's worker";
    const text = missed ? `Chain broken ${missed}×, read anew` : anew ? `Read anew${anew > 1 ? ` ${anew}×` : ""}: ${why}` : "Nothing missed";
    parts.missed.set(text, missed || anew ? "fair" : "good");
  };

  const draw = perFrame(() => {
    const { lanes, sources, tabs } = feed.state;
    const used = Object.values(lanes).filter((lane) => lane.used);
    const connected = used.length > 0 && used.every((lane) => lane.connected);
    const live = connected && used.every((lane) => lane.live);
    const reason = used.find((lane) => !lane.connected)?.reason;
    const refused = used.some((lane) => lane.refused);
    const past = document.body.classList.contains("past");
    const word = live ? "Live" : connected ? "Loading" : refused ? "No access" : "Not connected";
    // What is shown is of the past, however live the stream behind it is.
    parts.connected.set(past ? (live ? "Past" : `Past · ${word}`) : word, past ? "past" : live ? "good" : connected ? "fair" : "bad");
    parts.connected.node.title = `The connection to the service${past ? `, behind the odds of the past: ${reason || word}` : reason ? `: ${reason}` : ""}`;
    drawMissed(used);
    const revisions = used.map((lane) => BigInt(lane.revision ?? "0"));
    const newest = revisions.reduce((a, b) => (a > b ? a : b), 0n);
    parts.revision.set(count(newest));
    const delay = median(feed.delays_ms);
    parts.delay.set(delay === undefined ? "–" : delay < 1000 ? `${Math.round(delay)} ms` : `${(delay / 1000).toFixed(1)} s`, delay > 2000 ? "fair" : "");
    const up = [...sources.values()].filter((each) => each.state === "SOURCE_HEALTH_UP").length;
    parts.sources.set(sources.size ? `${up} of ${sources.size} up` : "–", up < sources.size ? (up ? "fair" : "bad") : "");
    const quotas = [...sources.values(), ...(status?.sources ?? []).map((each) => each.state)]
      .filter((each) => each?.quotaLeft !== undefined).map((each) => Number(each.quotaLeft));
    parts.quota.set(quotas.length ? count(Math.min(...quotas)) : "–", quotas.length && Math.min(...quotas) < 100 ? "fair" : "");
    if (status) {
      const waiting = status.writer?.pendingChanges ?? "0", lag = status.writer?.lagS ?? 0;
      const retrying = status.writer?.state === "WRITER_STATE_RETRYING";
      parts.queue.set(`${count(waiting)}${lag > 0.5 ? `, ${age(lag * 1000)}` : ""}`, retrying ? "bad" : lag > 5 ? "fair" : "");
    }
    if (!details.hidden) drawDetails(details, status, lanes, tabs);
  });

  feed.on("state", draw);
  feed.on("changes", draw);
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["class"] }); // past or not
  statusSoon((reply) => { status = reply; draw(); });
}

function median(values) {
  if (!values.length) return undefined;
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

function drawDetails(root, status, lanes, tabs) {
  const streams = Object.entries(lanes).filter(([, lane]) => lane.used);
  fill(root,
    h("table", { class: "plain" }, h("caption", {}, `Streams of this browser, shared by ${tabs} ${tabs === 1 ? "tab" : "tabs"}`),
      h("tbody", {}, streams.map(([name, lane]) => h("tr", {}, h("th", { scope: "row" }, name),
        h("td", {}, lane.live ? "live" : lane.reason || "loading"), h("td", {}, `revision ${count(lane.revision)}`), h("td", {}, `${lane.reconnects} reconnects`))))),
    status ? h("table", { class: "plain" }, h("caption", {}, "Sources"),
      h("tbody", {}, (status.sources ?? []).map((each) => {
        const state = each.state ?? {};
        return h("tr", { class: HEALTH[state.state] ?? "" }, h("th", { scope: "row" }, state.source), h("td", {}, HEALTH[state.state] ?? "unknown"),
          h("td", {}, state.lastSuccessAt ? `${age(feed.now() - Date.parse(state.lastSuccessAt))} ago` : "never"),
          h("td", {}, `${count(each.events)} matches`), h("td", {}, state.quotaLeft === undefined ? "" : `${count(state.quotaLeft)} left`),
          h("td", { class: "long" }, state.detail || state.reason || ""));
      }))) : null,
    status ? h("table", { class: "plain" }, h("caption", {}, "Service"), h("tbody", {},
      h("tr", {}, h("th", { scope: "row" }, "version"), h("td", {}, status.version)),
      h("tr", {}, h("th", { scope: "row" }, "head / stored"), h("td", {}, `${count(status.headRevision)} / ${count(status.durableRevision)}`)),
      (status.channels ?? []).map((each) => h("tr", {}, h("th", { scope: "row" }, `queue ${each.name}`), h("td", {}, `${count(each.fill)} of ${count(each.capacity)} ${each.unit}`))),
      h("tr", {}, h("th", { scope: "row" }, "subscribers"), h("td", {}, String(status.subscriberCount ?? 0))))) : null);
}
