import assert from "node:assert/strict";
import { test } from "node:test";

import type { MarketMessage, MarketStream } from "../src/index.js";
import { prediction, price, Reading, withDouble, type Double, type Visit } from "./double.js";

/** `seq` of records, the type of anything else. */
const brief = (messages: readonly MarketMessage[]): unknown[] =>
  messages.map((each) => ("seq" in each ? each.seq : each.type === "gap" ? `gap ${each.reason}` : each.type));

const resumed = (symbol: string, recovered: boolean): object => ({ type: "resumed", symbol, recovered });

interface Begun {
  stream: MarketStream;
  reading: Reading<MarketMessage>;
  visit: Visit;
}

/** A stream of AAPL that has seen record 7 and its prediction. */
async function begun(double: Double, maxQueue = 1_000): Promise<Begun> {
  const stream = double.client({ maxQueue }).stream("AAPL");
  const reading = new Reading(stream);
  const visit = await double.visit();
  await visit.greets();
  visit.say(price(7, { snapshot: true }), prediction(7, 3, { snapshot: true }));
  await reading.first(2);
  return { stream, reading, visit };
}

test(
  "one connection for many symbols: the list, the positions, then what comes, also as arrays",
  withDouble(async (double) => {
    const stream = double.client().stream("aapl", "MSFT", { maxPerSecond: 2 });
    const reading = new Reading(stream);
    const visit = await double.visit();
    assert.equal(visit.url, "/websocket/stocks/all?resume=1");
    assert.deepEqual(visit.protocols, ["tickroom.v1"]);
    assert.deepEqual(await visit.hears("set_rate"), { type: "set_rate", max_per_second: 2 });
    assert.deepEqual(await visit.greets(), {});
    assert.deepEqual(visit.said[1]?.["symbols"], ["AAPL", "MSFT"]);
    const said = [price(7, { snapshot: true }), prediction(7, 3), price(4, { symbol: "MSFT" })];
    visit.say(said, { type: "something_new" }, [], price(8));
    assert.deepEqual(await reading.first(4), [...said, price(8)]);
    await stream.close();
    assert.equal(await visit.left(), 1000);
    assert.equal((await reading.whole()).length, 4);
    assert.equal(reading.error, undefined);
    assert.equal(double.visits, 1);
  }),
);

test(
  "without symbols everything comes, until some are named",
  withDouble(async (double) => {
    const stream = double.client().stream();
    const reading = new Reading(stream);
    const visit = await double.visit();
    assert.deepEqual((await visit.hears("resume"))["positions"], {});
    visit.say(price(1, { symbol: "ANY" }));
    assert.deepEqual(brief(await reading.first(1)), [1]);
    stream.subscribe("ibm");
    assert.deepEqual((await visit.hears("subscribe"))["symbols"], ["IBM"]);
    await stream.close();
  }),
);

test(
  "a broken connection is resumed: what was missed comes once and in order",
  withDouble(async (double) => {
    const { stream, reading, visit } = await begun(double);
    visit.say(price(8));
    await reading.first(3);
    visit.socket.terminate();
    const again = await double.visit();
    assert.deepEqual(await again.greets(), { AAPL: { epoch: "e1", price: 8, prediction: 7 } });
    again.say(
      price(12),
      resumed("AAPL", true),
      price(9),
      prediction(9, 7),
      price(9),
      [price(10), price(11)],
      price(12),
    );
    assert.deepEqual(brief(await reading.first(8)), [7, 7, 8, 9, 9, 10, 11, 12]);
    await stream.close();
    assert.equal(reading.all.length, 8);
  }),
);

test(
  "what the server can't prove to be whole is said to have a gap",
  withDouble(async (double) => {
    const { stream, reading, visit } = await begun(double);
    visit.socket.close(4502, "position_lost");
    const again = await double.visit();
    await again.greets();
    again.say(resumed("AAPL", false), price(50, { snapshot: true }), price(51), price(53));
    assert.deepEqual(brief(await reading.first(7)), [7, 7, "gap not_recovered", 50, 51, "gap missing", 53]);
    assert.deepEqual(reading.all[5], {
      type: "gap",
      symbol: "AAPL",
      kind: "records",
      reason: "missing",
      epoch: "e1",
      after_seq: 51,
    });
    await stream.close();
  }),
);

test(
  "a resume that is refused is a gap of each of its symbols, and the stream goes on",
  withDouble(async (double) => {
    const { stream, reading, visit } = await begun(double);
    visit.socket.terminate();
    const again = await double.visit();
    const { id, symbols } = await again.hears("subscribe");
    again.say({ type: "subscribed", id, symbols });
    const resume = await again.hears("resume");
    again.say({ type: "error", id: resume["id"], code: "unknown_symbol", message: "gone", retryable: false });
    assert.deepEqual((await again.hears("resume"))["positions"], {});
    again.say(price(50, { snapshot: true }));
    assert.deepEqual(brief(await reading.first(4)), [7, 7, "gap not_recovered", 50]);
    await stream.close();
  }),
);

