import assert from "node:assert/strict";
import { test } from "node:test";

import { BACKOFF, isFinal, retryAfter, retryDelay } from "../src/backoff.js";

test("waits a random part of a time that doubles up to a limit", () => {
  const most = [0, 1, 2, 3, 4, 5, 6, 7, 1000].map((attempt) => retryDelay(attempt, BACKOFF, 1));
  assert.deepEqual(most, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  assert.equal(retryDelay(3, BACKOFF, 0), 0);
  assert.equal(retryDelay(3, BACKOFF, 0.25), 1000);
});

test("never comes back before the server wants it, and not all at once", () => {
  assert.equal(retryDelay(0, BACKOFF, 0, 1500), 1500);
  assert.equal(retryDelay(0, BACKOFF, 1, 1500), 2000);
  assert.equal(retryDelay(0, BACKOFF, 0, 1e12), 600_000);
});

test("reads the wait out of a close reason", () => {
  assert.equal(retryAfter("draining retry_after_ms=1500"), 1500);
  assert.equal(retryAfter("busy"), 0);
  assert.equal(retryAfter("retry_after_ms=-5"), 0);
});

test("44xx is final, everything else comes back", () => {
  assert.deepEqual([4400, 4401, 4403, 4404, 4408, 4409, 4429].filter(isFinal).length, 7);
  assert.deepEqual([1000, 1001, 1006, 1009, 1011, 1012, 1013, 4500, 4501, 4502, 4503].filter(isFinal), []);
});
