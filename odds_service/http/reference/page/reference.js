// The page at /docs: the calls of /openapi.json for people. Text is only ever set as text.

const MOST_CHARS = 200_000; // of an answer that is shown
const IN_SHELL = "Authorization: Bearer $TOKEN"; // in examples, which people copy and show
const state = document.getElementById("state");

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// Paragraphs, lists (" - " at the start of a line) and `code` of a description.
function prose(text, into) {
  for (const block of (text ?? "").split(/\n\s*\n/)) {
    let list = null;
    let last = null;
    for (const line of block.split("\n")) {
      const entry = line.match(/^\s*- (.*)$/);
      if (entry) {
        list ??= into.appendChild(element("ul"));
        last = list.appendChild(element("li"));
        words(entry[1], last);
      } else if (last) {
        last.append(" ");
        words(line.trim(), last);
      } else if (line.trim()) {
        last = into.appendChild(element("p"));
        words(line, last);
      }
    }
  }
  for (const paragraph of into.querySelectorAll("p, li")) paragraph.normalize();
  return into;
}

function words(text, into) {
  text.split("`").forEach((part, n) => {
    if (part) into.append(n % 2 ? element("code", { textContent: part }) : part);
  });
}

function nameOf(reference) {
  return reference.split("/").at(-1);
}

// A schema in a few words, with links to the schemas that it names.
function kind(schema) {
  const made = element("span");
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    made.append(element("a", { href: `#schema-${name}`, textContent: name }));
  } else if (schema.anyOf) {
    schema.anyOf.forEach((one, n) => made.append(n ? " or " : "", kind(one)));
  } else if (schema.type === "array") {
    made.append("list of ", kind(schema.items));
  } else if (schema.type === "object" && schema.additionalProperties) {
    made.append("map of text to ", kind(schema.additionalProperties));
  } else if (schema.type === "object" && schema.properties) {
    made.append("object with ");
    Object.entries(schema.properties).forEach(([name, one], n) => {
      made.append(n ? ", " : "", element("code", { textContent: name }), " ", kind(one));
    });
  } else if (schema.enum) {
    schema.enum.forEach((value, n) => {
      made.append(n ? " | " : "", element("code", { textContent: String(value) }));
    });
  } else if (schema.const !== undefined) {
    made.append(element("code", { textContent: String(schema.const) }));
  } else {
    made.append([schema.type ?? "anything", schema.format].filter(Boolean).join(", "));
    const example = schema.examples?.[0];
    if (example) made.append(", such as ", element("code", { textContent: String(example) }));
  }
  return made;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function addressOf(path, parameters, values) {
  const query = new URLSearchParams();
  let place = path;
  for (const parameter of parameters) {
    for (const value of values.get(parameter.name) ?? []) {
      if (parameter.in === "path") {
        place = place.replace(`{${parameter.name}}`, encodeURIComponent(value));
      } else if (parameter.in === "query") query.append(parameter.name, value);
    }
  }
  const text = query.toString();
  // Relative to the page, so that a proxy may put the service below a path of its own.
  return new URL(place.slice(1) + (text ? `?${text}` : ""), new URL(".", document.baseURI));
}

// `streams`: whether to show pieces of the answer as they come.
function curlOf(verb, streams, address, headers, body) {
  const parts = ["curl"];
  if (streams) parts.push("-N");
  if (verb !== "get") parts.push("-X", verb.toUpperCase());
  for (const [name, value] of Object.entries(headers)) {
    const text = `${name}: ${value}`;
    parts.push("-H", text === IN_SHELL ? `"${text}"` : quoted(text));
  }
  if (body) parts.push("-H", quoted("Content-Type: application/json"), "-d", quoted(body));
  return [...parts, quoted(address.href)].join(" ");
}

function headersOf(parameters, values, withToken) {
  const headers = {};
  for (const parameter of parameters) {
    const [value] = values.get(parameter.name) ?? [];
    if (parameter.in === "header" && value) headers[parameter.name] = value;
  }
  const token = document.getElementById("token").value;
  if (token) headers.Authorization = withToken ? `Bearer ${token}` : IN_SHELL.split(": ")[1];
  return headers;
}

function input(id, parameter) {
  const schema = parameter.schema;
  const choices = schema.type === "boolean" ? ["true", "false"] : schema.enum;
  if (choices) {
    const options = ["", ...choices].map((value) => element("option", { textContent: value }));
    return element("select", { id }, ...options);
  }
  const hint = schema.type === "array" ? "several: separate by commas" : schema.examples?.[0] ?? "";
  return element("input", { id, placeholder: hint, autocomplete: "off", spellcheck: false });
}

function valuesOf(fields) {
  const values = new Map();
  for (const [parameter, field] of fields) {
    const text = field.value.trim();
    if (!text) continue;
    const many = parameter.schema.type === "array";
    values.set(parameter.name, many ? text.split(",").map((one) => one.trim()).filter(Boolean) : [text]);
  }
  return values;
}

// The answer as it arrives; a stream goes on until it is stopped or has enough.
async function run(address, headers, output, signal) {
  output.textContent = "…";
  try {
    const response = await fetch(address, { headers, signal });
    const head = `${response.status} ${response.statusText}\n${response.headers.get("content-type") ?? ""}\n\n`;
    output.textContent = head;
    output.classList.toggle("wrong", !response.ok);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
      output.textContent = head + text.slice(0, MOST_CHARS);
      if (text.length > MOST_CHARS) {
        output.append("\n… and more");
        await reader.cancel();
        return;
      }
    }
    if (response.headers.get("content-type")?.startsWith("application/json")) {
      output.textContent = head + JSON.stringify(JSON.parse(text), null, 2);
    }
  } catch (error) {
    if (error.name === "AbortError") output.append("\n… stopped");
    else output.textContent = String(error);
  }
}

