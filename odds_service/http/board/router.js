// The address of the page is the state of the view, so that it can be sent to a colleague.
//
// route() -> URLSearchParams of the address      view=list (default) | match | coverage | …
// go(changes, {replace, fresh})                  sets parameters (null or "" removes one); `fresh`
//                                                drops all others; replace: no step of "back"
// link(changes, {fresh}) -> "?…"                 the address that go() would lead to
// goTo(search)                                   to "?…" as a whole
// onRoute(fn) -> off                             fn(route()) after each change

const handlers = new Set();

export const route = () => new URLSearchParams(location.search);

export function link(changes, { fresh = false } = {}) {
  const query = fresh ? new URLSearchParams() : route();
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const each of [value].flat()) if (each !== null && each !== undefined && each !== "") query.append(name, each);
  }
  const text = query.toString();
  return text ? `?${text}` : location.pathname;
}

export function go(changes, { replace = false, fresh = false } = {}) {
  const to = link(changes, { fresh });
  if (to === (location.search || location.pathname)) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  tell();
}

export function goTo(search) {
  const to = search.length > 1 ? search : location.pathname;
  if (to !== (location.search || location.pathname)) history.pushState(null, "", to);
  tell();
}

export function onRoute(fn) {
  handlers.add(fn);
  return () => handlers.delete(fn);
}

function tell() {
  for (const fn of [...handlers]) fn(route());
}

addEventListener("popstate", tell);
// Links of the board's own pages need no load; with a modifier they open as any link does.
document.addEventListener("click", (event) => {
  const target = event.target.closest?.("a[data-go]");
  if (!target || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  goTo(target.getAttribute("href"));
});
