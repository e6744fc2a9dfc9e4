// Small pieces for building and changing the page. Text is only ever set as text.
//
// h(tag, attributes, ...children) -> element   attributes: class, data-*, aria-*, on: {click: fn}
// setText(node, text)                          writes only where it differs
// fill(node, ...children)                      replaces the children
// perFrame(fn) -> ask                          runs fn at most once a frame, however often it is asked
// debounced(fn, wait_ms, most_ms) -> ask       runs fn after a pause; `most_ms` after the first ask
//                                              at the latest; ask.cancel() forgets it

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "tabIndex", "type", "id"]);

export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "on") for (const [kind, fn] of Object.entries(value)) node.addEventListener(kind, fn);
    else if (PROPERTIES.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

export function perFrame(fn) {
  let asked = 0;
  const ask = () => {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; fn(); });
  };
  ask.cancel = () => { cancelAnimationFrame(asked); asked = 0; };
  return ask;
}

export function debounced(fn, wait_ms, most_ms = 4 * wait_ms) {
  let timer = 0, first = 0;
  const run = () => { timer = 0; first = 0; fn(); };
  const ask = () => {
    const now = performance.now();
    first ||= now;
    clearTimeout(timer);
    timer = setTimeout(run, Math.max(0, Math.min(wait_ms, first + most_ms - now)));
  };
  ask.cancel = () => { clearTimeout(timer); timer = 0; first = 0; };
  return ask;
}
