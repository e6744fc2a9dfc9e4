// Places where other modules of the board add to it; extras.js imports them.
//
// addView({name, title, open})      open(root, route) -> {update(route), close()}; in the navigation
//                                   if it has a title; shown for ?view=name
// addMatchTool({name, label, attach})   a button in the tools of a match (pressed: ?tool=name).
//                                   attach(match) -> detach. See match.js for `match`.
// addCellLook(fn) -> off            fn(cell, context) after a price cell is drawn; context: {eventId,
//                                   event, market (Market or null), key (MarketKey), outcome, odds
//                                   (bookmaker's), row}. May set classes `x-…` and text of cell.note.
// onCell(fn) -> off                 fn(context) when a price is chosen by click or Enter
// lists: views, tools, looks, choosers

export const views = new Map();
export const tools = [];
export const looks = new Set();
export const choosers = new Set();

export const addView = (view) => views.set(view.name, view);
export const addMatchTool = (tool) => tools.push(tool);
export function addCellLook(fn) {
  looks.add(fn);
  return () => looks.delete(fn);
}
export function onCell(fn) {
  choosers.add(fn);
  return () => choosers.delete(fn);
}
