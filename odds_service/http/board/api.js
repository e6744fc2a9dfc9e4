// The calls of the contract that have one reply.
//
// call(path, query, {signal, method}) -> promise of the reply's JSON. Values of the query may be
//   lists. Rejects with ApiError {status, code, message, retry_ms}; status 0: not reachable.
//   After a 401 every call is refused here, without a request, until a token was given.
// statusSoon(fn) -> off          fn(reply of /v1/status) every few seconds while the page is visible
// beginSession(token), endSession()
// admitted(yes)                  whether the streams are let in: a token was given or refused

const LONGEST_MS = 20_000; // a connection may stay open and silent
let refused = false;
let tokens = 0; // times that a token was given; a request without one may be refused late

export class ApiError extends Error {
  constructor(status, code, message, retry_ms) {
    super(message);
    Object.assign(this, { status, code, retry_ms });
  }
}

export async function call(path, query = {}, { signal, method = "GET", headers } = {}) {
  if (refused && path !== "session") throw new ApiError(401, 16, "a token is wanted");
  const asked = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) {
    for (const value of [values].flat()) if (value !== undefined && value !== null) asked.append(name, value);
  }
  const text = asked.toString();
  let answer, body;
  const before = tokens;
  const longest = AbortSignal.timeout(LONGEST_MS);
  const until = signal ? AbortSignal.any([signal, longest]) : longest;
  try {
    answer = await fetch(`/v1/${path}${text ? `?${text}` : ""}`, { signal: until, method, headers, credentials: "same-origin" });
    body = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, undefined, "the service does not answer");
  }
  let read = {};
  try { read = body ? JSON.parse(body) : {}; } catch { /* no JSON: an error page */ }
  if (!answer.ok) {
    if (answer.status === 401 && path !== "session" && before === tokens) refused = true;
    const retry_ms = 1000 * Number(answer.headers.get("retry-after")) || undefined;
    throw new ApiError(answer.status, read.code, read.message ?? `HTTP ${answer.status}`, retry_ms);
  }
  return read;
}

export async function beginSession(token) {
  await call("session", {}, { method: "POST", headers: { authorization: `Bearer ${token}` } });
  tokens += 1;
  admitted();
}
export function admitted(yes = true) {
  refused = !yes;
}
export const endSession = () => call("session", {}, { method: "DELETE" });

const STATUS_MS = 5_000;
const readers = new Set();
let timer = 0;

async function readStatus() {
  timer = 0;
  if (!readers.size) return;
  if (!document.hidden) {
    try {
      const reply = await call("status");
      for (const fn of [...readers]) fn(reply);
    } catch { /* the strip says what the stream knows */ }
  }
  if (!timer) timer = setTimeout(readStatus, STATUS_MS);
}

export function statusSoon(fn) {
  readers.add(fn);
  if (!timer) timer = setTimeout(readStatus, 0);
  return () => readers.delete(fn);
}
