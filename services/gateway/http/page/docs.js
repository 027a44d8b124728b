// Shows what /openapi.json and /asyncapi say, and asks what is asked here. Text goes into the page as text only.

const FRAMES_SHOWN = 50;

const $ = (id) => document.getElementById(id);

function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

// Text with `code` in it
function prose(tag, className, text) {
  return element(tag, className, ...text.split("`").map((each, index) => (index % 2 ? element("code", "", each) : each)));
}

const sentence = (text) => text.split(/(?<=\.)\s/)[0];

// Schemas, written as types

function resolve(whole, node) {
  while (node?.$ref) {
    const found = node.$ref.slice(2).split("/").reduce((at, key) => at[key.replace(/~1/g, "/").replace(/~0/g, "~")], whole);
    node = { ...found, ...(node.description ? { description: node.description } : {}) };
  }
  return node;
}

const SIMPLE = { integer: "integer", number: "number", string: "string", boolean: "boolean", null: "null" };

function typed(whole, schema, indent = "", depth = 0) {
  const found = resolve(whole, schema);
  if (found === undefined || found === true) return "anything";
  if (depth > 8) return "…";
  const inner = (part) => typed(whole, part, indent, depth + 1);
  if ("const" in found) return JSON.stringify(found.const);
  if (found.enum) return found.enum.map((each) => JSON.stringify(each)).join(" | ");
  const choices = found.anyOf ?? found.oneOf;
  if (choices) return [...new Set(choices.map(inner))].join(" | ");
  if (found.type === "array") return list(whole, found, indent, depth);
  if (found.properties) return object(whole, found, indent, depth);
  if (found.type === "object") return found.additionalProperties ? `{ [name]: ${inner(found.additionalProperties)} }` : "{ … }";
  return SIMPLE[found.type] ?? "anything";
}

function list(whole, schema, indent, depth) {
  const fixed = schema.prefixItems ?? (Array.isArray(schema.items) ? schema.items : null);
  if (fixed) return `[${fixed.map((each) => typed(whole, each, indent, depth + 1)).join(", ")}]`;
  const item = typed(whole, schema.items, indent, depth + 1);
  return item.includes(" | ") ? `(${item})[]` : `${item}[]`;
}

function object(whole, schema, indent, depth) {
  const deeper = `${indent}  `;
  const lines = Object.entries(schema.properties).map(([name, part]) => {
    const optional = schema.required?.includes(name) ? "" : "?";
    const note = limits(resolve(whole, part));
    return `${deeper}${name}${optional}: ${typed(whole, part, deeper, depth + 1)}${note ? `  // ${note}` : ""}`;
  });
  return `{\n${lines.join("\n")}\n${indent}}`;
}

function limits(schema) {
  const of = schema.anyOf?.find((each) => each.type !== "null") ?? schema;
  const range = (low, high, unit) => {
    if (low === undefined && high === undefined) return "";
    if (low === undefined) return `at most ${high}${unit}`;
    return high === undefined ? `at least ${low}${unit}` : `${low} to ${high}${unit}`;
  };
  return [
    schema.description,
    range(of.minLength, of.maxLength, " characters"),
    range(of.minItems, of.maxItems, " items"),
    of.exclusiveMinimum === undefined ? range(of.minimum, of.maximum, "") : `above ${of.exclusiveMinimum}`,
    schema.default === undefined || schema.default === null || schema.default === "" ? "" : `default ${JSON.stringify(schema.default)}`,
  ].filter(Boolean).join(", ");
}

// A type with its comments set apart
function typeBlock(whole, schema) {
  const block = element("pre");
  typed(whole, schema).split("\n").forEach((line, index) => {
    const [type, note] = line.split("  // ", 2);
    block.append(index ? "\n" : "", type);
    if (note) block.append(element("i", "", `  ${note}`));
  });
  return block;
}

function part(title, note, ...children) {
  const made = element("details", "part", element("summary", "", element("code", "", title), " ", prose("span", "", note)));
  made.append(...children);
  return made;
}

// Asking

const token = $("token");
token.value = JSON.parse(sessionStorage.getItem("account") ?? "null")?.token ?? "";

function field(label, note, input) {
  return element("label", "", element("span", "", element("b", "", label), " ", prose("span", "", note)), input);
}

function inputFor(parameter) {
  const choices = parameter.schema.enum ?? parameter.schema.anyOf?.flatMap((each) => each.enum ?? []);
  const input = element(choices?.length ? "select" : "input");
  if (choices?.length) input.append(new Option("", ""), ...choices.map((each) => new Option(each)));
  else {
    input.value = parameter.required ? parameter.example ?? "" : "";
    input.placeholder = String(parameter.example ?? (parameter.schema.default || ""));
  }
  input.required = parameter.required;
  return input;
}

