// Rules and their explanations in words.

import { shortTime } from "/static/dom.js";

const exact = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 8 });
const rough = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const price = (value) => exact.format(value);
const move = (c) => `${c.percent === undefined ? price(c.amount) : `${c.percent} %`} within ${c.window_s} s`;

const CONDITIONS = {
  greater_than: (c) => `is above ${price(c.threshold)}`,
  less_than: (c) => `is below ${price(c.threshold)}`,
  crossing: (c) => `crosses ${price(c.threshold)}`,
  crossing_up: (c) => `rises through ${price(c.threshold)}`,
  crossing_down: (c) => `falls through ${price(c.threshold)}`,
  entering_channel: (c) => `comes between ${price(c.lower)} and ${price(c.upper)}`,
  exiting_channel: (c) => `leaves ${price(c.lower)} to ${price(c.upper)}`,
  moving_up: (c) => `rises by ${move(c)}`,
  moving_down: (c) => `falls by ${move(c)}`,
  new_high: (c) => `is above every high of ${c.days} days`,
  new_low: (c) => `is below every low of ${c.days} days`,
  volume_above: (c) => `trades over ${c.times} times the volume of ${c.bars} bars`,
  prediction_changed: (c) => `is predicted anew${c.to ? `, as ${c.to}` : ""}`,
  confidence_above: (c) => `is predicted with confidence above ${c.threshold}`,
  stale: (c) => `has no price for ${c.after_s} s`,
};

// The numbers of a condition that can be changed, as a form names them
export const NUMBERS = {
  threshold: "Threshold", lower: "From", upper: "To", amount: "By", percent: "By percent", window_s: "Within seconds",
  days: "Days", times: "Times", bars: "Bars", after_s: "Seconds",
};

export const TRIGGERS = {
  once: "once", every_time: "every time", once_per_minute: "at most once a minute", once_per_bar: "at most once a bar",
};

export const words = (condition) => (CONDITIONS[condition.type] ?? (() => condition.type.replaceAll("_", " ")))(condition);

export const title = (alert) => `${alert.symbol} ${alert.conditions.map(words).join(" and ")}`;

// now: the last time seen of the rule's symbol, since feeds have clocks of their own
export const isSnoozed = (alert, now) => alert.status === "active" && (alert.snoozed_until ?? "") > now;

export function status(alert, now) {
  const word = isSnoozed(alert, now) ? `snoozed until ${shortTime(alert.snoozed_until)}` : alert.status;
  return `${word}, fires ${TRIGGERS[alert.trigger] ?? alert.trigger}`;
}

const STATES = {
  armed: () => "Armed: it fires as soon as this comes true.",
  latched: () => "Latched: it has fired for this, and waits until that is over.",
  cooling_down: (told) => `Cooling down until ${shortTime(told.cooling_until ?? "")}.`,
  snoozed: (told) => `Snoozed until ${shortTime(told.snoozed_until ?? "")}.`,
  paused: () => "Paused: it looks at nothing until it is resumed.",
  pending: () => "Just set: it counts from the next price on.",
  fired: () => "It has fired, and was to do so once.",
  expired: () => "Its time is over.",
};

function reading(condition, told) {
  const about = `${condition.symbol} ${words(condition)}`;
  if (told.value === null || told.line === null) {
    return `${about}: ${told.holds === null ? "judged as records come" : told.holds ? "true now" : "not true now"}.`;
  }
  const side = told.value > told.line ? "above" : told.value < told.line ? "below" : "at";
  const away = told.distance_pct === null ? "" : ` (${rough.format(Math.abs(told.distance_pct))} %)`;
  const back = told.rearms_at === null ? "" : ` Armed again at ${price(told.rearms_at)}.`;
  const far = told.distance ? `, ${price(Math.abs(told.distance))}${away} away` : "";
  return `${about}: now ${price(told.value)}, ${side} ${price(told.line)}${far}.${back}`;
}

// Why `alert` has not fired: sentences
export function explained(alert, told) {
  const state = (STATES[told.state] ?? (() => told.state))(told);
  const readings = told.conditions.map((each, at) => reading({ symbol: alert.symbol, ...alert.conditions[at] }, each));
  const before = told.previous_price === null ? "" : `, before that ${price(told.previous_price)}`;
  const seen = told.last_price === null
    ? "No price has come yet."
    : `Last price seen: ${price(told.last_price)} at ${shortTime(told.seen_at ?? "")}${before}.`;
  return [state, ...readings, seen];
}
