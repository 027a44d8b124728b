import assert from "node:assert/strict";
import { test } from "node:test";

import WebSocket from "ws";

import { TickroomError, type AlertTriggered, type TickroomOptions } from "../../src/index.js";
import { Reading } from "../double.js";
import { ask, client, HOUSE, register, Wire } from "./house.js";

/** A page's WebSocket: it says where it comes from, so the server refuses it by close codes. */
class OfPage extends WebSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols, { origin: HOUSE });
  }
}

async function refusal(options: TickroomOptions): Promise<unknown[]> {
  const room = client(options);
  const [market, own] = [new Reading(room.stream("AAPL")), new Reading(room.notifications({ userId: "somebody" }))];
  await Promise.all([market.whole(), own.whole()]);
  return [market.error, own.error].map((error) => error instanceof TickroomError && [error.closeCode, error.code]);
}

test("a bad token is refused for good, to programs and to pages", async () => {
  const bad = [4401, "bad_token"];
  assert.deepEqual(await refusal({ token: "a.b.c" }), [bad, bad]);
  assert.deepEqual(await refusal({ token: "a.b.c", WebSocket: OfPage }), [bad, bad]);
});

test("another user's room is forbidden", async () => {
  const [ada, eve] = [await register(), await register()];
  for (const more of [{}, { WebSocket: OfPage }]) {
    const reading = new Reading(client({ token: eve.token, ...more }).notifications({ userId: ada.user_id }));
    await reading.whole();
    assert.ok(reading.error instanceof TickroomError);
    assert.equal(reading.error.closeCode, 4403);
  }
});

test("notifications come once, over a line that is cut, until they are acknowledged", async () => {
  const { token } = await register();
  const wire = await Wire.lay();
  const inbox = client({ token }, wire.url).notifications();
  const reading = new Reading(inbox);
  const rule = { symbol: "AAPL", conditions: [{ type: "greater_than", threshold: 0.01 }] };
  for (const trigger of ["once", "once"]) await ask("POST", "/api/v1/alerts", { ...rule, trigger }, token);
  const alerts = (await reading.first(2)) as AlertTriggered[];
  assert.deepEqual(
    alerts.map(({ type, symbol }) => [type, symbol]),
    [
      ["alert_triggered", "AAPL"],
      ["alert_triggered", "AAPL"],
    ],
  );
  wire.cut();
  await ask("POST", "/api/v1/alerts", rule, token);
  const third = (await reading.first(3))[2] as AlertTriggered;
  assert.equal(new Set([...alerts, third].map(({ id }) => id)).size, 3);
  assert.equal(await inbox.ack(...alerts, third), true);
  const unread = await ask("GET", "/api/v1/notifications?unread=true", undefined, token);
  assert.deepEqual((unread as { items: unknown[] }).items, []);
  await inbox.close();
  wire.close();
  const later = client({ token }).notifications();
  const nothing = new Reading(later);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await later.close();
  assert.deepEqual(await nothing.whole(), []);
});

test("a logout ends the streams of its token at once", async () => {
  const { token } = await register();
  const room = client({ token });
  const [market, own] = [new Reading(room.stream("AAPL")), new Reading(room.notifications())];
  await market.first(1);
  await ask(
    "POST",
    "/api/v1/alerts",
    { symbol: "IBM", conditions: [{ type: "greater_than", threshold: 0.01 }] },
    token,
  );
  await own.first(1);
  await ask("POST", "/api/v1/logout", {}, token);
  await Promise.all([market.whole(), own.whole()]);
  for (const { error } of [market, own]) {
    assert.ok(error instanceof TickroomError);
    assert.deepEqual([error.closeCode, error.code], [4401, "token_revoked"]);
  }
});

test("one connection too many is the one refused, for good", async () => {
  const { token } = await register();
  const room = client({ token });
  const five = Array.from({ length: 5 }, () => new Reading(room.stream("AAPL")));
  await Promise.all(five.map((each) => each.first(1)));
  const sixth = new Reading(room.stream("AAPL"));
  await sixth.whole();
  assert.ok(sixth.error instanceof TickroomError);
  assert.deepEqual([sixth.error.closeCode, sixth.error.code], [4409, "too_many_connections"]);
  room.close();
  await Promise.all(five.map((each) => each.whole()));
});
