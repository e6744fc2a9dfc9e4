// The calls of the contract that have one reply.
//
// call(path, query, {signal, method}) -> promise of the reply's JSON. Values of the query may be
//   lists. Rejects with ApiError {status, code, message, retry_ms}; status 0: not reachable.
// statusSoon(fn) -> off          fn(reply of /v1/status) every few seconds while the page is visible
// beginSession(token), endSession()

export class ApiError extends Error {
  constructor(status, code, message, retry_ms) {
    super(message);
    Object.assign(this, { status, code, retry_ms });
  }
}

export async function call(path, query = {}, { signal, method = "GET", headers } = {}) {
  const asked = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) {
    for (const value of [values].flat()) if (value !== undefined && value !== null) asked.append(name, value);
  }
  const text = asked.toString();
  let answer;
  try {
    answer = await fetch(`/v1/${path}${text ? `?${text}` : ""}`, { signal, method, headers, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, undefined, "the service does not answer");
  }
  const body = await answer.text();
  let read = {};
  try { read = body ? JSON.parse(body) : {}; } catch { /* no JSON: an error page */ }
  if (!answer.ok) {
    const retry_ms = 1000 * Number(answer.headers.get("retry-after")) || undefined;
    throw new ApiError(answer.status, read.code, read.message ?? `HTTP ${answer.status}`, retry_ms);
  }
  return read;
}

export const beginSession = (token) => call("session", {}, { method: "POST", headers: { authorization: `Bearer ${token}` } });
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
