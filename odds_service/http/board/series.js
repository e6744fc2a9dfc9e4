// A market's series as GetSeries tells them, made ready to draw and to read.
//
// readSeries(reply) -> [{bookmaker, source, name, at_s, offered, margin, prices: Map, closing, thinned,
//                    stale}]; columns are arrays of numbers, NaN where there is none
// pricesOf(series, outcome)      the column of an outcome, or undefined
// placeAt(series, t_s)           the index of the point that holds at a time; -1 before the first
// holding(series, column, index) the last known value of a column up to a point, or NaN
// extend(series, market, t_s)    appends a Market of a change; the margin is the server's: NaN until
//                                the series is read again

const number = (value) => (typeof value === "number" ? value : Number(value));
const column = (values) => (values ?? []).map(number);

export function readSeries(reply) {
  return (reply.series ?? []).map((each) => ({
    bookmaker: each.bookmaker, source: each.source, name: each.bookmaker,
    at_s: column(each.atS), offered: [...(each.offered ?? [])], margin: column(each.overround),
    prices: new Map((each.prices ?? []).map((one) => [one.outcome, { name: one.name ?? "", values: column(one.prices) }])),
    closing: each.closing, thinned: each.thinned === true, stale: each.stale === true,
  }));
}

export const pricesOf = (series, outcome) => series.prices.get(outcome)?.values;

export function placeAt(series, t_s) {
  let low = 0, high = series.at_s.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (series.at_s[middle] <= t_s) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export function holding(values, index) {
  for (let at = index; at >= 0; at--) if (!Number.isNaN(values[at])) return values[at];
  return NaN;
}

export function extend(series, market, t_s) {
  const last = series.at_s.length - 1;
  if (!(t_s > (series.at_s[last] ?? -Infinity))) return false;
  const outcomes = new Map((market.outcomes ?? []).map((each) => [each.key, each]));
  series.at_s.push(t_s);
  series.margin.push(NaN);
  series.offered.push(market.status === "MARKET_STATUS_OPEN");
  for (const [key, each] of outcomes) {
    if (!series.prices.has(key)) series.prices.set(key, { name: each.name ?? "", values: series.at_s.slice(1).map(() => NaN) });
  }
  for (const [key, { values }] of series.prices) values.push(outcomes.get(key)?.price ?? NaN);
  return true;
}
