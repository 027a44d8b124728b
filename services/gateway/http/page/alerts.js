// The list of one's alerts: each can be changed, paused, snoozed, deleted, and asked why it has not fired.

import { element, shortTime } from "/static/dom.js";
import { NUMBERS, TRIGGERS, explained, isSnoozed, status, title } from "/static/alert-words.js";

// seconds of the feed's clock
const SNOOZES = { 3600: "for an hour", 86400: "for a day", 604800: "for a week" };
const PAUSES = { active: ["Pause", true], pending: ["Pause", true], paused: ["Resume", false], fired: ["Arm again", false] };

function button(text, work, className = "second") {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", work);
  return made;
}

function field(label, input) {
  const made = element("label", "", label);
  made.append(input);
  return made;
}

function choice(options, chosen) {
  const made = element("select");
  for (const [value, text] of options) {
    const option = element("option", "", text);
    option.value = value;
    made.append(option);
  }
  made.value = chosen;
  return made;
}

function number(value) {
  const made = element("input");
  Object.assign(made, { type: "number", step: "any", required: true, value: String(value) });
  return made;
}

// What is to be different, as PATCH takes it; read(): null where nothing is
function fields(alert, snoozed) {
  const numbers = alert.conditions.map((condition) => Object.keys(NUMBERS)
    .filter((name) => condition[name] !== undefined)
    .map((name) => ({ name, input: number(condition[name]) })));
  const trigger = choice(Object.entries(TRIGGERS), alert.trigger);
  const kept = snoozed ? `until ${shortTime(alert.snoozed_until)}` : "no";
  const snooze = choice([["", kept], ...(snoozed ? [["0", "no longer"]] : []), ...Object.entries(SNOOZES)], "");
  const read = () => {
    const change = {};
    if (numbers.flat().some(({ name, input }, at) => input.value !== input.defaultValue)) {
      change.conditions = alert.conditions.map((condition, at) => ({
        ...condition, ...Object.fromEntries(numbers[at].map(({ name, input }) => [name, Number(input.value)])),
      }));
    }
    if (trigger.value !== alert.trigger) change.trigger = trigger.value;
    if (snooze.value === "0") change.snoozed_until = null;
    else if (snooze.value) change.snooze_s = Number(snooze.value);
    return Object.keys(change).length ? change : null;
  };
  const labels = numbers.flat().map(({ name, input }) => field(NUMBERS[name], input));
  return { labels: [...labels, field("Fires", trigger), field("Snoozed", snooze)], read };
}

// One alert. gone(card): it was deleted
function card(first, ask, clock, gone) {
  let alert = first;
  let form = null;
  const path = `/api/v1/alerts/${alert.id}`;
  const item = element("li");
  const [name, state] = [element("strong"), element("span", "quiet")];
  const [line, actions] = [element("p", "line"), element("p", "actions")];
  const why = element("ul", "why quiet");
  const problem = element("p", "problem");
  problem.setAttribute("role", "alert");
  why.id = `why-${alert.id}`;
  why.hidden = true;

  const attempt = async (work) => {
    problem.textContent = "";
    try {
      await work();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  const change = (body) => attempt(async () => update(await ask("PATCH", path, body)));

  const edit = button("Edit", () => (form ? close() : open()));
  const pause = button("", () => change({ paused: PAUSES[alert.status][1] }));
  const explain = button("Why not?", () => attempt(async () => {
    why.hidden = !why.hidden;
    explain.setAttribute("aria-expanded", String(!why.hidden));
    await look();
  }));
  const remove = button("Delete", () => attempt(async () => {
    await ask("DELETE", path);
    gone(made);
  }));
  edit.setAttribute("aria-expanded", "false");
  explain.setAttribute("aria-expanded", "false");
  explain.setAttribute("aria-controls", why.id);

  function open() {
    const { labels, read } = fields(alert, isSnoozed(alert, clock(alert.symbol)));
    const buttons = element("p", "actions");
    buttons.append(element("button", "", "Save"), button("Cancel", close));
    form = element("form", "edit");
    form.append(...labels, buttons);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(async () => {
        const wish = read();
        if (wish) update(await ask("PATCH", path, wish));
        close();
      });
    });
    actions.after(form);
    edit.setAttribute("aria-expanded", "true");
    form.querySelector("input, select").focus();
  }

  function close() {
    form.remove();
    form = null;
    problem.textContent = "";
    edit.setAttribute("aria-expanded", "false");
    edit.focus();
  }

  async function look() {
    if (why.hidden) return;
    const told = await ask("GET", `${path}/explain`);
    why.replaceChildren(...explained(alert, told).map((sentence) => element("li", "", sentence)));
  }

  function update(newer) {
    alert = newer;
    name.textContent = title(alert);
    state.textContent = status(alert, clock(alert.symbol));
    item.className = alert.status;
    pause.hidden = !(alert.status in PAUSES);
    pause.textContent = PAUSES[alert.status]?.[0] ?? "";
    for (const each of [edit, pause, explain, remove]) each.setAttribute("aria-label", `${each.textContent} ${title(alert)}`);
  }

  line.append(name, state);
  actions.append(edit, pause, explain, remove);
  item.append(line, actions, why, problem);
  update(alert);
  const restless = () => alert.status === "pending" || isSnoozed(alert, clock(alert.symbol));
  const made = { id: alert.id, item, edit, update, restless, look: () => attempt(look) };
  return made;
}

// heading: where the focus goes when the last one is deleted. clock(symbol): the last time seen of it
export function board(list, heading, ask, clock) {
  let cards = [];

  function gone(card) {
    const at = cards.indexOf(card);
    cards = cards.filter((each) => each !== card);
    card.item.remove();
    (cards[at]?.edit ?? cards[at - 1]?.edit ?? heading).focus();
  }

  return {
    // Cards stay where they are, with their open forms, and what is new comes between them
    show(alerts) {
      const known = new Map(cards.map((each) => [each.id, each]));
      cards = alerts.map((alert) => {
        const old = known.get(alert.id);
        known.delete(alert.id);
        old?.update(alert);
        return old ?? card(alert, ask, clock, gone);
      });
      known.forEach((each) => each.item.remove());
      cards.forEach(({ item }, at) => {
        if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
      });
    },
    // May one of them change without a notification?
    restless: () => cards.some((each) => each.restless()),
    look: () => Promise.all(cards.map((each) => each.look())),
  };
}