function trying(id, verb, path, operation, curl) {
  const parameters = operation.parameters ?? [];
  const streams = !("application/json" in operation.responses["200"].content);
  const fields = parameters.map((parameter) => [parameter, input(`${id}-${parameter.name}`, parameter)]);
  const grid = element("div", { className: "fields" });
  for (const [parameter, field] of fields) {
    grid.append(element("label", { htmlFor: field.id, textContent: parameter.name }), field);
  }
  const output = element("pre", { hidden: true, tabIndex: 0 });
  output.setAttribute("aria-label", "The answer");
  const send = element("button", { type: "submit", textContent: "Send" });
  const stop = element("button", { type: "button", textContent: "Stop", disabled: true });
  const form = element("form", {}, grid, ...(verb === "get" ? [send, stop] : []), output);
  let running = null;

  function show() {
    const values = valuesOf(fields);
    const headers = headersOf(parameters, values, false);
    const body = operation.requestBody ? "{}" : "";
    curl.textContent = curlOf(verb, streams, addressOf(path, parameters, values), headers, body);
  }

  form.addEventListener("input", show);
  document.getElementById("token").addEventListener("input", show);
  stop.addEventListener("click", () => running?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (verb !== "get" || running) return;
    const values = valuesOf(fields);
    running = new AbortController();
    output.hidden = false;
    send.disabled = true;
    stop.disabled = false;
    const headers = headersOf(parameters, values, true);
    await run(addressOf(path, parameters, values), headers, output, running.signal);
    running = null;
    send.disabled = false;
    stop.disabled = true;
  });
  show();
  if (verb !== "get" && !fields.length) return null;
  const title = verb === "get" ? "Try it" : "Fill in the parameters";
  return element("details", {}, element("summary", { textContent: title }), form);
}

function listed(entries) {
  const list = element("dl");
  for (const [name, note, schema, text] of entries) {
    const term = element("dt", {}, element("code", { textContent: name }), " ", kind(schema));
    if (note) term.append(element("span", { className: "quiet", textContent: ` (${note})` }));
    list.append(term, prose(text, element("dd")));
  }
  return list;
}

function answers(operation) {
  const made = element("div");
  for (const [type, content] of Object.entries(operation.responses["200"].content)) {
    const line = element("p", {}, element("code", { textContent: type }));
    if (!content["x-events"]) line.append(" ", kind(content.schema));
    made.append(line);
    if (content["x-events"]) {
      const events = Object.entries(content["x-events"]);
      made.append(listed(events.map(([name, schema]) => [name, "", schema, schema.description])));
    }
  }
  const errors = Object.entries(operation.responses).filter(([status]) => status !== "200");
  const list = element("ul");
  for (const [status, response] of errors) {
    list.append(element("li", {}, element("code", { textContent: status }), ` ${response.description}`));
  }
  const title = element("summary", { textContent: "Errors" });
  made.append(element("details", {}, title, list));
  return made;
}

function call(verb, path, operation) {
  const id = `call-${operation.operationId}`;
  const section = element("section", { id });
  const name = element("span", { className: `verb ${verb}`, textContent: verb.toUpperCase() });
  section.append(element("h2", {}, name, element("code", { textContent: path })));
  section.append(prose(operation.description, element("div")));
  const rights = element("p", { className: "quiet" });
  words(`\`${operation.operationId}\` of the contract. Needs the right \`${operation["x-right"]}\`.`, rights);
  section.append(rights);
  const curl = element("code");
  section.append(element("h3", { textContent: "Example" }), element("pre", { tabIndex: 0 }, curl));
  const form = trying(id, verb, path, operation, curl);
  if (form) section.append(form);
  if (operation.parameters) {
    const entries = operation.parameters.map((each) => {
      const note = [each.in === "query" ? "" : each.in, each.required ? "required" : ""];
      return [each.name, note.filter(Boolean).join(", "), each.schema, each.description];
    });
    const title = element("summary", { textContent: `Parameters (${entries.length})` });
    section.append(element("details", { open: true }, title, listed(entries)));
  }
  if (operation.requestBody) {
    const [[type, content]] = Object.entries(operation.requestBody.content);
    section.append(element("h3", { textContent: "Body" }));
    section.append(element("p", {}, element("code", { textContent: type }), " ", kind(content.schema), ", optional"));
  }
  section.append(element("h3", { textContent: "Answer" }), answers(operation));
  return section;
}

function schemaSection(name, schema) {
  const section = element("section", { id: `schema-${name}` });
  section.append(element("h2", {}, element("code", { textContent: name })));
  prose(schema.description, section);
  if (schema.properties) {
    const fields = Object.entries(schema.properties);
    section.append(listed(fields.map(([field, one]) => [field, "", one, one.description])));
  } else section.append(element("p", {}, kind(schema)));
  return section;
}

async function main() {
  const response = await fetch(new URL("openapi.json", new URL(".", document.baseURI)));
  if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
  const api = await response.json();
  const main = document.getElementById("calls");
  const contents = document.getElementById("contents");
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}: the HTTP API`;
  main.append(prose(api.info.description, element("section")));
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [verb, operation] of Object.entries(operations)) {
      const section = main.appendChild(call(verb, path, operation));
      const link = element("a", { href: `#${section.id}`, textContent: operation.operationId });
      contents.append(element("li", {}, link));
    }
  }
  const title = element("h2", { id: "schemas", textContent: "Messages" });
  main.append(title);
  contents.append(element("li", {}, element("a", { href: "#schemas", textContent: "Messages" })));
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    main.append(schemaSection(name, schema));
  }
  state.remove();
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

main().catch((error) => {
  state.textContent = `The page cannot be shown: ${error.message}`;
  state.className = "wrong";
});
