import assert from "node:assert/strict";
import { test } from "node:test";

import type { MarketMessage, MarketRecord } from "../../src/index.js";
import { client, Wire } from "./house.js";

/** Each record of each symbol once, in order, with nothing missing; to the letter of the rule. */
function assertWhole(messages: readonly MarketMessage[]): void {
  const records = new Map<string, MarketRecord>();
  const predictions = new Map<string, MarketRecord>();
  for (const message of messages) {
    assert.ok(message.type !== "gap" && message.type !== "error", JSON.stringify(message));
    if (message.type === "prediction_update") {
      const last = predictions.get(message.symbol);
      if (last) assert.equal(message.prev_seq, last.epoch === message.epoch ? last.seq : 0);
      predictions.set(message.symbol, message);
    } else {
      const last = records.get(message.symbol);
      if (last?.epoch === message.epoch) assert.equal(message.seq, last.seq + 1 + message.conflated);
      records.set(message.symbol, message);
    }
  }
}

test("streams what was asked for, each symbol whole, with predictions and bars", async () => {
  const messages: MarketMessage[] = [];
  for await (const message of client().stream("aapl", "MSFT")) {
    messages.push(message);
    const kinds = new Set(messages.map((each) => each.type));
    if (messages.length >= 100 && kinds.size === 3) break;
  }
  assertWhole(messages);
  assert.deepEqual([...new Set(messages.map((each) => "symbol" in each && each.symbol))].sort(), ["AAPL", "MSFT"]);
  const last = messages.filter((each) => each.type === "prediction_update").at(-1);
  assert.ok(last?.model_version && last.interval && last.interval.low < last.interval.high);
});

test("every symbol comes where none is named", async () => {
  const symbols = new Set<string>();
  for await (const message of client().stream()) {
    if ("symbol" in message) symbols.add(message.symbol);
    if (symbols.size === 4) break;
  }
  assert.deepEqual([...symbols].sort(), ["AAPL", "GOOG", "IBM", "MSFT"]);
});

for (const symbols of [["AAPL", "IBM"], []]) {
  test(`a line that is cut 30 times loses and repeats nothing of ${symbols.join(" and ") || "everything"}`, async () => {
    const wire = await Wire.lay();
    const messages: MarketMessage[] = [];
    let [cuts, since] = [0, 0];
    const room = client({ onRetry: () => (since = 0) }, wire.url);
    for await (const message of room.stream(...symbols)) {
      messages.push(message);
      if (++since < 3 + (cuts % 7)) continue;
      if (cuts++ === 30) break;
      since = -1_000; // until it is back
      wire.cut();
    }
    wire.close();
    assertWhole(messages);
    assert.ok(messages.length > 30 * 3);
  });
}

test("symbols that nobody knows are named, company names are understood, and lists change", async () => {
  const stream = client().stream("AAPL", "NOPE", "microsoft");
  const seen = new Map<string, number>();
  let error: MarketMessage | undefined;
  for await (const message of stream) {
    if (message.type === "error") error = message;
    if (!("symbol" in message)) continue;
    const count = (seen.get(message.symbol) ?? 0) + 1;
    seen.set(message.symbol, count);
    if (message.symbol === "MSFT" && count === 10) {
      stream.unsubscribe("aapl", "microsoft");
      stream.subscribe("ibm");
    }
    if (message.symbol === "IBM" && count === 1) seen.delete("MSFT");
    if (message.symbol === "IBM" && count === 20) break;
    assert.notEqual(message.type, "gap");
  }
  assert.deepEqual(error && "symbols" in error && [error.code, error.symbols], ["unknown_symbol", ["NOPE"]]);
  assert.deepEqual([...seen.keys()].sort(), ["AAPL", "IBM"]);
});

test("a rate merges prices and counts them", async () => {
  const messages: MarketMessage[] = [];
  for await (const message of client().stream("AAPL", { maxPerSecond: 4 })) {
    messages.push(message);
    if (messages.some((each) => each.type === "stock_price_update" && each.conflated > 0) && messages.length > 20)
      break;
  }
  assertWhole(messages);
});
