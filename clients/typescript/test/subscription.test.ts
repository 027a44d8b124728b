import assert from "node:assert/strict";
import { test } from "node:test";

import { Subscription } from "../src/subscription.js";

const names = (said: { type: string; symbols: string[] }[]): string[] =>
  said.map(({ type, symbols }) => `${type} ${symbols.join(" ")}`);

/** Answers what is said as a server that doesn't know symbols with an X. */
function answer(
  subscription: Subscription,
  said: { id: string; symbols: string[] }[],
  givenUp: string[] = [],
): string[] {
  for (const { id, symbols } of said) {
    if (!symbols.some((symbol) => symbol.includes("X"))) subscription.confirmed(id);
    else {
      const refused = subscription.refused(id);
      assert.ok(refused);
      answer(subscription, refused.say, givenUp);
      givenUp.push(...refused.givenUp);
    }
  }
  return givenUp;
}

test("names are trimmed, in upper case, each once", () => {
  assert.deepEqual(names(new Subscription([" aapl", "AAPL", "msft"]).greet()), ["subscribe AAPL MSFT"]);
});

test("everything needs no list, and can be narrowed to one", () => {
  const subscription = new Subscription([]);
  assert.deepEqual(subscription.greet(), []);
  assert.ok(subscription.settled);
  assert.throws(() => subscription.remove(["AAPL"]), /has everything/);
  assert.deepEqual(names(subscription.add(["aapl"])), ["subscribe AAPL"]);
  assert.deepEqual(names(subscription.greet()), ["subscribe AAPL"]);
});

test("only changes are said, and an emptied list stays a list", () => {
  const subscription = new Subscription(["AAPL"]);
  assert.deepEqual(names(subscription.add(["aapl", "ibm"])), ["subscribe IBM"]);
  assert.deepEqual(names(subscription.remove(["AAPL", "IBM", "MSFT"])), ["unsubscribe AAPL IBM"]);
  assert.deepEqual(names(subscription.greet()), ["subscribe "]);
});

test("what is unsubscribed is muted until the server knows", () => {
  const subscription = new Subscription(["AAPL", "IBM"]);
  const [unsubscribe] = subscription.remove(["IBM"]);
  assert.deepEqual([subscription.mutes("IBM"), subscription.mutes("AAPL")], [true, false]);
  subscription.confirmed(unsubscribe?.id);
  assert.equal(subscription.mutes("IBM"), false);
});

test("a list with bad symbols is halved until these stand alone", () => {
  const subscription = new Subscription(["A", "B", "X1", "C", "D", "X2", "E"]);
  const givenUp = answer(subscription, subscription.greet());
  assert.deepEqual(givenUp.sort(), ["X1", "X2"]);
  assert.ok(subscription.settled);
  assert.deepEqual(names(subscription.greet()), ["subscribe A B C D E"]);
});

test("where all are bad the list is empty, and not everything", () => {
  const subscription = new Subscription(["X1"]);
  const refused = subscription.refused(subscription.greet()[0]?.id);
  assert.deepEqual(names(refused?.say ?? []), ["subscribe "]);
  assert.deepEqual(refused?.givenUp, ["X1"]);
});

test("new symbols come apart from those that were accepted before", () => {
  const subscription = new Subscription(["A", "B"]);
  answer(subscription, subscription.greet());
  subscription.add(["X1"]);
  assert.deepEqual(names(subscription.greet()), ["subscribe A B", "subscribe X1"]);
});

test("long lists are said in several frames", () => {
  const subscription = new Subscription(Array.from({ length: 4_500 }, (_, at) => `S${at}`));
  assert.deepEqual(
    subscription.greet().map(({ symbols }) => symbols.length),
    [2_000, 2_000, 500],
  );
});
