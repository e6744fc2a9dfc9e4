// A reader of Server-Sent Events.
//
// readEvents(body, take) -> promise   calls take({id, event, data}) for each event, in order, and
//                                     resolves when the body ends. `id` is undefined where the event
//                                     has none. Rejects when the connection breaks.

export async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return; // an event without its blank line is no event
    rest = rest ? rest + value : value;
    let from = 0;
    for (let end; (end = rest.indexOf("\n\n", from)) !== -1; from = end + 2) {
      const found = parse(rest.slice(from, end));
      if (found) take(found);
    }
    rest = rest.slice(from);
  }
}

function parse(text) {
  let id, event = "message", data = null;
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 1) continue; // a comment
    const name = line.slice(0, colon);
    const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") data = data === null ? value : data + "\n" + value;
    else if (name === "event") event = value;
    else if (name === "id") id = value;
  }
  return data === null ? null : { id, event, data };
}
