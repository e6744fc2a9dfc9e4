// Read all odds, then follow every change, from the proto alone.
//
//   npm install && node watch.mjs [SERVER[,SERVER...] [CHANGES]]
//
// It checks what the contract promises: each message names the cursor of the one before it
// (prev_revision), so one comparison proves that nothing is missing. When the connection is lost it
// resumes at its last cursor: at once at the next server, if there are several with one log, and
// after a wait when all were tried. It ends with exit code 1 when something is missing, and with 0
// after so many changes (none: at ^C).

import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const RETRY_MS = 1000;
const ANSWER_MS = 5000; // for the first message: a server may take connections and never answer
const READ_MS = 10000;
// A connection that died in silence is found within 20 s. The service permits a ping every 10 s.
const KEEPALIVE = { "grpc.keepalive_time_ms": 12000, "grpc.keepalive_timeout_ms": 8000 };
const { UNAVAILABLE, UNKNOWN, CANCELLED, DEADLINE_EXCEEDED } = grpc.status;
const AGAIN = new Set([UNAVAILABLE, UNKNOWN, CANCELLED, DEADLINE_EXCEEDED]);

const [given = "127.0.0.1:50051", wanted = "Infinity"] = process.argv.slice(2);
const proto = fileURLToPath(new URL("../../proto/odds/v1/odds.proto", import.meta.url));
const as = { keepCase: true, longs: String, enums: String, oneofs: true };
const definition = protoLoader.loadSync(proto, as);
const { odds } = grpc.loadPackageDefinition(definition);
const servers = given.split(",").map((server) => server.trim());
let used = 0; // the place of the server in use
let failed = 0; // servers that failed since one has served
let client = connect();

function connect() {
  return new odds.v1.OddsService(servers[used], grpc.credentials.createInsecure(), KEEPALIVE);
}

process.on("SIGINT", () => process.exit(0));
// The reader of a pipe may leave; that is no fault.
process.stdout.on("error", (error) => process.exit(error.code === "EPIPE" ? 0 : 1));

const names = new Map(); // event -> its name
const markets = new Map(); // event, source, bookmaker and market key -> the market as it is now
const place = (eventId, { source, bookmaker }, { market, line, participant }) =>
  JSON.stringify([eventId, source, bookmaker, market, line ?? null, participant]);

let held = null; // the last cursor that we have
let seen = 0;

function apply(change) {
  if (change.event) names.set(change.event_id, change.event.name);
  if (change.kind === "CHANGE_KIND_EVENT_ENDED") {
    const of = JSON.stringify([change.event_id]).slice(0, -1) + ",";
    for (const key of markets.keys()) if (key.startsWith(of)) markets.delete(key);
  }
  if (!change.after) return;
  const key = place(change.event_id, change, change.after.key);
  if (change.after.status === "MARKET_STATUS_REMOVED") markets.delete(key);
  else markets.set(key, change.after);
}

function take({ event, bookmakers = [] }) {
  names.set(event.id, event.name);
  for (const shown of bookmakers)
    for (const market of shown.markets ?? []) markets.set(place(event.id, shown, market.key), market);
}

function print(change) {
  const kind = change.kind.replace("CHANGE_KIND_", "").toLowerCase();
  const name = names.get(change.event_id) ?? change.source;
  const { market = "", line, participant = "" } = change.after?.key ?? {};
  const key = [market, line ?? "", participant].filter((part) => part !== "").join(" ");
  const outcomes = (change.after?.outcomes ?? []).map(({ key, price }) => `${key} ${price ?? "–"}`);
  console.log([change.revision, kind, name, change.bookmaker, key, outcomes.join("  ")].join("  "));
}

function end(code, text) {
  console.log(text);
  process.exit(code);
}

function read() {
  client.getOdds({}, { deadline: Date.now() + READ_MS }, (error, reply) => {
    if (error) return retry("GetOdds", error, read);
    for (const entry of reply.events ?? []) take(entry);
    held = reply.cursor;
    console.log(`read ${markets.size} markets at revision ${held.revision ?? 0}`);
    follow();
  });
}

function retry(call, error, next) {
  if (!AGAIN.has(error.code)) end(1, `${call}: ${error.message}`);
  failed += 1;
  const all = failed >= servers.length;
  if (all) failed = 0;
  if (servers.length > 1) {
    client.close();
    used = (used + 1) % servers.length;
    client = connect();
  }
  const then = all ? "trying again" : `changing over to ${servers[used]}`;
  console.log(`— ${call}: ${error.details || error.message}; ${then}`);
  setTimeout(next, all ? RETRY_MS : 0);
}

function follow() {
  const stream = client.watchChanges({ resume: held });
  const patience = setTimeout(() => stream.cancel(), ANSWER_MS);
  let over = false;
  const again = (error) => {
    if (over) return;
    over = true;
    clearTimeout(patience);
    retry("WatchChanges", error, follow);
  };
  stream.on("data", (response) => {
    const kind = response.message; // which one it is
    const message = response[kind];
    clearTimeout(patience);
    if (kind === "changes" || kind === "heartbeat") failed = 0;
    if (kind === "opened") {
      const reason = message.reason.replace("INTENT_REASON_", "").toLowerCase();
      console.log(`— ${reason} at revision ${message.cursor.revision ?? 0}`);
    } else if ((message.prev_revision ?? "0") !== (held.revision ?? "0")) {
      end(1, `GAP: ${kind} follows ${message.prev_revision}, and we are at ${held.revision}`);
    }
    held = message.cursor; // of any message, wherever the stream is cut
    // An image of all odds takes the place of ours, where our cursor could not be resumed.
    if (kind === "image_begin") markets.clear();
    if (kind === "image") for (const entry of message.events ?? []) take(entry);
    for (const change of message.changes ?? []) {
      apply(change);
      print(change);
      seen += 1;
    }
    if (seen >= Number(wanted))
      end(0, `${seen} changes, nothing missing; ${markets.size} markets at revision ${held.revision}`);
  });
  stream.on("error", again);
  stream.on("end", () => again({ code: UNAVAILABLE, message: "the stream ended" }));
}

read();
