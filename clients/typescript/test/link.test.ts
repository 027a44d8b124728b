import assert from "node:assert/strict";
import { test } from "node:test";

import { Tickroom, TickroomError, type MarketMessage, type Retry } from "../src/index.js";
import { price, Reading, token, withDouble } from "./double.js";

test(
  "a token is the second subprotocol, and never part of the address",
  withDouble(async (double) => {
    const room = double.client({ token: "a.b.c" });
    const reading = new Reading(room.stream("AAPL"));
    const visit = await double.visit();
    assert.deepEqual(visit.protocols, ["tickroom.v1", "bearer.a.b.c"]);
    assert.ok(!visit.url.includes("a.b.c"));
    await visit.greets();
    room.close();
    await reading.whole();
    assert.equal(reading.error, undefined);
    assert.equal(await visit.left(), 1000);
  }),
);

for (const code of [4400, 4403, 4404, 4408, 4409, 4429]) {
  test(
    `${code} ends the stream, behind what had arrived`,
    withDouble(async (double) => {
      const reading = new Reading(double.client({ token: () => "another" }).stream("AAPL"));
      const visit = await double.visit();
      await visit.greets();
      visit.say(price(7));
      visit.socket.close(code, "some_reason");
      assert.deepEqual(await reading.whole(), [price(7)]);
      const { error } = reading;
      assert.ok(error instanceof TickroomError);
      assert.deepEqual([error.closeCode, error.code], [code, "some_reason"]);
      assert.equal(double.visits, 1);
    }),
  );
}

