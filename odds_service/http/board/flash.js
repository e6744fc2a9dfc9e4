// Marks a price that has just moved.
//
// flash(node, up)   data-flash ("up0", "up1", "down0", "down1") for the arrow, and data-lit for the
//                   coloured ground, which goes first; a new move marks the node anew
// unflash(node)     what is shown next is no move
//
// Nothing is animated: a colour that fades costs a style and a repaint of each cell in each frame,
// even by opacity. One timer takes the marks away, so a flash costs three changes of style.

const LIT_MS = 900;
const SHOWN_MS = 4_000;
const SWEEP_MS = 150;

const lit = new Map(), shown = new Map(); // node -> when its mark goes, in order
let timer = 0;

export function flash(node, up) {
  // Two names by turns: each move is a change that can be observed.
  node.dataset.flash = `${up ? "up" : "down"}${node.dataset.flash?.endsWith("0") ? 1 : 0}`;
  node.dataset.lit = "";
  const now = performance.now();
  put(lit, node, now + LIT_MS);
  put(shown, node, now + SHOWN_MS);
  timer ||= setTimeout(sweep, SWEEP_MS);
}

export function unflash(node) {
  lit.delete(node);
  shown.delete(node);
  delete node.dataset.lit;
  delete node.dataset.flash;
}

function put(map, node, until) {
  map.delete(node); // to the end
  map.set(node, until);
}

function sweep() {
  const now = performance.now();
  for (const [node, until] of lit) {
    if (until > now) break;
    lit.delete(node);
    delete node.dataset.lit;
  }
  for (const [node, until] of shown) {
    if (until > now) break;
    unflash(node);
  }
  timer = shown.size ? setTimeout(sweep, SWEEP_MS) : 0;
}
