// How this person wants to see things; kept in localStorage, shared by all tabs.
//
// settings.get(name), settings.set(name, value), settings.on(fn) -> off, fn(name)
// Names: theme (auto, light, dark), format (decimal, american, fractional), zone (local, utc),
//        and those that other modules choose.

const KEY = "odds-board";
const DEFAULTS = { theme: "auto", format: "decimal", zone: "local" };
const handlers = new Set();

function read() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return { ...DEFAULTS, ...(typeof found === "object" ? found : {}) };
  } catch {
    return { ...DEFAULTS }; // storage that is not allowed, or not ours
  }
}

let values = read();

function tell(name) {
  for (const fn of [...handlers]) fn(name);
}

export const settings = {
  get: (name) => values[name],
  set(name, value) {
    values = { ...values, [name]: value };
    try { localStorage.setItem(KEY, JSON.stringify(values)); } catch { /* for this page only */ }
    tell(name);
  },
  on(fn) {
    handlers.add(fn);
    return () => handlers.delete(fn);
  },
};

addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  values = read();
  for (const name of Object.keys(values)) tell(name);
});
