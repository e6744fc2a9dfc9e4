// Coverage: competition × bookmaker with gaps, markets without a name, runs of the sources, storage.
//
// ?view=coverage; &source=… narrows runs and unmapped markets to one source. Every part is a call of its
// own, and says so by itself where it fails, so that the others are still shown.

import { call, statusSoon } from "./api.js";
import { fill, h, setText } from "./dom.js";
import { feed } from "./feed.js";
import { age, count, day, percent, seconds } from "./format.js";
import { addView } from "./hooks.js";
import { competitionName, sportName } from "./list.js";
import { go, link } from "./router.js";
import { settings } from "./settings.js";

const READ_MS = 15_000;
const MOST_ROWS = 300;
const RUNS = 100;

// RunOutcome: its word, the sentence behind it, the classes of its row and cell.
const OUTCOMES = {
  RUN_OUTCOME_COMPLETE: { word: "complete", about: "All that was asked for was seen." },
  RUN_OUTCOME_PARTIAL: { word: "partial", about: "A part was seen, so nothing counts as missing.", cell: "part" },
  RUN_OUTCOME_FAILED: { word: "failed", about: "Nothing was seen, and no odds have changed.", row: "down" },
};
const UNKNOWN = { word: "unknown", about: "This page does not know its outcome." };

addView({ name: "coverage", title: "Coverage", open: (root, at) => new CoverageView(root, at) });

export function bytes(value) {
  let number = Number(value ?? 0);
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (Math.abs(number) >= 1000 && unit < units.length - 1) { number /= 1000; unit += 1; }
  return `${number.toFixed(unit && Math.abs(number) < 100 ? 1 : 0).replace("-", "−")} ${units[unit]}`;
}

const many = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

// A Duration of the contract: "1.250s".
export const duration_s = (text) => (text ? Number(text.replace(/s$/, "")) : 0);
const shortly = (text) => {
  const s = duration_s(text);
  return s < 1 ? `${Math.round(s * 1000)} ms` : s < 100 ? `${s.toFixed(1)} s` : age(s * 1000);
};