test(
  "a symbol that the server doesn't know is an error message, and the others come",
  withDouble(async (double) => {
    const stream = double.client().stream("AAPL", "NOPE");
    const reading = new Reading(stream);
    const visit = await double.visit();
    const refusal = { type: "error", code: "unknown_symbol", message: "no such symbol", retryable: false };
    visit.say({ ...refusal, id: (await visit.hears("subscribe"))["id"] });
    const [aapl, nope] = [await visit.hears("subscribe"), await visit.hears("subscribe")];
    assert.deepEqual([aapl["symbols"], nope["symbols"]], [["AAPL"], ["NOPE"]]);
    visit.say({ type: "subscribed", id: aapl["id"], symbols: ["AAPL"] }, { ...refusal, id: nope["id"] });
    await visit.hears("resume");
    visit.say(price(7));
    const [error, first] = await reading.first(2);
    assert.deepEqual(error, { type: "error", code: "unknown_symbol", message: "no such symbol", symbols: ["NOPE"] });
    assert.deepEqual(first, price(7));
    await stream.close();
  }),
);

test(
  "what the server can't do just now is said again on another connection",
  withDouble(async (double) => {
    const stream = double.client().stream("AAPL");
    const reading = new Reading(stream);
    const visit = await double.visit();
    const { id } = await visit.hears("subscribe");
    visit.say({ type: "error", id, code: "unavailable", message: "later", retryable: true });
    assert.equal(await visit.left(), 1000);
    const again = await double.visit();
    await again.greets();
    again.say(price(7));
    assert.deepEqual(await reading.first(1), [price(7)]);
    await stream.close();
  }),
);

test(
  "symbols come and go on the same connection",
  withDouble(async (double) => {
    const { stream, reading, visit } = await begun(double);
    stream.subscribe("AAPL", "IBM");
    const subscribe = await visit.hears("subscribe");
    assert.deepEqual(subscribe["symbols"], ["IBM"]);
    visit.say({ type: "subscribed", id: subscribe["id"], symbols: ["AAPL", "IBM"] }, price(3, { symbol: "IBM" }));
    await reading.first(3);
    stream.unsubscribe("AAPL");
    const unsubscribe = await visit.hears("unsubscribe");
    visit.say(price(8), { type: "subscribed", id: unsubscribe["id"], symbols: ["IBM"] }, price(4, { symbol: "IBM" }));
    assert.deepEqual(brief(await reading.first(4)), [7, 7, 3, 4]);
    stream.subscribe("AAPL");
    const anew = await visit.hears("subscribe");
    visit.say(
      { type: "subscribed", id: anew["id"], symbols: ["IBM", "AAPL"] },
      price(30, { snapshot: true }),
      price(31),
    );
    assert.deepEqual(brief(await reading.first(6)), [7, 7, 3, 4, 30, 31]);
    stream.setRate(5);
    await visit.hears("set_rate");
    visit.socket.terminate();
    const again = await double.visit();
    assert.equal((await again.hears("set_rate"))["max_per_second"], 5);
    assert.deepEqual(Object.keys(await again.greets()), ["IBM", "AAPL"]);
    await stream.close();
  }),
);

test(
  "a slow reader gets the newest price of each symbol and the number of those merged away",
  withDouble(async (double) => {
    const stream = double.client({ maxQueue: 2 }).stream("AAPL");
    const messages = stream[Symbol.asyncIterator]();
    const first = messages.next();
    const visit = await double.visit();
    await visit.greets();
    visit.say(price(1));
    assert.deepEqual((await first).value, price(1));
    visit.say([price(2), price(3), price(4, { conflated: 0 }), price(6, { conflated: 1 })]);
    visit.say({ type: "ping" });
    await visit.hears("pong"); // it was all heard
    assert.deepEqual((await messages.next()).value, price(2));
    assert.deepEqual((await messages.next()).value, price(6, { conflated: 3 }));
    assert.equal(stream.conflated, 2);
    await messages.return?.();
    assert.equal(await visit.left(), 1000);
  }),
);

test(
  "with too much that can't be merged the connection is left, and resumed when half is read",
  withDouble(async (double) => {
    const stream = double.client({ maxQueue: 4 }).stream("AAPL");
    const messages = stream[Symbol.asyncIterator]();
    const first = messages.next();
    const visit = await double.visit();
    await visit.greets();
    visit.say(price(1));
    await first;
    visit.say([2, 3, 4, 5, 6, 7].map((seq) => prediction(seq, seq - 1)));
    assert.equal(await visit.left(), 1000);
    for (const seq of [2, 3]) assert.equal(((await messages.next()).value as { seq: number }).seq, seq);
    const again = await double.visit();
    assert.deepEqual(await again.greets(), { AAPL: { epoch: "e1", price: 1, prediction: 5 } });
    again.say(resumed("AAPL", true), prediction(6, 5), prediction(7, 6));
    for (const seq of [4, 5, 6, 7]) assert.equal(((await messages.next()).value as { seq: number }).seq, seq);
    await stream.close();
  }),
);
