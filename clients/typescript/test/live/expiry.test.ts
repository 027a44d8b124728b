import assert from "node:assert/strict";
import { test } from "node:test";

import { TickroomError } from "../../src/index.js";
import { ask, client, register, type Person } from "./house.js";

test("a stream outlives its tokens on one connection, where it is given fresh ones", async () => {
  let person = await register();
  const source = async (old?: string): Promise<string> => {
    if (old !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, 2_000)); // or it would expire in the same second
      const form = new URLSearchParams({ grant_type: "refresh_token", refresh_token: person.refresh_token });
      person = await ask("POST", "/api/v1/token", form).then(
        (fresh) => fresh as Person,
        (error: unknown) => Promise.reject(new TickroomError(4401, "not_refreshed", String(error))),
      );
    }
    return person.token;
  };
  const expires = (): number => JSON.parse(atob(person.token.split(".")[1] ?? "")).exp as number;
  const first = expires();
  const retries: unknown[] = [];
  const stream = client({ token: source, onRetry: (retry) => retries.push(retry) }).stream("AAPL");
  for await (const message of stream) {
    assert.notEqual(message.type, "gap");
    if (Date.now() / 1_000 > first + 1) break;
  }
  assert.deepEqual(retries, []);
  assert.ok(expires() > first);
});
