// Runs push.js and push-worker.js in a browser made by hand; prints what they did as JSON.
import { readFile } from "node:fs/promises";
import vm from "node:vm";

const folder = process.argv[2];
const did = [];
const later = (name, value) => async (...given) => (did.push([name, ...given]), value);

// the page
let permission = "default";
let subscription = null;
let refuse = true; // the first subscription fails: the browser has one with another key
const made = { endpoint: "https://push.example.org/x", keys: { p256dh: "p", auth: "a" }, unsubscribe: later("unsubscribe", true) };
const pushManager = {
  subscribe: async (options) => {
    did.push(["subscribe", options]);
    if (refuse) { refuse = false; throw new Error("another key"); }
    return (subscription = made);
  },
  getSubscription: async () => subscription ?? made,
};
const store = new Map();
const globals = {
  navigator: { serviceWorker: { register: later("register"), ready: Promise.resolve({ pushManager }), getRegistration: async () => ({ pushManager }) } },
  Notification: { get permission() { return permission; }, requestPermission: async () => (permission = "granted") },
  localStorage: { getItem: (key) => store.get(key) ?? null, setItem: (key, value) => store.set(key, value), removeItem: (key) => store.delete(key) },
  window: { PushManager: class {}, Notification: class {} },
};
for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true });

const source = await readFile(`${folder}/push.js`, "utf8");
const push = await import(`data:text/javascript,${encodeURIComponent(source)}`);
let click;
const button = { hidden: true, textContent: "", addEventListener: (_, listener) => { click = listener; } };
const ask = async (method, path, body) => {
  did.push([method, path, ...(body ? [JSON.parse(JSON.stringify(body))] : [])]);
  return path === "/api/v1/push-key" ? { public_key: "BKey" } : { id: "c1" };
};
const account = { email: "ada@example.org" };
let working;
const show = push.offer(button, account, ask, (work) => { working = work(); });
show();
const states = [[button.hidden, button.textContent, push.channels(account.email)]];
for (let n = 0; n < 2; n += 1) {
  click();
  await working;
  states.push([button.hidden, button.textContent, push.channels(account.email), push.channels("eve@example.org")]);
}

// the worker
const listeners = {};
const shown = [];
const self = {
  addEventListener: (name, listener) => { listeners[name] = listener; },
  registration: { showNotification: async (title, options) => shown.push([title, options]) },
  clients: { matchAll: async () => [], openWindow: async (path) => shown.push(["open", path]) },
};
vm.runInNewContext(await readFile(`${folder}/push-worker.js`, "utf8"), { self });
for (const text of [{ id: "n1", title: "AAPL", body: "AAPL" }, { id: "d1", title: "2 alerts", body: "a\nb" }]) {
  const waits = [];
  listeners.push({ data: { json: () => text }, waitUntil: (wait) => waits.push(wait) });
  await Promise.all(waits);
}
const waits = [];
listeners.notificationclick({ notification: { close: () => shown.push(["close"]) }, waitUntil: (wait) => waits.push(wait) });
await Promise.all(waits);
console.log(JSON.stringify({ did, states, shown }));
