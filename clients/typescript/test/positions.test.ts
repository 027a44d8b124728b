import assert from "node:assert/strict";
import { test } from "node:test";

import type { Bar, MarketRecord } from "../src/index.js";
import { Positions } from "../src/positions.js";
import { prediction, price } from "./double.js";

const bar = (seq: number, conflated = 0): MarketRecord => ({ ...price(seq), type: "bar", conflated }) as unknown as Bar;

/** What becomes of each record: taken, "repeat", or the kind of the gap before it. */
function judged(positions: Positions, ...records: MarketRecord[]): unknown[] {
  return records.map((record) => {
    const { repeat, gap } = positions.note(record);
    return repeat ? "repeat" : (gap?.kind ?? "whole");
  });
}

test("bars and corrections count in the prices' sequence, merged ones too", () => {
  const positions = new Positions();
  assert.deepEqual(judged(positions, price(7), bar(8), price(9), price(13, { conflated: 3 }), bar(15, 1)), [
    "whole",
    "whole",
    "whole",
    "whole",
    "whole",
  ]);
});

test("a jump is a gap once, and says what is surely there", () => {
  const positions = new Positions();
  positions.note(price(7));
  assert.deepEqual(positions.note(price(10, { conflated: 1 })).gap, {
    type: "gap",
    symbol: "AAPL",
    kind: "records",
    reason: "missing",
    epoch: "e1",
    after_seq: 7,
  });
  assert.deepEqual(judged(positions, price(11)), ["whole"]);
});

test("repeats and records of an older epoch are dropped", () => {
  const positions = new Positions();
  assert.deepEqual(judged(positions, price(7), price(7), price(6), price(1, { epoch: "e2" }), price(8)), [
    "whole",
    "repeat",
    "repeat",
    "whole",
    "repeat",
  ]);
});

test("a new epoch begins at 1, its predictions with none before", () => {
  const positions = new Positions();
  assert.deepEqual(judged(positions, price(7), price(3, { epoch: "e2" })), ["whole", "records"]);
  assert.deepEqual(
    judged(
      positions,
      prediction(7, 5),
      prediction(9, 7),
      prediction(2, 0, { epoch: "e2" }),
      prediction(9, 5, { epoch: "e3" }),
    ),
    ["whole", "whole", "whole", "predictions"],
  );
});

test("symbols have sequences of their own", () => {
  const positions = new Positions();
  assert.deepEqual(
    judged(positions, price(7), price(70, { symbol: "MSFT" }), price(8), price(71, { symbol: "MSFT" })),
    ["whole", "whole", "whole", "whole"],
  );
});

test("resumes from the last of both kinds in the records' epoch", () => {
  const positions = new Positions();
  judged(positions, price(7), prediction(7, 3), price(9, { symbol: "MSFT" }), prediction(4, 0, { symbol: "IBM" }));
  assert.deepEqual(
    [...positions.reconnected()],
    [
      ["AAPL", { epoch: "e1", price: 7, prediction: 7 }],
      ["MSFT", { epoch: "e1", price: 9 }],
    ],
  );
  positions.resumed("AAPL", true);
  judged(positions, price(1, { epoch: "e2" }));
  assert.deepEqual(positions.reconnected().get("AAPL"), { epoch: "e2", price: 1, prediction: 0 });
});

test("nothing counts between the reconnect and the server's answer, since it comes again", () => {
  const positions = new Positions();
  positions.note(price(7));
  positions.reconnected();
  assert.deepEqual(judged(positions, price(12, { snapshot: true })), ["repeat"]);
  assert.equal(positions.resumed("AAPL", true), undefined);
  assert.deepEqual(judged(positions, price(8), price(9)), ["whole", "whole"]);
});

test("what is not recovered is one gap, and the snapshot behind it none", () => {
  const positions = new Positions();
  judged(positions, price(7), prediction(7, 0));
  positions.reconnected();
  assert.deepEqual(positions.resumed("AAPL", false), {
    type: "gap",
    symbol: "AAPL",
    kind: null,
    reason: "not_recovered",
    epoch: "e1",
    after_seq: 7,
  });
  assert.deepEqual(
    judged(positions, price(20, { snapshot: true }), prediction(18, 12, { snapshot: true }), price(21)),
    ["whole", "whole", "whole"],
  );
  assert.deepEqual(judged(positions, price(23)), ["records"]);
});

test("not recovered where nothing was missed: the snapshot is a repeat, and the next one must follow it", () => {
  const positions = new Positions();
  positions.note(price(7));
  positions.reconnected();
  positions.resumed("AAPL", false);
  assert.deepEqual(judged(positions, price(7, { snapshot: true }), price(9)), ["repeat", "records"]);
});

test("the first prediction ever seen is a gap only where an earlier one was missed while away", () => {
  const positions = new Positions();
  positions.note(price(7));
  assert.deepEqual(judged(positions, prediction(7, 3)), ["whole"]);
  positions.note(price(7, { symbol: "MSFT" }));
  positions.reconnected();
  positions.resumed("MSFT", true);
  assert.deepEqual(judged(positions, prediction(9, 8, { symbol: "MSFT" })), ["predictions"]);
});

test("a forgotten symbol begins anew", () => {
  const positions = new Positions();
  judged(positions, price(7), price(7, { symbol: "MSFT" }));
  positions.keep(new Set(["MSFT"]));
  assert.deepEqual(judged(positions, price(3)), ["whole"]);
  assert.deepEqual([...positions.reconnected().keys()], ["MSFT", "AAPL"]);
});
