// Modules that add to the board through hooks.js, imported for that alone.
import "./asof.js";
import "./chart.js";
import "./coverage.js";
import "./reference.js";

const sheet = document.createElement("link");
sheet.rel = "stylesheet";
sheet.href = new URL("extras.css", import.meta.url).pathname;
document.head.append(sheet);
