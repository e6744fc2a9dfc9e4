// One plot of step lines over time, drawn in SVG.
//
// svg(tag, attributes, ...children) -> element
// plot({width, height, from_s, to_s, lines, marks, format, ticks, label, least}) -> {node, x(t_s), t_s(x)}
//   lines: [{name, colour, at_s, values, offered, closing}]   values hold until the next point
//   least: the span of values that is shown at least, so that equal values stay readable
//   marks: [{at_s, text, kind}]       vertical lines; format(value), ticks(t_s) -> text
// A value that no longer can be bet on goes on dashed.

const SPACE = "http://www.w3.org/2000/svg";
const LEFT = 46, RIGHT = 10, TOP = 16, BOTTOM = 20;
const STEPS_S = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 604_800];

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export function plot({ width, height, from_s, to_s, lines, marks = [], format, ticks, label, least = 0 }) {
  const span_s = Math.max(1, to_s - from_s);
  const inner = Math.max(40, width - LEFT - RIGHT);
  const [low, high] = bounds(lines, least);
  const x = (t_s) => LEFT + ((t_s - from_s) / span_s) * inner;
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (height - TOP - BOTTOM);
  const node = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "plot", role: "img", "aria-label": label });
  for (let step = 0; step <= 4; step++) {
    const value = low + ((high - low) * step) / 4;
    node.append(svg("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { class: "tick", x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, format(value)));
  }
  const step_s = STEPS_S.find((each) => span_s / each <= Math.max(2, inner / 90)) ?? STEPS_S.at(-1);
  for (let t_s = Math.ceil(from_s / step_s) * step_s; t_s <= to_s; t_s += step_s) {
    node.append(svg("text", { class: "tick", x: x(t_s), y: height - 5, "text-anchor": "middle" }, ticks(t_s, step_s)));
  }
  for (const mark of marks) {
    if (mark.at_s < from_s || mark.at_s > to_s) continue;
    const near = x(mark.at_s) > width - 70;
    node.append(svg("line", { class: `mark ${mark.kind}`, x1: x(mark.at_s), x2: x(mark.at_s), y1: TOP - 4, y2: height - BOTTOM }),
      svg("text", { class: "marked", x: x(mark.at_s) + (near ? -4 : 4), y: TOP - 4, "text-anchor": near ? "end" : "start" }, mark.text));
  }
  for (const line of lines) node.append(stepped(line, { x, y, from_s, to_s }));
  return { node, x, t_s: (at) => Math.min(to_s, Math.max(from_s, from_s + ((at - LEFT) / inner) * span_s)) };
}

function bounds(lines, least) {
  let low = Infinity, high = -Infinity;
  for (const { values } of lines) {
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (!(low <= high)) return [0, 1];
  const pad = Math.max((high - low) * 0.08, (least - (high - low)) / 2, 1e-6);
  return [low - pad, high + pad];
}

// Two paths for each line: solid while it can be bet on, dashed while it cannot.
function stepped({ name, colour, at_s, values, offered, closing }, { x, y, from_s, to_s }) {
  const paths = { solid: "", dashed: "" };
  let held = NaN;
  let before = null; // kind of the piece that ends here
  for (let at = 0; at < at_s.length; at++) {
    const known = !Number.isNaN(values[at]);
    const was = held;
    if (known) held = values[at];
    if (Number.isNaN(held)) continue;
    const begin_s = Math.max(from_s, at_s[at]), end_s = Math.min(to_s, at_s[at + 1] ?? to_s);
    if (end_s < from_s || begin_s > to_s) continue;
    const kind = known && offered[at] !== false ? "solid" : "dashed";
    const riser = Number.isNaN(was) ? "" : `M${x(begin_s)} ${y(was)}V${y(held)}`;
    paths[kind] += before === kind ? `V${y(held)}H${x(end_s)}` : `${riser}M${x(begin_s)} ${y(held)}H${x(end_s)}`;
    before = kind;
  }
  const group = svg("g", { class: `line c${colour}`, "data-name": name });
  for (const [kind, d] of Object.entries(paths)) if (d) group.append(svg("path", { class: kind, d }));
  const price = closing === undefined ? NaN : values[closing];
  if (!Number.isNaN(price) && price !== undefined) {
    group.append(svg("circle", { class: "closing", cx: x(Math.max(from_s, at_s[closing])), cy: y(price), r: 4 },
      svg("title", {}, `Closing price of ${name}`)));
  }
  return group;
}