class CoverageView {
  constructor(root, at) {
    this.at = at;
    this.parts = {
      coverage: part("Competitions and bookmakers", "Matches of a competition that a bookmaker prices. A gap is a competition that it leaves out."),
      unmapped: part("Markets that nothing knows", "The sources' own names of markets that are not read, with a match that has them."),
      runs: part("Runs of the sources", "The last fetches of each source, once they are stored: their length, their outcome, what they found and what was skipped."),
      storage: part("Storage", "The size of the database and its growth."),
    };
    fill(root, h("div", { class: "coverage" }, h("h1", { class: "hidden" }, "Coverage"), Object.values(this.parts).map((each) => each.node)));
    this.root = root;
    this.offs = [statusSoon((reply) => this.#drawStorage(reply)), settings.on(() => this.#read())];
    this.timer = setInterval(() => { if (!document.hidden) this.#read(); }, READ_MS);
    document.title = "Coverage · Odds";
    this.#read();
  }

  update(at) {
    this.at = at;
    this.#read();
  }

  focus() {
    this.root.querySelector("a, button, [tabindex]")?.focus();
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    for (const off of this.offs) off();
    this.asking?.abort();
  }

  #read() {
    this.asking?.abort();
    this.asking = new AbortController();
    const sources = this.at.get("source") ?? undefined;
    this.#part("coverage", "coverage", { sources }, (reply) => this.#coverage(reply));
    this.#part("unmapped", "unmapped", { sources }, (reply) => this.#unmapped(reply));
    this.#part("runs", "runs", { sources, pageSize: RUNS }, (reply) => this.#runs(reply));
  }

  async #part(name, path, query, draw) {
    const { note, body } = this.parts[name];
    try {
      const reply = await call(path, query, { signal: this.asking.signal });
      if (this.closed) return;
      const { text, nodes } = draw(reply);
      setText(note, text);
      fill(body, nodes);
    } catch (error) {
      if (error.name === "AbortError" || this.closed) return;
      // What is shown stays, but says that it is not of now.
      setText(note, `Not read: ${error.message}`);
    }
  }

  // -- competition × bookmaker ------------------------------------------------------------------

  #coverage(reply) {
    const all = reply.competitions ?? [];
    const columns = [...new Set(all.flatMap((each) => (each.bookmakers ?? []).map((one) => JSON.stringify([one.bookmaker, one.source ?? ""]))))].sort()
      .map((text) => ({ text, name: JSON.parse(text) }));
    const twice = (name) => columns.filter((each) => each.name[0] === name[0]).length > 1;
    let gaps = 0;
    const rows = all.slice(0, MOST_ROWS).map((each) => {
      const by = new Map((each.bookmakers ?? []).map((one) => [JSON.stringify([one.bookmaker, one.source ?? ""]), one]));
      return h("tr", {},
        h("th", { scope: "row", class: "first" }, h("a", { href: link({ sport: each.sport, competition: each.competition }, { fresh: true }), "data-go": true },
          h("span", { class: "soft" }, `${sportName(each.sport)} `), competitionName(each.competition, each.sport ?? ""))),
        h("td", {}, count(each.events)),
        columns.map(({ text, name }) => {
          const one = by.get(text);
          if (!one?.events) {
            gaps += 1;
            return h("td", { class: "gap", title: `${name[0]} prices none of these matches` }, "gap");
          }
          const share = each.events ? one.events / each.events : 1;
          const words = `${one.events} of ${each.events ?? 0} matches (${percent(share, 0)}), ${one.markets ?? 0} markets${one.staleEvents ? `, ${one.staleEvents} stale` : ""}`;
          return h("td", { class: share < 1 ? "part" : "full", title: words }, h("span", {}, one.events), h("span", { class: "soft" }, ` · ${count(one.markets)}`),
            one.staleEvents ? h("span", { class: "staled" }, ` ${one.staleEvents} stale`) : null);
        }));
    });
    const text = !all.length ? "No matches yet." : `${many(all.length, "competition")}, ${many(columns.length, "bookmaker")}, ${many(gaps, "gap")}${all.length > MOST_ROWS ? `; the first ${MOST_ROWS} are shown` : ""}. A cell has matches · markets.`;
    return { text, nodes: [all.length ? scrolled(h("table", { class: "plain grid", "aria-label": "Coverage" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "first" }, "Competition"), h("th", { scope: "col" }, "Matches"),
        columns.map(({ name }) => h("th", { scope: "col" }, name[0], twice(name) ? h("span", { class: "soft" }, ` ${name[1]}`) : null)))),
      h("tbody", {}, rows))) : null] };
  }

  // -- markets that nothing knows -----------------------------------------------------------------

  #unmapped(reply) {
    const all = [...(reply.markets ?? [])].sort((a, b) => Number(b.count ?? 0) - Number(a.count ?? 0));
    const text = all.length ? `${many(all.length, "name")}${all.length > MOST_ROWS ? `; the most frequent ${MOST_ROWS} are shown` : ""}.` : "Every market that came has a name here.";
    return { text, nodes: [all.length ? table("Unmapped markets", ["Source", "Sport", "Name there", "Seen", "Last", "Sample"], all.slice(0, MOST_ROWS).map((each) => {
      const sample = each.samples?.[0];
      return h("tr", {}, h("td", {}, each.source ?? ""), h("td", {}, sportName(each.sport)), h("th", { scope: "row" }, each.name ?? ""),
        h("td", {}, count(each.count)), h("td", {}, each.lastSeenAt ? `${age(feed.now() - Date.parse(each.lastSeenAt))} ago` : "–"),
        h("td", { class: "long" }, sample ? [sample.eventName || sample.eventId || "", h("span", { class: "soft" }, ` ${(sample.outcomes ?? []).join(" / ")}`)] : "–"));
    })) : null] };
  }

  // -- runs ---------------------------------------------------------------------------------------

  #runs(reply) {
    const all = reply.runs ?? [];
    const zone = settings.get("zone");
    const chosen = this.at.get("source");
    const names = [...new Set([...all.map((each) => each.source), ...feed.state.sources.keys(), ...(chosen ? [chosen] : [])])].sort();
    const chips = h("p", { class: "chips", role: "group", "aria-label": "Source" }, names.map((name) => h("button", {
      class: "chip", "aria-pressed": String(name === chosen), on: { click: () => go({ source: name === chosen ? null : name }) },
    }, name)));
    const rows = all.map((each) => {
      const problems = Object.entries(each.problems ?? {});
      const outcome = OUTCOMES[each.outcome] ?? UNKNOWN;
      return h("tr", { class: outcome.row ?? "" }, h("td", {}, each.source ?? ""), h("td", {}, each.listing ?? ""),
        h("td", {}, `${day(each.startedAt, zone)} ${seconds(each.startedAt, zone)}`), h("td", {}, each.duration === undefined ? "unknown" : shortly(each.duration)),
        h("td", { class: outcome.cell ?? "", title: outcome.about }, outcome.word, each.reason ? h("span", { class: "soft" }, ` ${each.reason}`) : null),
        h("td", {}, count(each.events)), h("td", {}, count(each.markets)), h("td", {}, count(each.changes)),
        h("td", { class: "long" }, problems.length ? problems.map(([name, times]) => `${name} ${count(times)}`).join(", ") : "nothing"));
    });
    const text = all.length ? `The newest ${many(all.length, "run")}${reply.nextPageToken ? "; older ones are kept" : ""}.` : "No runs are kept yet.";
    return { text, nodes: [chips, all.length ? table("Runs", ["Source", "Listing", "Began", "Length", "Outcome", "Matches", "Markets", "Changes", "Skipped, failed"], rows) : null] };
  }

  // -- storage --------------------------------------------------------------------------------------

  #drawStorage(reply) {
    if (this.closed) return;
    const { note, body } = this.parts.storage;
    const storage = reply.storage;
    if (!storage) {
      setText(note, "Not measured yet; a database in memory has no size.");
      fill(body);
      return;
    }
    const grows = storage.growthBytesPerDay;
    const facts = [["Size", bytes(storage.bytes)],
      ["Growth", grows === undefined ? "not known in the first hour" : `${bytes(grows)} a day, told from ${shortly(storage.growthSpan)}`],
      ["Full", storage.fullInDays === undefined ? "not foreseen" : `in ${storage.fullInDays.toFixed(storage.fullInDays < 10 ? 1 : 0)} days`],
      ["In memory", `${count(reply.events)} matches, ${count(reply.markets)} markets`]];
    setText(note, storage.measuredAt ? `Measured ${age(feed.now() - Date.parse(storage.measuredAt))} ago.` : "");
    fill(body, h("dl", { class: "facts" }, facts.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
      table("Parts of the storage", ["Part", "Size"], Object.entries(storage.parts ?? {}).sort(([, a], [, b]) => Number(b) - Number(a))
        .map(([name, size]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, bytes(size))))),
      storage.disks?.length ? table("Disks", ["Disk", "Free", "Size"], storage.disks.map((each) =>
        h("tr", {}, h("th", { scope: "row" }, each.place ?? ""), h("td", {}, bytes(each.freeBytes)), h("td", {}, bytes(each.sizeBytes))))) : null);
  }
}

function part(title, about) {
  const note = h("p", { class: "soft", role: "status" }, "Loading …");
  const body = h("div", {});
  const id = `part-${title.toLowerCase().replaceAll(" ", "-")}`;
  return { note, body, node: h("section", { "aria-labelledby": id }, h("h2", { id }, title), h("p", { class: "soft" }, about), note, body) };
}

const scrolled = (node) => h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": node.getAttribute("aria-label") }, node);

function table(label, heads, rows) {
  return scrolled(h("table", { class: "plain", "aria-label": label },
    h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows)));
}
