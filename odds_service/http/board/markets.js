// Names and groups of markets, from GET /v1/markets; a plain grouping by name where the service has
// no such call.
//
// await loadMarkets()            once; never rejects
// inSport(sport)                 what follows speaks of this sport: one type may settle differently in
//                                two, and bears another name there
// groupOf(market)                "result", "totals", "handicaps", "players", …
// groupName(group)               as people read it
// groupOrder(groups)             the given groups in the order to show them
// marketName(market)             "Total goals"
// marketTitle(key)               with participant and line
// outcomeName(market, outcome)   outcome: {key, name}
// settles(market)                what settles it, or ""
// WHY                            exclusion reason -> [word, sentence]
// compareKeys(a, b)              the order of MarketKeys within a group

import { call } from "./api.js";
import { line, words } from "./format.js";

export const ALL = "all"; // the group of all groups

const types = new Map(); // "sport|market", and "market" for sports without a row of their own
let sport = "";
const order = new Map();
let loading = null;

const PLAIN_GROUPS = [
  ["result", "Result"], ["totals", "Totals"], ["handicaps", "Handicaps"], ["halves", "Halves and periods"],
  ["players", "Players"], ["other", "Other"], [ALL, "All"],
];
const PLAIN_NAMES = {
  h2h: "Winner", h2h_3_way: "Winner, regular time", spreads: "Handicap", totals: "Total", btts: "Both teams to score",
  alternate_spreads: "Handicap", alternate_totals: "Total", draw_no_bet: "Draw no bet", double_chance: "Double chance",
  outrights: "Outright", team_totals: "Team total",
};
const OUTCOMES = { home: "Home", draw: "Draw", away: "Away", over: "Over", under: "Under", yes: "Yes", no: "No" };
const FIRST = ["h2h", "h2h_3_way", "outrights", "draw_no_bet", "double_chance", "btts"];

// Why the server left a bookmaker out of the best prices: in a word, and as a sentence.
export const WHY = {
  EXCLUSION_REASON_SUSPENDED: ["suspended", "not bettable now"],
  EXCLUSION_REASON_STALE: ["stale", "not confirmed lately, or its source is not up"],
  EXCLUSION_REASON_INCOMPLETE: ["incomplete", "an outcome has no price, is not active, or is missing"],
  EXCLUSION_REASON_ABSENT: ["absent", "the match was missing from the last complete fetch"],
  EXCLUSION_REASON_STATUS_DISAGREES: ["not in play", "its source tells that the match has not started, another that it is in play"],
};

export function loadMarkets() {
  loading ??= call("markets").then((reply) => {
    for (const each of reply.markets ?? []) {
      const type = { ...each, labels: new Map((each.outcomes ?? []).map((one) => [one.key, one.name])) };
      types.set(`${each.sport ?? ""}|${each.market}`, type);
      if (!types.has(each.market)) types.set(each.market, type);
    }
    for (const each of reply.groups ?? []) order.set(each.group, each.name || words(each.group));
  }, (error) => {
    // A service without this call stays so; any other failure is tried again with the next match.
    if (![400, 404, 405, 501].includes(error.status)) loading = null;
  });
  return loading;
}

export function inSport(name) {
  sport = name ?? "";
}

const typeOf = (market) => types.get(`${sport}|${market}`) ?? types.get(market);

export function groupOf(market) {
  const known = typeOf(market)?.group;
  if (known) return known;
  if (market.startsWith("player")) return "players";
  if (/(_h[12]|_q[1-4]|_p[1-3]|half|quarter|period|set_)/.test(market)) return "halves";
  if (/spread|handicap/.test(market)) return "handicaps";
  if (/total/.test(market)) return "totals";
  return FIRST.includes(market) || market.startsWith("h2h") ? "result" : "other";
}

export const groupName = (group) => order.get(group) ?? new Map(PLAIN_GROUPS).get(group) ?? sentence(words(group));

export function groupOrder(groups) {
  const known = [...order.keys(), ...PLAIN_GROUPS.map(([group]) => group)];
  const place = (group) => (known.includes(group) ? known.indexOf(group) : known.length);
  return [...groups].sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const marketName = (market) => typeOf(market)?.name || PLAIN_NAMES[market] || sentence(words(market));
export const settles = (market) => typeOf(market)?.settles ?? "";
export const marketTitle = (key) => [key.participant, marketName(key.market), line(key)].filter(Boolean).join(" ");

export function outcomeName(market, outcome) {
  return typeOf(market)?.labels.get(outcome.key) || OUTCOMES[outcome.key] || outcome.name || words(outcome.key);
}

const AHEAD = [...FIRST, "spreads", "totals"]; // of their alternate lines
const place = (market) => (AHEAD.includes(market) ? AHEAD.indexOf(market) : AHEAD.length);

export function compareKeys(a, b) {
  return place(a.market) - place(b.market) || a.market.localeCompare(b.market)
    || (a.participant ?? "").localeCompare(b.participant ?? "") || (a.line ?? -1e9) - (b.line ?? -1e9);
}

const CANON = ["home", "draw", "away", "over", "under", "yes", "no"];
const canon = (key) => (CANON.includes(key) ? CANON.indexOf(key) : CANON.length);
export const compareOutcomes = (a, b) => canon(a) - canon(b) || (a < b ? -1 : a > b ? 1 : 0);
