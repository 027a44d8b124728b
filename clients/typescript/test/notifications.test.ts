import assert from "node:assert/strict";
import { test } from "node:test";

import { TickroomError, type AlertTriggered } from "../src/index.js";
import { Reading, token, withDouble } from "./double.js";

const ADA = token({ sub: "ada/1" });

function alert(n: number): AlertTriggered {
  return {
    type: "alert_triggered",
    id: `n${n}`,
    alert_id: "a1",
    symbol: "AAPL",
    condition: "crossing_up",
    threshold: 150,
    price: 151.75,
    message: "AAPL",
    timestamp: "2024-09-21T14:23:00Z",
  };
}

test(
  "come from the room of whom the token belongs to, each once, over reconnects",
  withDouble(async (double) => {
    const inbox = double.client({ token: ADA }).notifications();
    const reading = new Reading(inbox);
    const visit = await double.visit();
    assert.equal(visit.url, "/websocket/user/ada%2F1/notifications");
    assert.deepEqual(visit.protocols, ["tickroom.v1", `bearer.${ADA}`]);
    visit.say(alert(1), alert(2), alert(1));
    await reading.first(2);
    visit.socket.terminate();
    (await double.visit()).say(alert(1), alert(2), alert(3));
    assert.deepEqual(await reading.first(3), [alert(1), alert(2), alert(3)]);
    await inbox.close();
    assert.equal(reading.all.length, 3);
  }),
);

test(
  "without a token there is nowhere to go",
  withDouble(async (double) => {
    const reading = new Reading(double.client().notifications());
    await reading.whole();
    assert.ok(reading.error instanceof TickroomError);
    assert.deepEqual([reading.error.closeCode, reading.error.code], [4401, "token_missing"]);
  }),
);

test(
  "acknowledged ones are said until the server confirms, also on another connection",
  withDouble(async (double) => {
    const inbox = double.client({ token: "t" }).notifications({ userId: "ada" });
    const reading = new Reading(inbox);
    const visit = await double.visit();
    visit.say(alert(1), alert(2));
    await reading.first(2);
    const [one, two] = [inbox.ack(alert(1)), inbox.ack("n2")];
    assert.deepEqual((await visit.hears("ack"))["notification_ids"], ["n1", "n2"]);
    visit.socket.terminate();
    const again = await double.visit();
    const ack = await again.hears("ack");
    assert.deepEqual(ack["notification_ids"], ["n1", "n2"]);
    const three = inbox.ack("n3");
    again.say({ type: "acked", id: ack["id"] });
    assert.deepEqual(await Promise.all([one, two]), [true, true]);
    assert.deepEqual((await again.hears("ack"))["notification_ids"], ["n3"]);
    await inbox.close();
    assert.equal(await three, false);
    assert.equal(await inbox.ack("n4"), false);
  }),
);

test(
  "many are acknowledged a hundred at a time, and what the server refuses is given up",
  withDouble(async (double) => {
    const inbox = double.client({ token: "t" }).notifications({ userId: "ada" });
    const reading = new Reading(inbox);
    const visit = await double.visit();
    const all = inbox.ack(...Array.from({ length: 250 }, (_, n) => `n${n}`));
    const sizes: number[] = [];
    for (let n = 0; n < 3; n++) {
      const { id, notification_ids } = await visit.hears("ack");
      sizes.push((notification_ids as string[]).length);
      if (n === 1) visit.say({ type: "error", id, code: "bad_message", message: "no such thing", retryable: false });
      else visit.say({ type: "acked", id });
    }
    assert.deepEqual(sizes, [100, 100, 50]);
    assert.equal(await all, false);
    assert.deepEqual(await reading.first(1), [
      { type: "error", code: "bad_message", message: "no such thing", symbols: [] },
    ]);
    await inbox.close();
  }),
);

test(
  "more than can wait are left with the server until half is read",
  withDouble(async (double) => {
    const inbox = double.client({ token: "t", maxQueue: 4 }).notifications({ userId: "ada" });
    const messages = inbox[Symbol.asyncIterator]();
    const first = messages.next();
    const visit = await double.visit();
    const stored = [1, 2, 3, 4, 5, 6, 7].map(alert);
    visit.say(alert(1));
    const read = [(await first).value];
    visit.say(...stored);
    assert.equal(await visit.left(), 1000);
    for (let n = 0; n < 2; n++) read.push((await messages.next()).value);
    (await double.visit()).say(...stored);
    while (read.length < 7) read.push((await messages.next()).value);
    assert.deepEqual(read, stored);
    await messages.return?.();
  }),
);
