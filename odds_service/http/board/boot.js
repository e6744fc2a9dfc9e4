// Says so where the board does not start, and starts it again once the service answers.
//
// A module that does not arrive, or that a browser is too old for, leaves an empty page without a
// word. This file is no module, so it runs all the same. main.js sets `data-started` at its end.

(() => {
  const SLOW_MS = 15_000; // then the page says that it is still being loaded
  const AGAIN_MS = 3_000;
  const MOST_MS = 30_000;
  const TRIES = "board-starts"; // in this tab, one after another
  const root = document.documentElement;
  let said = false;

  // Storage may not be allowed: then each try counts as the first.
  const tries = () => { try { return Number(sessionStorage.getItem(TRIES) ?? "0"); } catch { return 0; } };
  const remember = (count) => { try { sessionStorage.setItem(TRIES, String(count)); } catch { /* see above */ } };
  const started = () => root.dataset.started !== undefined;

  function say(text) {
    const put = () => {
      const note = document.createElement("p");
      note.className = "note";
      note.setAttribute("role", "alert");
      note.textContent = text;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Try now";
      button.addEventListener("click", () => location.reload());
      document.getElementById("view").replaceChildren(note, button);
    };
    if (document.getElementById("view")) put();
    else addEventListener("DOMContentLoaded", put);
  }

  function failed() {
    if (said || started()) return;
    said = true;
    say("The board could not be loaded. It tries again by itself.");
    setTimeout(again, Math.min(AGAIN_MS * 2 ** tries(), MOST_MS));
  }

  // A page that is loaded anew while the service is away would be the browser's own, and stay.
  async function again() {
    try {
      const answer = await fetch("boot.js", { cache: "no-store" });
      if (answer.ok) {
        remember(tries() + 1);
        location.reload();
        return;
      }
    } catch { /* away */ }
    setTimeout(again, AGAIN_MS);
  }

  addEventListener("error", ({ target }) => { if (target === window || target.tagName === "SCRIPT") failed(); }, true);
  setTimeout(() => { if (!said && !started()) say("The board is still being loaded."); }, SLOW_MS);
  new MutationObserver((_, seen) => {
    if (!started()) return;
    seen.disconnect();
    remember(0);
  }).observe(root, { attributes: true });
})();
