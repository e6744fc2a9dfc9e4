// The frame of the board: views by address, theme, tools, keys, the prompt for a token.

import { admitted, beginSession } from "./api.js";
import { h, fill, setText } from "./dom.js";
import { feed } from "./feed.js";
import { views, addView } from "./hooks.js";
import { openList } from "./list.js";
import { openMatch } from "./match.js";
import { startProof } from "./proof.js";
import { go, goTo, link, onRoute, route } from "./router.js";
import { settings } from "./settings.js";

addView({ name: "list", title: "Matches", open: openList });
addView({ name: "match", open: openMatch });

const root = document.getElementById("view");
const nav = document.getElementById("nav");
const search = document.getElementById("search");
if (matchMedia("(max-width: 720px)").matches) search.placeholder = "Search";
let open = null;
let lastList = ""; // its filters

function show(at) {
  const name = views.has(at.get("view")) ? at.get("view") : "list";
  if (name === "list") lastList = location.search;
  if (open?.name === name) open.view.update(at);
  else {
    open?.view.close();
    root.replaceChildren();
    root.className = `view-${name}`;
    scrollTo(0, 0);
    open = { name, view: views.get(name).open(root, at) };
  }
  if (document.activeElement !== search) search.value = at.get("q") ?? "";
  for (const each of nav.children) {
    if (each.dataset.view === name) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

function drawNav() {
  fill(nav, [...views.values()].filter((view) => view.title).map((view) =>
    h("a", { href: view.name === "list" ? "?" : link({ view: view.name }, { fresh: true }), "data-go": true, "data-view": view.name }, view.title)));
}

// -- tools in the head ------------------------------------------------------------------------

const CHOICES = {
  format: [["decimal", "1.91"], ["american", "−110"], ["fractional", "10/11"]],
  zone: [["local", "Local"], ["utc", "UTC"]],
  theme: [["auto", "Auto"], ["light", "Light"], ["dark", "Dark"]],
};
const LABELS = { format: "Odds format", zone: "Time zone", theme: "Colours" };

function drawTools() {
  fill(document.getElementById("tools"), Object.entries(CHOICES).map(([name, choices]) => {
    const select = h("select", { id: `set-${name}`, "aria-label": LABELS[name], on: { change: () => settings.set(name, select.value) } },
      choices.map(([value, text]) => h("option", { value }, text)));
    select.value = settings.get(name);
    return select;
  }));
}

function dress() {
  const theme = settings.get("theme");
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

// -- keys -------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape" && event.target === search) {
    if (search.value) searchFor("");
    else open?.view.focus?.();
    search.value = "";
  } else if ((event.key === "Enter" || event.key === "ArrowDown") && event.target === search) {
    event.preventDefault();
    open?.view.focus?.();
  } else if (event.key === "Escape" && !typing && open?.name !== "list" && !event.defaultPrevented) {
    goTo(lastList); // unless a panel of the view has closed
  }
});

function searchFor(text) {
  if (open?.name === "list") go({ q: text }, { replace: true });
  else if (text) go({ q: text }, { fresh: true });
}

search.addEventListener("input", () => searchFor(search.value.trim()));

// -- a token ----------------------------------------------------------------------------------

const prompt_ = h("dialog", { class: "token", "aria-labelledby": "token-title" });
function askForToken() {
  if (prompt_.open) return;
  const revoked = feed.indexed; // odds have come before
  const input = h("input", { type: "password", autocomplete: "current-password", "aria-label": "Token", required: true });
  const note = h("p", { class: "note", role: "alert" });
  const form = h("form", { on: { submit: async (event) => {
    event.preventDefault();
    try {
      await beginSession(input.value.trim());
      prompt_.close();
      feed.retry();
      show(route());
    } catch (error) {
      setText(note, error.status === 401 ? "This token is not accepted." : error.message);
      input.select();
    }
  } } },
  h("h2", { id: "token-title" }, revoked ? "Your token is no longer accepted" : "A token is wanted"),
  h("p", {}, revoked ? "It was revoked or replaced. The odds behind this window are no longer live." : "This service shows its odds to those who have a token.",
    " A token is kept in a cookie that no script can read."),
  input, note, h("button", { type: "submit" }, "Show the odds"));
  fill(prompt_, form);
  if (!prompt_.isConnected) document.body.append(prompt_);
  prompt_.showModal();
  input.focus();
}
prompt_.addEventListener("cancel", (event) => event.preventDefault());

function followState() {
  const lanes = Object.values(feed.state.lanes);
  if (lanes.some((lane) => lane.refused)) {
    admitted(false);
    askForToken();
  } else if (lanes.some((lane) => lane.live)) {
    admitted(); // perhaps in another tab
    prompt_.close();
  }
  // Odds that are not live must not look as if they were.
  const wanted = open?.name === "match" ? "match" : "rows";
  const used = feed.state.lanes[wanted]?.used;
  document.body.classList.toggle("offline", Boolean(used && !feed.live(wanted)));
}

// -- start ------------------------------------------------------------------------------------

dress();
settings.on((name) => {
  if (name === "theme") dress();
  const select = document.getElementById(`set-${name}`);
  if (select) select.value = settings.get(name);
});
drawTools();
feed.on("state", followState);
feed.start(); // the first odds come while the other modules are read
await import("./extras.js");
drawNav();
startProof(document.getElementById("proof"));
onRoute(show);
show(route());
document.documentElement.dataset.started = ""; // boot.js waits for it
