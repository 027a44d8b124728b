import assert from "node:assert/strict";
import { test } from "node:test";

import type { MarketMessage } from "../src/index.js";
import { Queue } from "../src/queue.js";
import { prediction, price } from "./double.js";

function drained(queue: Queue<MarketMessage>): [string, number, number][] {
  const all: [string, number, number][] = [];
  for (let message = queue.take(); message; message = queue.take()) {
    if ("seq" in message) all.push([message.symbol, message.seq, message.conflated]);
  }
  return all;
}

test("hands out what came, in order, also over thousands", () => {
  const queue = new Queue<MarketMessage>(20_000);
  for (let seq = 1; seq <= 10_000; seq++) queue.put(price(seq));
  assert.deepEqual(
    drained(queue).map(([, seq]) => seq),
    Array.from({ length: 10_000 }, (_, at) => at + 1),
  );
  assert.equal(queue.size, 0);
});

test("over its limit it keeps the newest price of each symbol, in the place where the symbol waited, and counts", () => {
  const queue = new Queue<MarketMessage>(2);
  for (let seq = 1; seq <= 5; seq++) {
    queue.put(price(seq));
    queue.put(price(seq, { symbol: "MSFT" }));
  }
  queue.put(price(1, { symbol: "IBM" }));
  assert.deepEqual(drained(queue), [
    ["AAPL", 5, 4],
    ["MSFT", 5, 4],
    ["IBM", 1, 0],
  ]);
  assert.equal(queue.conflated, 8);
});

test("what the server had merged already is counted on", () => {
  const queue = new Queue<MarketMessage>(1);
  queue.put(price(4, { conflated: 3 }));
  queue.put(price(7, { conflated: 2 }));
  assert.deepEqual(drained(queue), [["AAPL", 7, 6]]);
});

test("never merges over anything else of the symbol, and never anything else", () => {
  const queue = new Queue<MarketMessage>(1);
  queue.put(price(1));
  queue.put(prediction(1, 0));
  queue.put(price(2));
  queue.put(price(3));
  queue.put(prediction(3, 1));
  assert.deepEqual(drained(queue), [
    ["AAPL", 1, 0],
    ["AAPL", 1, 0],
    ["AAPL", 3, 1],
    ["AAPL", 3, 0],
  ]);
});

test("is full with as many of what can't be merged as its limit says", () => {
  const queue = new Queue<MarketMessage>(2);
  for (let seq = 1; seq <= 9; seq++) queue.put(price(seq, { symbol: `S${seq}` }));
  assert.equal(queue.full, false);
  queue.put(prediction(1, 0));
  queue.put(prediction(2, 1));
  assert.equal(queue.full, true);
  drained(queue);
  assert.equal(queue.full, false);
});

test("a symbol that ticks all the time waits no longer than others", () => {
  const queue = new Queue<MarketMessage>(2);
  queue.put(price(1));
  queue.put(price(1, { symbol: "MSFT" }));
  for (let seq = 2; seq <= 9; seq++) queue.put(price(seq));
  assert.deepEqual(queue.take(), price(9, { conflated: 8 }));
});