function request(path, method, parameters, body) {
  const headers = token.value.trim() ? { Authorization: `Bearer ${token.value.trim()}` } : {};
  const query = new URLSearchParams();
  let url = path;
  for (const { name, in: place, input } of parameters) {
    if (place === "path") url = url.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value && place === "query") query.set(name, input.value);
    else if (input.value) headers[name] = input.value;
  }
  if (body?.text.value.trim()) headers["Content-Type"] = body.kind;
  return [`${url}${query.size ? `?${query}` : ""}`, { method, headers, body: body?.text.value.trim() || undefined }];
}

async function show(answer, into) {
  const kind = answer.headers.get("content-type") ?? "";
  const status = element("span", `status ${answer.ok ? "fine" : "wrong"}`, `${answer.status} ${answer.statusText}`);
  const told = ["x-response-time", "location", "retry-after", "deprecation"].filter((name) => answer.headers.has(name));
  const headers = told.map((name) => `${name}: ${answer.headers.get(name)}`).join("   ");
  const body = element("pre");
  into.replaceChildren(status, element("span", "quiet", `   ${headers}`), body);
  if (kind.startsWith("text/event-stream")) return follow(answer, body);
  const text = await answer.text();
  const found = kind.includes("json") && text ? JSON.parse(text) : null;
  body.textContent = found ? JSON.stringify(found, null, 2) : text;
  body.hidden = !text;
  if (found?.access_token) token.value = found.access_token; // who logs in here goes on as that account
}

// A stream has no end: the newest on top, until it is stopped
async function follow(answer, into) {
  for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return;
    prependBounded(into, value);
  }
}

function prependBounded(into, text) {
  into.prepend(text);
  while (into.childNodes.length > FRAMES_SHOWN) into.lastChild.remove();
}

function asking(whole, path, method, operation) {
  const parameters = operation.parameters.map((each) => ({ ...each, input: inputFor(each) }));
  const [kind, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const text = element("textarea", "wire");
  text.spellcheck = false;
  text.value = media?.example ? JSON.stringify(media.example, null, 2) : "";
  text.rows = Math.min(20, text.value.split("\n").length + 1);
  const body = kind ? { kind, text } : null;
  const reply = element("div", "reply");
  const form = element("form");
  if (parameters.length) {
    form.append(element("div", "fields", ...parameters.map((each) => field(each.name, each.description ?? "", each.input))));
  }
  if (body) form.append(field("Body", kind, text), part("Its type", "", typeBlock(whole, media.schema)));
  const button = element("button", "", "Send");
  form.append(element("p", "actions", button, element("span", "quiet", operation.security.length ? "with the token above, where there is one" : "")));
  let asked = null;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (asked) return asked.abort();
    asked = new AbortController();
    button.textContent = "Stop";
    reply.replaceChildren(element("span", "quiet", "asking"));
    const [url, options] = request(path, method, parameters, body);
    try {
      await show(await fetch(url, { ...options, signal: asked.signal }), reply);
    } catch (error) {
      if (!asked.signal.aborted) reply.replaceChildren(element("span", "status wrong", error.message));
    }
    asked = null;
    button.textContent = "Send";
  });
  return [form, reply];
}

function answers(whole, operation) {
  return Object.entries(operation.responses).map(([status, found]) => {
    const answer = resolve(whole, found);
    const [kind, media] = Object.entries(answer.content ?? {})[0] ?? [];
    const example = media?.example ? [element("pre", "", JSON.stringify(media.example, null, 2))] : [];
    if (!kind) return element("p", "", element("code", "", status), " ", answer.description);
    return part(status, answer.description, element("span", "quiet", kind), typeBlock(whole, media.schema), ...example);
  });
}

function operationEntry(whole, path, method, operation) {
  const made = entry(method.toUpperCase(), method, path, operation.summary, () => [
    prose("p", "describes", operation.description),
    ...asking(whole, path, method.toUpperCase(), operation),
    element("div", "", element("h3", "", "Answers"), ...answers(whole, operation)),
  ]);
  made.id = operation.operationId;
  if (operation.security.length === 1) made.querySelector("code").after(element("span", "lock", "token"));
  made.classList.toggle("gone", Boolean(operation.deprecated));
  made.dataset.text = `${method} ${path} ${operation.summary} ${operation.tags}`.toLowerCase();
  return made;
}

// One line that opens; what is inside is made when it is first opened
function entry(verb, className, title, summary, inside) {
  const line = element("summary", "", element("span", `verb ${className}`, verb), element("code", "", title), prose("span", "quiet", summary));
  const made = element("details", "entry", line);
  made.addEventListener("toggle", () => {
    if (made.open && !made.querySelector(".inner")) made.append(element("div", "inner", ...inside()));
  });
  return made;
}

