// Runs alerts.js in a page made by hand, as a person would; prints what it asked for and showed as JSON.
import { readFile } from "node:fs/promises";

const [folder, explained] = process.argv.slice(2);

class Made {
  constructor(tag) { Object.assign(this, { tag, children: [], listeners: {}, attributes: {}, text: "", className: "", hidden: false }); }
  get textContent() { return this.text + this.children.map((each) => each.textContent).join("|"); }
  set textContent(text) { this.text = text; this.children = []; }
  set value(value) { this.held = value; this.defaultValue ??= value; }
  get value() { return this.held ?? ""; }
  append(...more) { more.forEach((each) => this.insertBefore(each, null)); }
  insertBefore(one, other) {
    one.remove();
    one.parent = this;
    this.children.splice(other ? this.children.indexOf(other) : this.children.length, 0, one);
  }
  after(one) { this.parent.insertBefore(one, this.parent.children[this.parent.children.indexOf(this) + 1]); }
  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((each) => each !== this);
    this.parent = null;
  }
  replaceChildren(...others) { this.children = []; this.append(...others); }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  all() { return [this, ...this.children.flatMap((each) => each.all())]; }
  querySelector(tags) { return this.all().find((each) => tags.split(", ").includes(each.tag)); }
  focus() { document.activeElement = this; }
}

globalThis.document = { createElement: (tag) => new Made(tag), activeElement: null };

const url = (source) => `data:text/javascript,${encodeURIComponent(source)}`;
const read = (name) => readFile(`${folder}/${name}`, "utf8");
const dom = url(await read("dom.js"));
const words = url((await read("alert-words.js")).replace('"/static/dom.js"', `"${dom}"`));
const source = (await read("alerts.js")).replace('"/static/dom.js"', `"${dom}"`).replace('"/static/alert-words.js"', `"${words}"`);
const { board } = await import(url(source));

const alert = (id, change = {}) => ({
  id, symbol: "AAPL", status: "active", trigger: "once", snoozed_until: null,
  conditions: [{ type: "crossing_up", threshold: 150 }], ...change,
});
const did = [];
let stored = alert("a1");
let refuses = "";
const ask = async (method, path, body) => {
  did.push([method, path, ...(body ? [body] : [])]);
  if (refuses) throw new Error(refuses);
  if (method === "PATCH") return (stored = { ...stored, status: body.paused ? "paused" : "active", ...body });
  return method === "GET" ? JSON.parse(explained) : null;
};

const [list, heading] = [new Made("ul"), new Made("h2")];
const alerts = board(list, heading, ask, () => "2012-06-01T20:00:00Z");
alerts.show([alert("a2", { conditions: [{ type: "moving_down", percent: 5, window_s: 60 }] }), stored]);
const card = () => list.children[1];
const press = async (name) => {
  await card().all().find((each) => each.tag === "button" && each.textContent === name).listeners.click();
  await new Promise(setImmediate);
};
const submit = async () => {
  card().querySelector("form").listeners.submit({ preventDefault() {} });
  await new Promise(setImmediate);
};
const line = () => card().children[0].textContent;
const shown = { lines: [list.children[0].children[0].textContent, line()] };

await press("Why not?");
shown.why = card().all().find((each) => each.className === "why quiet").children.map((each) => each.textContent);
await press("Edit");
shown.focused = document.activeElement.tag;
document.activeElement.value = "160.5";
alerts.show([alert("a2"), stored]); // meanwhile the list is asked for again
shown.kept = card().querySelector("input").value;
await submit();
shown.changed = line();
shown.after = [document.activeElement.textContent, document.activeElement.attributes["aria-expanded"], !card().querySelector("form")];
await press("Edit");
card().all().filter((each) => each.tag === "select")[1].value = "86400";
await submit();
await press("Edit");
await submit(); // nothing is different: nothing is asked for
await press("Pause");
shown.paused = line();
await press("Resume");
shown.label = card().all().find((each) => each.textContent === "Pause").attributes["aria-label"];
refuses = "there is no such alert";
await press("Delete");
shown.problem = card().all().find((each) => each.className === "problem").textContent;
refuses = "";
await press("Delete");
shown.left = list.children.length;
shown.next = document.activeElement.attributes["aria-label"];
console.log(JSON.stringify({ did, shown }));
