import assert from "node:assert/strict";
import { test } from "node:test";

import { Speaker } from "../src/speaker.js";

test("says only so much at once, the rest later and in order", async () => {
  const said: string[] = [];
  await new Promise<void>((resolve) => {
    const speaker = new Speaker((text) => {
      if (said.push((JSON.parse(text) as { token: string }).token) === 12) resolve();
    });
    for (let n = 0; n < 12; n++) speaker.say({ type: "auth", token: `${n}` });
    assert.equal(said.length, 8);
  });
  assert.deepEqual(
    said,
    Array.from({ length: 12 }, (_, n) => `${n}`),
  );
});

test("says nothing more when it is stopped", async () => {
  const said: string[] = [];
  const speaker = new Speaker((text) => said.push(text));
  for (let n = 0; n < 12; n++) speaker.say({ type: "pong" });
  speaker.stop();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(said.length, 8);
});