// Rooms and events

function listening(address, parameters) {
  const inputs = Object.keys(parameters ?? {}).map((name) => {
    const input = element("input");
    input.value = name === "symbol" ? "AAPL" : "";
    input.required = true;
    return { name, input };
  });
  const extended = element("select", "", new Option("plain", ""), new Option("extended", "1"));
  const button = element("button", "", "Listen");
  const state = element("span", "quiet");
  const frames = element("pre", "");
  frames.hidden = true;
  const form = element("form", "", element("div", "fields", ...inputs.map((each) => field(each.name, "", each.input)), field("profile", "with a token: extended", extended)), element("p", "actions", button, state));
  let socket = null;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket) return socket.close();
    const url = new URL(inputs.reduce((path, each) => path.replace(`{${each.name}}`, encodeURIComponent(each.input.value)), address), location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const proof = token.value.trim() ? ["tickroom.v1", `bearer.${token.value.trim()}`] : extended.value ? ["tickroom.v1"] : [];
    socket = new WebSocket(url, proof);
    button.textContent = "Stop";
    state.textContent = "connecting";
    frames.hidden = false;
    frames.replaceChildren();
    socket.onopen = () => { state.textContent = "open"; };
    socket.onmessage = ({ data }) => {
      prependBounded(frames, `${data}\n`);
    };
    socket.onclose = ({ code, reason }) => {
      socket = null;
      button.textContent = "Listen";
      state.textContent = `closed: ${code} ${reason}`;
    };
  });
  return [form, frames];
}

function messageParts(whole, channel, operation) {
  return operation.messages.map((reference) => {
    const message = resolve(whole, reference);
    const payload = resolve(whole, message.payload);
    const example = (message.examples ?? []).map((each) => element("pre", "", JSON.stringify(each.payload)));
    const text = payload.description ?? message.description ?? "";
    return part(message.title, sentence(text), ...(sentence(text) === text ? [] : [prose("p", "describes quiet", text)]), ...example, typeBlock(whole, message.payload));
  });
}

const KINDS = { gateway: "room", web: "stream", kafka: "topic" };

function channelEntry(whole, name, channel) {
  const operations = Object.values(whole.operations).filter((each) => each.channel.$ref === `#/channels/${name}`);
  const kind = KINDS[channel.servers[0].$ref.split("/").pop()];
  const made = entry(kind, kind === "topic" ? "hears" : "says", channel.address, sentence(channel.description), () => [
    prose("p", "describes", channel.description),
    ...(kind === "room" ? listening(channel.address, channel.parameters) : []),
    ...operations.map((each) => element("div", "", element("h3", "", each.action === "send" ? "What comes" : "What you may say"), ...messageParts(whole, channel, each))),
  ]);
  made.id = `channel_${name}`;
  made.dataset.text = `${kind} ${channel.address} ${channel.description}`.toLowerCase();
  return made;
}

// The page

function section(id, title, entries) {
  const made = element("section", "", element("h2", "", title), ...entries);
  made.id = id;
  $("content").append(made);
  const link = element("a", "", title);
  link.href = `#${id}`;
  $("topics").append(link);
}

function filter() {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const each of document.querySelectorAll("section")) {
    const entries = [...each.querySelectorAll("details.entry")];
    for (const one of entries) one.hidden = !words.every((word) => one.dataset.text.includes(word));
    each.hidden = entries.every((one) => one.hidden);
  }
}

// To what the address names: a topic, or an entry, which opens
function goto() {
  const target = $(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") target.open = true;
  target?.scrollIntoView();
}

async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function begin() {
  const [rest, events] = await Promise.all([read("/openapi.json"), read("/asyncapi")]);
  $("about").textContent = rest.info.summary;
  $("topics").append(element("h2", "", "Ask"));
  for (const { name } of rest.tags) {
    const entries = Object.entries(rest.paths).flatMap(([path, methods]) =>
      Object.entries(methods).filter(([, each]) => each.tags.includes(name)).map(([method, each]) => operationEntry(rest, path, method, each)));
    section(name, name, entries);
  }
  $("topics").append(element("h2", "", "Listen"));
  const channels = Object.entries(events.channels);
  const isTopic = ([, channel]) => channel.servers[0].$ref.endsWith("/kafka");
  section("rooms", "rooms", channels.filter((each) => !isTopic(each)).map((each) => channelEntry(events, ...each)));
  section("events", "events on Kafka", channels.filter(isTopic).map((each) => channelEntry(events, ...each)));
  $("find").addEventListener("input", filter);
  goto();
  addEventListener("hashchange", goto);
}

begin().catch((error) => { $("about").textContent = error.message; });
