// Numbers and times as text.
//
// price(decimal, format)       in decimal, American or fractional odds; "–" where there is none
// percent(share)               0.0512 -> "5.1 %"; "–" where there is none
// clock(rfc3339, zone)         "20:45"       day(rfc3339, zone)   "Thu 26 Nov"
// countdown(ms)                "2 d 3 h", "1 h 05", "4:09"; "" once it is over
// age(ms)                      "3 s", "4 min", "2 h", "3 d"
// count(text or number)        with thin spaces between thousands
// line(key)                    the line of a market: "2.5", and a handicap's sign
// words(key)                   "player_points" -> "player points"

const FRACTIONS = [
  [1, 5], [2, 9], [1, 4], [2, 7], [3, 10], [1, 3], [4, 11], [2, 5], [4, 9], [1, 2], [8, 15], [4, 7], [8, 13],
  [4, 6], [8, 11], [4, 5], [5, 6], [10, 11], [1, 1], [11, 10], [6, 5], [5, 4], [11, 8], [7, 5], [6, 4], [8, 5],
  [13, 8], [7, 4], [9, 5], [15, 8], [2, 1], [11, 5], [9, 4], [12, 5], [5, 2], [13, 5], [11, 4], [3, 1], [10, 3],
  [7, 2], [4, 1], [9, 2], [5, 1], [11, 2], [6, 1], [13, 2], [7, 1], [15, 2], [8, 1], [17, 2], [9, 1], [10, 1],
];
const NEAR = 0.012; // of the price: the ladder's fraction is taken for it

export function price(value, format) {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  if (format === "american") return american(value);
  if (format === "fractional") return fractional(value);
  return value >= 100 ? value.toFixed(0) : value.toFixed(hundredths(value) ? 2 : 3);
}

const hundredths = (value) => Math.abs(value * 100 - Math.round(value * 100)) < 1e-6;

function american(value) {
  if (value <= 1) return "–";
  return value >= 2 ? `+${Math.round((value - 1) * 100)}` : `−${Math.round(100 / (value - 1))}`;
}

function fractional(value) {
  const profit = value - 1;
  let best = null;
  for (const [over, under] of FRACTIONS) {
    const off = Math.abs(over / under - profit);
    if (off <= NEAR * value && (!best || off < best.off)) best = { off, over, under };
  }
  if (best) return `${best.over}/${best.under}`;
  if (profit > 10) return `${Math.round(profit)}/1`;
  let [over, under] = [Math.round(profit * 100), 100];
  for (let a = over, b = under; ; [a, b] = [b, a % b]) {
    if (!b) { over /= a; under /= a; break; }
  }
  return `${over}/${under}`;
}

export function percent(share, digits = 1) {
  if (share === undefined || share === null || Number.isNaN(share)) return "–";
  return `${(share * 100).toFixed(digits).replace("-", "−")} %`;
}

const formats = new Map();
function formatter(zone, kind, options) {
  const name = `${zone} ${kind}`;
  if (!formats.has(name)) {
    formats.set(name, new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone === "utc" ? "UTC" : undefined }));
  }
  return formats.get(name);
}

export const clock = (time, zone) =>
  time ? formatter(zone, "clock", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(new Date(time)) : "–";
export const seconds = (time, zone) =>
  time ? formatter(zone, "seconds", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(new Date(time)) : "–";
export const day = (time, zone) =>
  time ? formatter(zone, "day", { weekday: "short", day: "numeric", month: "short" }).format(new Date(time)) : "–";

const two = (value) => String(value).padStart(2, "0");

export function countdown(ms) {
  if (!(ms > 0)) return "";
  const s = Math.floor(ms / 1000);
  if (s >= 172_800) return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))}`;
  return `${Math.floor(s / 60)}:${two(s % 60)}`;
}

export function age(ms) {
  if (Number.isNaN(ms)) return "–";
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

export const count = (value) => String(value ?? 0).replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");

export function line(key) {
  if (key.line === undefined) return "";
  const signed = /spread|handicap/.test(key.market);
  return `${signed && key.line > 0 ? "+" : ""}${key.line}`.replace("-", "−");
}

export const words = (key) => key.replaceAll("_", " ");
