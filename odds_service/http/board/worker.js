// The SharedWorker of the board; see hub.js.

import "./lane.js"; // named here, the modules of hub.js are fetched at once, not one after another
import "./sse.js";
import "./store.js";
import "./stream.js";
import { Hub } from "./hub.js";

const hub = new Hub();
self.onconnect = (event) => hub.join(event.ports[0]);
