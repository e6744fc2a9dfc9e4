// Read all odds, then follow every change, from the proto alone.
//
//   npm install && node watch.mjs [SERVER [CHANGES]]
//
// It checks what the contract promises: each message names the cursor of the one before it
// (prev_revision), so one comparison proves that nothing is missing. It ends with exit code 1
// when that fails, and with 0 after so many changes (none: at ^C).

import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const [server = "127.0.0.1:50051", wanted = "Infinity"] = process.argv.slice(2);
const proto = fileURLToPath(new URL("../../proto/odds/v1/odds.proto", import.meta.url));
const as = { keepCase: true, longs: String, enums: String, oneofs: true };
const definition = protoLoader.loadSync(proto, as);
const { odds } = grpc.loadPackageDefinition(definition);
const client = new odds.v1.OddsService(server, grpc.credentials.createInsecure());

const markets = new Map(); // event, source, bookmaker and market key -> the market as it is now
const place = (eventId, { source, bookmaker }, { market, line, participant }) =>
  JSON.stringify([eventId, source, bookmaker, market, line ?? null, participant]);

function apply(change) {
  if (change.kind === "CHANGE_KIND_EVENT_ENDED") {
    const of = JSON.stringify([change.event_id]).slice(0, -1) + ",";
    for (const key of markets.keys()) if (key.startsWith(of)) markets.delete(key);
  }
  if (!change.after) return;
  const key = place(change.event_id, change, change.after.key);
  if (change.after.status === "MARKET_STATUS_REMOVED") markets.delete(key);
  else markets.set(key, change.after);
}

function end(code, text) {
  console.log(text);
  process.exit(code);
}

client.getOdds({}, (error, reply) => {
  if (error) end(1, `GetOdds: ${error.message}`);
  for (const { event, bookmakers = [] } of reply.events ?? [])
    for (const shown of bookmakers)
      for (const market of shown.markets ?? [])
        markets.set(place(event.id, shown, market.key), market);
  console.log(`read ${markets.size} markets at revision ${reply.cursor.revision}`);
  follow(reply.cursor);
});

function follow(cursor) {
  let seen = 0;
  let held = cursor.revision ?? "0"; // of the last cursor that we have
  const stream = client.watchChanges({ resume: cursor });
  stream.on("data", (response) => {
    const kind = response.message; // which one it is
    const message = response[kind];
    if (kind === "opened") {
      if (message.intent === "INTENT_IMAGE") end(1, `not resumed: ${message.reason}`);
    } else if ((message.prev_revision ?? "0") !== held) {
      end(1, `GAP: ${kind} follows ${message.prev_revision}, and we are at ${held}`);
    }
    held = message.cursor.revision ?? "0";
    for (const change of message.changes ?? []) {
      apply(change);
      seen += 1;
      const outcomes = change.after?.outcomes?.map(({ key, price }) => `${key} ${price ?? "–"}`);
      console.log(change.revision, change.kind, change.event_id, change.bookmaker, outcomes ?? "");
    }
    if (seen >= Number(wanted))
      end(0, `${seen} changes, nothing missing; ${markets.size} markets at revision ${held}`);
  });
  stream.on("error", (error) => end(1, `WatchChanges: ${error.message}`));
}
