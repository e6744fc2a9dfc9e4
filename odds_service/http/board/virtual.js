// A list of which only the visible rows are in the page, with a roving focus.
//
// new VirtualList(scroller, {make, draw, height, seen, choose})
//   make(item) -> row node         draw(node, item)         height(item) -> px
//   seen(items)                    the items in view, after they have changed
//   choose(item)                   Enter on a row
// .set(items)  items have a unique `id`; those with `heading` take no focus
// .redraw(), .resize(), .focus(), .close(); .nodes: Map: id -> node of the rows in the page

import { perFrame } from "./dom.js";

const OVERSCAN_PX = 160;

export class VirtualList {
  constructor(scroller, hooks) {
    this.scroller = scroller;
    this.hooks = hooks;
    this.items = [];
    this.offsets = [0];
    this.nodes = new Map();
    this.active = null;
    this.space = document.createElement("div");
    this.space.className = "space";
    scroller.replaceChildren(this.space);
    this.place = perFrame(() => this.#place());
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(scroller);
    scroller.addEventListener("scroll", this.place, { passive: true });
    scroller.addEventListener("keydown", (event) => this.#key(event));
    scroller.addEventListener("focusin", (event) => {
      const id = event.target.closest("[data-id]")?.dataset.id;
      if (id) this.#activate(id);
    });
  }

  set(items) {
    this.items = items;
    this.resize();
  }

  resize() {
    this.offsets = [0];
    for (const item of this.items) this.offsets.push(this.offsets.at(-1) + this.hooks.height(item));
    this.space.style.height = `${this.offsets.at(-1)}px`;
    this.fresh = true;
    this.place();
  }

  redraw() {
    this.fresh = true;
    this.place();
  }

  focus() {
    const id = this.items.some((item) => item.id === this.active) ? this.active : this.#first();
    if (id !== undefined) this.#go(this.items.findIndex((item) => item.id === id));
  }

  close() {
    this.watch.disconnect();
    this.place.cancel();
  }

  #first() {
    const from = this.#at(this.scroller.scrollTop + 1);
    return this.items.slice(from).find((item) => !item.heading)?.id;
  }

  // The index of the item at a height.
  #at(y) {
    let low = 0, high = this.items.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.offsets[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  #place() {
    const top = this.scroller.scrollTop, bottom = top + this.scroller.clientHeight;
    const from = this.#at(Math.max(0, top - OVERSCAN_PX));
    let to = this.#at(bottom + OVERSCAN_PX) + 1;
    to = Math.min(to, this.items.length);
    const wanted = new Map();
    for (let index = from; index < to; index++) wanted.set(this.items[index].id, index);
    const focused = document.activeElement?.closest?.("[data-id]")?.dataset.id;
    if (focused && this.nodes.has(focused) && !wanted.has(focused)) {
      const index = this.items.findIndex((item) => item.id === focused); // the focus stays where it is
      if (index >= 0) wanted.set(focused, index);
    }
    for (const [id, node] of this.nodes) {
      if (wanted.has(id)) continue;
      node.remove();
      this.nodes.delete(id);
    }
    for (const [id, index] of wanted) {
      const item = this.items[index];
      let node = this.nodes.get(id);
      const made = !node;
      if (made) {
        node = this.hooks.make(item);
        node.dataset.id = id;
        node.classList.add("placed");
        this.nodes.set(id, node);
      }
      if (made || this.fresh) this.hooks.draw(node, item);
      const y = `translateY(${this.offsets[index]}px)`;
      if (node.style.transform !== y) node.style.transform = y;
      if (!item.heading) node.tabIndex = id === this.active ? 0 : -1;
      if (made) this.space.append(node);
    }
    this.fresh = false;
    if (!wanted.has(this.active)) {
      const first = [...wanted.entries()].find(([, index]) => !this.items[index].heading);
      if (first) this.nodes.get(first[0]).tabIndex = 0; // Tab reaches the list
    }
    const inView = this.items.slice(this.#at(top), Math.min(this.#at(bottom) + 1, this.items.length)).filter((item) => !item.heading);
    const text = inView.map((item) => item.id).join(" ");
    if (text !== this.told) {
      this.told = text;
      this.hooks.seen(inView);
    }
  }

  #activate(id) {
    const before = this.nodes.get(this.active);
    if (before) before.tabIndex = -1;
    this.active = id;
    const node = this.nodes.get(id);
    if (node) node.tabIndex = 0;
  }

  #go(index) {
    const item = this.items[index];
    if (!item) return;
    const top = this.offsets[index], bottom = this.offsets[index + 1];
    const { scrollTop, clientHeight } = this.scroller;
    const above = index > 0 && this.items[index - 1].heading ? this.offsets[index - 1] : top;
    if (top < scrollTop) this.scroller.scrollTop = above;
    else if (bottom > scrollTop + clientHeight) this.scroller.scrollTop = bottom - clientHeight;
    this.#activate(item.id);
    this.place.cancel();
    this.#place();
    this.nodes.get(item.id)?.focus({ preventScroll: true });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const now = this.items.findIndex((item) => item.id === this.active);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / 60) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
    if (event.key in steps) {
      event.preventDefault();
      this.#go(this.#near(now + steps[event.key], steps[event.key] < 0 ? -1 : 1));
    } else if (event.key === "Enter" && now >= 0) {
      event.preventDefault();
      this.hooks.choose(this.items[now]);
    }
  }

  // The nearest item that takes focus, first in the direction of travel.
  #near(index, way) {
    const last = this.items.length - 1;
    let at = Math.max(0, Math.min(last, index));
    while (at >= 0 && at <= last && this.items[at].heading) at += way;
    if (at < 0 || at > last) for (at = Math.max(0, Math.min(last, index)); this.items[at]?.heading; at -= way);
    return at;
  }
}