test(
  "other codes come back, each failure later than the one before",
  withDouble(async (double) => {
    const retries: Retry[] = [];
    const backoff = { baseMs: 1, maxMs: 5, resetAfterMs: 60_000 };
    const room = double.client({ backoff, onRetry: (retry) => retries.push(retry) });
    const reading = new Reading(room.stream("AAPL"));
    const codes = [1000, 1001, 1011, 1012, 1013, 4500, 4501, 4502, 4503];
    for (const code of codes) (await double.visit()).socket.close(code, "");
    await double.visit();
    room.close();
    await reading.whole();
    assert.deepEqual(
      retries.map(({ closeCode }) => closeCode),
      codes,
    );
    assert.deepEqual(
      retries.map(({ attempt }) => attempt),
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
  }),
);

test(
  "waits as long as a server asks that drains or is busy",
  withDouble(async (double) => {
    const retries: Retry[] = [];
    const room = double.client({ onRetry: (retry) => retries.push(retry) });
    const reading = new Reading(room.stream("AAPL"));
    (await double.visit()).socket.close(4503, "draining retry_after_ms=30");
    const visit = await double.visit();
    double.refusals.push([503, { "Retry-After": "1" }, JSON.stringify({ code: "busy" })]);
    visit.socket.close(1013, "busy retry_after_ms=20");
    while (retries.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    room.close();
    await reading.whole();
    assert.ok(retries[0] && retries[0].delayMs >= 30);
    assert.ok(retries[1] && retries[1].delayMs >= 20);
    assert.ok(retries[2] && retries[2].delayMs >= 1_000);
    assert.deepEqual([retries[2].closeCode, retries[2].reason], [1013, "busy"]);
  }),
);

test(
  "a handshake refused by HTTP counts as the close code that means the same",
  withDouble(async (double) => {
    const refusals: [number, string, number][] = [
      [401, "token_expired", 4401],
      [403, "denied", 4403],
      [404, "unknown_path", 4404],
      [429, "too_many_connections", 4409],
      [429, "too_many_requests", 4429],
    ];
    for (const [status, code, closeCode] of refusals) {
      double.refusals.push([status, {}, JSON.stringify({ code })]);
      const reading = new Reading(double.client({ token: "a.b.c" }).stream("AAPL"));
      await reading.whole();
      assert.ok(reading.error instanceof TickroomError);
      assert.deepEqual([reading.error.closeCode, reading.error.code], [closeCode, code]);
    }
    assert.equal(double.visits, 0);
  }),
);

test(
  "a refused token is replaced where there is another one, and else ends the stream",
  withDouble(async (double) => {
    const asked: (string | undefined)[] = [];
    const source = (old?: string): string => (asked.push(old), old === undefined ? "first" : "second");
    const reading = new Reading(double.client({ token: source }).stream("AAPL"));
    const visit = await double.visit();
    assert.deepEqual(visit.protocols[1], "bearer.first");
    visit.socket.close(4401, "token_expired");
    const again = await double.visit();
    assert.deepEqual(again.protocols[1], "bearer.second");
    again.socket.close(4401, "token_revoked");
    await reading.whole();
    assert.ok(reading.error instanceof TickroomError);
    assert.deepEqual([reading.error.closeCode, reading.error.code], [4401, "token_revoked"]);
    assert.deepEqual(asked, [undefined, "first", "second"]);
  }),
);

test(
  "a source of tokens that fails is asked again; its TickroomError ends the stream",
  withDouble(async (double) => {
    let calls = 0;
    const source = async (): Promise<string> => {
      if (++calls === 1) throw new TypeError("fetch failed");
      return "a.b.c";
    };
    const room = double.client({ token: source });
    const reading = new Reading(room.stream("AAPL"));
    assert.deepEqual((await double.visit()).protocols[1], "bearer.a.b.c");
    room.close();
    await reading.whole();
    const given = new TickroomError(4401, "logged_out");
    const ended = new Reading(double.client({ token: () => Promise.reject(given) }).stream("AAPL"));
    await ended.whole();
    assert.equal(ended.error, given);
  }),
);

test(
  "an expiring token is renewed on the open connection, and counts from then on",
  withDouble(async (double) => {
    let count = 0;
    const room = double.client({ token: () => `t${++count}` });
    const reading = new Reading(room.stream("AAPL"));
    const visit = await double.visit();
    await visit.greets();
    visit.say({ type: "token_expiring", in_s: 60 });
    assert.deepEqual(await visit.hears("auth"), { type: "auth", token: "t2" });
    visit.say({ type: "authenticated" });
    visit.socket.terminate();
    assert.deepEqual((await double.visit()).protocols[1], "bearer.t2");
    room.close();
    await reading.whole();
  }),
);

test(
  "a refusal that nobody explains is asked about: the token goes into the first message",
  withDouble(async (double) => {
    double.refusals.push([500, {}, "no JSON"]);
    const reading = new Reading(double.client({ token: token({ sub: "ada" }) }).stream("AAPL"));
    const visit = await double.visit();
    assert.deepEqual(visit.protocols, ["tickroom.v1"]);
    assert.equal((await visit.hears("auth"))["token"], token({ sub: "ada" }));
    visit.socket.close(4401, "bad_token");
    await reading.whole();
    assert.ok(reading.error instanceof TickroomError);
    assert.equal(reading.error.closeCode, 4401);
  }),
);

test("gives up after as many attempts as it may make", async () => {
  const { default: WebSocket } = await import("ws");
  const backoff = { baseMs: 1, maxMs: 2 };
  const retries: Retry[] = [];
  const onRetry = (retry: Retry): void => void retries.push(retry);
  const room = new Tickroom("http://127.0.0.1:9", { WebSocket, backoff, maxAttempts: 3, onRetry });
  const reading = new Reading(room.stream("AAPL"));
  assert.deepEqual(await reading.whole(), []);
  assert.ok(reading.error instanceof TickroomError);
  assert.equal(reading.error.closeCode, 1006);
  assert.equal(retries.length, 3);
});

test(
  "a line that went silent is given up, and one that never opens too",
  withDouble(async (double) => {
    const retries: Retry[] = [];
    const patienceMs = { quiet: 40, open: 40, close: 10 };
    const room = double.client({ patienceMs, onRetry: (retry) => retries.push(retry) });
    const reading = new Reading(room.stream("AAPL"));
    const visit = await double.visit();
    visit.socket.pause(); // it does not even answer a goodbye
    await double.visit();
    room.close();
    await reading.whole();
    assert.equal(retries[0]?.reason, "silence");
  }),
);

test(
  "what is no JSON breaks the connection, and the stream goes on",
  withDouble(async (double) => {
    const room = double.client();
    const reading = new Reading(room.stream("AAPL"));
    const visit = await double.visit();
    await visit.greets();
    visit.socket.send("{");
    const again = await double.visit();
    await again.greets();
    again.say(price(7));
    assert.deepEqual(await reading.first(1), [price(7)]);
    room.close();
    await reading.whole();
  }),
);

test(
  "an AbortSignal ends the stream with its reason, also before it began",
  withDouble(async (double) => {
    const abort = new AbortController();
    const reading = new Reading<MarketMessage>(double.client().stream("AAPL", { signal: abort.signal }));
    const visit = await double.visit();
    await visit.greets();
    visit.say(price(7));
    await reading.first(1);
    abort.abort(new Error("enough"));
    await reading.whole();
    assert.match(String(reading.error), /enough/);
    assert.equal(await visit.left(), 1000);
    const never = new Reading(double.client({ signal: abort.signal }).stream("AAPL"));
    await never.whole();
    assert.match(String(never.error), /enough/);
    assert.equal(double.visits, 1);
  }),
);

test(
  "closing while a connection opens, and while waiting for the next one, ends at once",
  withDouble(async (double) => {
    const opening = double.client().stream("AAPL");
    const reading = new Reading(opening);
    await opening.close();
    assert.deepEqual(await reading.whole(), []);
    const room = double.client({ backoff: { baseMs: 1e9, maxMs: 1e9 } });
    const waiting = new Reading(room.stream("AAPL"));
    const retrying = new Promise<void>((resolve) => setTimeout(resolve, 20));
    (await double.visit()).socket.terminate();
    await retrying;
    room.close();
    assert.deepEqual(await waiting.whole(), []);
    assert.equal(waiting.error, undefined);
  }),
);

test(
  "a loop that breaks leaves, and a stream is iterated once",
  withDouble(async (double) => {
    const stream = double.client().stream("AAPL");
    const server = double.visit().then(async (visit) => {
      await visit.greets();
      visit.say(price(7), price(8));
      return visit;
    });
    for await (const message of stream) {
      assert.deepEqual(message, price(7));
      break;
    }
    assert.equal(await (await server).left(), 1000);
    const again = new Reading(stream);
    await again.whole();
    assert.match(String(again.error), /iterated once/);
  }),
);

test("an error without a close, as Node's own WebSocket has it, ends an attempt too", async () => {
  const retries: Retry[] = [];
  class Mute {
    readonly protocol = "";
    send(): void {}
    close(): void {}
    addEventListener(type: string, listener: (event: object) => void): void {
      if (type === "error") queueMicrotask(() => listener({}));
    }
  }
  const onRetry = (retry: Retry): void => void retries.push(retry);
  const room = new Tickroom("ws://h", { WebSocket: Mute, maxAttempts: 1, backoff: { baseMs: 1 }, onRetry });
  const reading = new Reading(room.stream());
  await reading.whole();
  assert.deepEqual([retries.length, retries[0]?.reason], [1, "no connection"]);
});

test("addresses", async () => {
  const seen: string[] = [];
  class Seen {
    readonly protocol = "";
    constructor(url: string) {
      seen.push(url);
      throw new SyntaxError("not today");
    }
    send(): void {}
    close(): void {}
    addEventListener(): void {}
  }
  for (const url of ["http://h:1", "https://h/", "ws://h/behind/a/proxy/", new URL("wss://h?x=1#y")]) {
    const reading = new Reading(new Tickroom(url, { WebSocket: Seen }).stream());
    await reading.whole();
    assert.match(String(reading.error), /not today/);
  }
  const room = "/websocket/stocks/all?resume=1";
  assert.deepEqual(seen, [`ws://h:1${room}`, `wss://h${room}`, `ws://h/behind/a/proxy${room}`, `wss://h${room}`]);
  assert.throws(() => new Tickroom("ftp://h", { WebSocket: Seen }), /no address/);
  assert.throws(() => new Tickroom("nonsense", { WebSocket: Seen }), TypeError);
});
