// Prices and signals come over one WebSocket; everything else is asked for over REST.

import { board } from "/static/alerts.js";
import { $, element, shortTime } from "/static/dom.js";
import * as push from "/static/push.js";

const POINTS = 120;               // of a sparkline
const ASK_NOTIFICATIONS_MS = 3000; // browsers can't set the header that the notification room wants, so the page asks
const ASK_SKILLS_MS = 300_000;
const ASK_SOON_MS = 2000;         // the rooms behind the door are still starting, or training

const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 2, signDisplay: "exceptZero" });

// Account

const account = JSON.parse(sessionStorage.getItem("account") ?? "null") ?? { token: "", email: "" };

async function ask(method, path, body) {
  const headers = account.token ? { Authorization: `Bearer ${account.token}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (answer.status === 204) return null;
  const found = await answer.json();
  if (answer.ok) return found;
  if (answer.status === 401 && account.token) leave();
  throw new Error(found.errors?.length ? found.errors.map((each) => `${each.loc}: ${each.msg}`).join("; ") : found.detail);
}

async function attempt(form, work) {
  const problem = form.querySelector(".problem");
  problem.textContent = "";
  try {
    await work();
  } catch (error) {
    problem.textContent = error.message;
  }
}

function enter(token, email) {
  Object.assign(account, { token, email });
  sessionStorage.setItem("account", JSON.stringify(account));
  showAccount();
}

function leave() {
  sessionStorage.removeItem("account");
  Object.assign(account, { token: "", email: "" });
  alerts.show([]);
  $("notifications").replaceChildren();
  showAccount();
}

function showAccount() {
  $("outside").hidden = Boolean(account.token);
  $("inside").hidden = $("own").hidden = !account.token;
  $("who").textContent = account.email;
  if (account.token) {
    showPush();
    refreshRules();
    refreshNotifications();
  }
}

$("account").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const { name, email, password } = Object.fromEntries(new FormData(form));
  attempt(form, async () => {
    const made = event.submitter.value === "register"
      ? await ask("POST", "/api/users/register", { name: name || email, email, password })
      : await ask("POST", "/api/users/login", { email, password });
    form.reset();
    enter(made.token, email);
  });
});
$("leave").addEventListener("click", () => ask("POST", "/api/v1/logout").catch(() => null).then(leave));

const showPush = push.offer($("push"), account, ask, (work) => attempt($("alert"), work));

// Alerts and notifications

$("alert").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const { symbol, type, threshold, trigger } = Object.fromEntries(new FormData(form));
  attempt(form, async () => {
    const conditions = [{ type, threshold: Number(threshold) }];
    await ask("POST", "/api/v1/alerts", { symbol, conditions, trigger, channels: push.channels(account.email) });
    form.threshold.value = "";
    await refreshRules();
  });
});

const alerts = board($("rules"), $("own-title"), ask, (symbol) => rows.get(symbol)?.seen ?? "");

async function refreshRules() {
  try {
    const { items } = await ask("GET", "/api/v1/alerts?limit=1000");
    alerts.show(items.reverse());
  } catch (error) {
    console.warn("alerts:", error.message);
  }
}

let unread = "";

async function refreshNotifications() {
  try {
    const { items } = await ask("GET", "/api/v1/notifications?unread=true");
    const ids = items.map((each) => each.id).join();
    if (ids === unread && $("notifications").childElementCount === items.length) return;
    unread = ids;
    $("notifications").replaceChildren(...items.reverse().map(notification));
    await refreshRules();
  } catch (error) {
    console.warn("notifications:", error.message);
  }
}

function notification(notice) {
  const item = element("li", "unread");
  const read = element("button", "second", "Read");
  read.addEventListener("click", () => attempt($("alert"), async () => {
    await ask("POST", `/api/v1/notifications/${notice.id}/read`);
    await refreshNotifications();
  }));
  item.append(element("span", "", notice.message ?? notice.event.replaceAll("_", " ")), read);
  return item;
}

setInterval(async () => {
  if (!account.token || document.hidden) return;
  await refreshNotifications();
  if (alerts.restless()) await refreshRules();
  await alerts.look();
}, ASK_NOTIFICATIONS_MS);

// Prices: a message changes a row's state, the next animation frame draws the rows that changed

const rows = new Map();
const changed = new Set();

function row(symbol) {
  if (!rows.has(symbol)) {
    const made = { symbol, points: [], ...rowCells(symbol) };
    rows.set(symbol, made);
    showSkill(made);
    const behind = [...rows.values()].filter((each) => each.symbol > symbol).sort((a, b) => (a.symbol < b.symbol ? -1 : 1));
    $("prices").insertBefore(made.line, behind[0]?.line ?? null);
    $("waiting").hidden = true;
  }
  return rows.get(symbol);
}

function rowCells(symbol) {
  const line = element("tr");
  const name = element("button", "symbol", symbol);
  name.addEventListener("click", () => showForecast(symbol));
  const cells = {
    price: element("td", "number price"),
    move: element("td", "number"),
    chart: document.createElement("canvas"),
    badge: element("span", "quiet", "none yet"),
    right: element("td", "number quiet"),
    baseline: element("td", "number quiet"),
    time: element("td", "quiet"),
  };
  const [first, chart, badge] = [element("td"), element("td"), element("td")];
  first.append(name);
  chart.append(cells.chart);
  badge.append(cells.badge);
  line.append(first, cells.price, cells.move, chart, badge, cells.right, cells.baseline, cells.time);
  return { line, ...cells };
}

function take(message) {
  const at = row(message.symbol);
  at.seen = message.timestamp;
  if (message.type === "stock_price_update") {
    at.before = at.points.at(-1) ?? message.price;
    at.points.push(message.price);
    if (at.points.length > POINTS) at.points.shift();
  } else if (message.type === "prediction_update") {
    at.prediction = message.prediction;
  }
  if (!changed.size) requestAnimationFrame(drawChanged);
  changed.add(at);
}

function drawChanged() {
  changed.forEach(draw);
  changed.clear();
}

function draw(at) {
  const last = at.points.at(-1);
  if (last !== undefined) {
    const move = last / at.points[0] - 1;
    at.price.textContent = money.format(last);
    at.move.textContent = percent.format(move);
    at.move.className = `number ${move < 0 ? "down" : move > 0 ? "up" : ""}`;
    at.line.className = last > at.before ? "risen" : last < at.before ? "fallen" : "";
    drawChart(at.chart, at.points, getComputedStyle(at.move).color);
  }
  if (at.prediction) {
    at.badge.textContent = at.prediction;
    at.badge.className = `badge ${at.prediction}`;
  }
  at.time.textContent = shortTime(at.seen);
}

function drawChart(canvas, points, colour) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  const [low, high] = [Math.min(...points), Math.max(...points)];
  const x = (index) => (index / Math.max(points.length - 1, 1)) * (width - 2 * scale) + scale;
  const y = (price) => height - 2 * scale - ((price - low) / (high - low || 1)) * (height - 4 * scale);
  pen.beginPath();
  points.forEach((price, index) => pen.lineTo(x(index), y(price)));
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5 * scale;
  pen.lineJoin = "round";
  pen.stroke();
}

// How often the model of each symbol was right about the direction, beside a guess that it always rises

const skills = new Map();
const percentOf = (share) => `${(100 * share).toFixed(1)} %`;

function showSkill(at) {
  const skill = skills.get(at.symbol);
  at.right.textContent = skill ? percentOf(skill.hit_rate) : "";
  at.baseline.textContent = skill ? percentOf(skill.baseline_hit_rate) : "";
}

async function refreshSkills() {
  try {
    const { items } = await ask("GET", "/api/v1/models");
    items.forEach((model) => model.skill && skills.set(model.ticker, model.skill));
    rows.forEach(showSkill);
    $("skill").hidden = !skills.size;
  } catch (error) {
    console.warn("models:", error.message);
  }
  setTimeout(refreshSkills, skills.size ? ASK_SKILLS_MS : ASK_SOON_MS);
}

function skillInWords(model, skill) {
  const [low, high] = skill.hit_rate_interval;
  return `${model} was right about the direction on ${percentOf(skill.hit_rate)} (${percentOf(low)} to ${percentOf(high)}) of `
    + `${skill.count} days that it had not seen; "always up" on ${percentOf(skill.baseline_hit_rate)}. `
    + `Mean error of the log return ${skill.mae.toFixed(4)}, of "no change" ${skill.baseline_mae.toFixed(4)}.`;
}

async function showForecast(symbol) {
  $("forecast").hidden = false;
  $("forecast-title").textContent = `${symbol}: next trading day's close`;
  $("forecast-skill").textContent = "";
  try {
    const { current_price: price, prediction } = await ask("GET", `/predict/${encodeURIComponent(symbol)}`);
    $("forecast-text").textContent = `${prediction.direction}, ${money.format(price)} → ${money.format(prediction.price_target)}, confidence ${prediction.confidence.toFixed(2)} (0.50 = no evidence)`;
    const { items: [model] } = await ask("GET", `/api/v1/models?ticker=${encodeURIComponent(symbol)}`);
    if (model?.skill) $("forecast-skill").textContent = skillInWords(model.model_type, model.skill);
  } catch (error) {
    $("forecast-text").textContent = error.message;
  }
}

// The socket: comes back by itself with full jitter, unless a code of 44xx says that it need not try

let attempts = 0;

function connection(words, className = "") {
  $("connection").textContent = words;
  $("connection").className = `state ${className}`;
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/websocket/stocks/all`);
  socket.addEventListener("open", () => {
    attempts = 0;
    connection("live", "live");
  });
  socket.addEventListener("message", (event) => take(JSON.parse(event.data)));
  socket.addEventListener("close", (event) => {
    if (event.code >= 4400 && event.code < 4500) {
      connection(`refused (${event.reason || event.code})`, "lost");
      return;
    }
    connection("reconnecting", "lost");
    setTimeout(connect, Math.random() * Math.min(30_000, 500 * 2 ** attempts++));
  });
}

const KINDS = { replay: "replayed past prices, not the market of today", simulated: "simulated prices, made up" };

async function showSymbols() {
  try {
    const { items } = await ask("GET", "/tickers");
    $("alert").symbol.replaceChildren(...items.map((each) => new Option(each.ticker)));
    const { items: bars } = await ask("GET", `/api/stocks/history?limit=1&symbol=${encodeURIComponent(items[0]?.ticker ?? "")}`);
    $("source").textContent = KINDS[bars[0]?.source] ?? bars[0]?.source ?? "";
  } catch {
    setTimeout(showSymbols, ASK_SOON_MS);
  }
}

connect();
showSymbols();
refreshSkills();
showAccount();
