import assert from "node:assert/strict";
import { test } from "node:test";

import { ownerOf, Tokens } from "../src/tokens.js";
import { token } from "./double.js";

test("a fixed token has no other", async () => {
  const tokens = new Tokens("t1");
  assert.equal(await tokens.current(), "t1");
  assert.equal(await tokens.insteadOf("t1"), undefined);
  assert.equal(tokens.renewable, false);
});

test("a source is asked once, however many want a token, and again when one is worth nothing", async () => {
  const asked: (string | undefined)[] = [];
  const tokens = new Tokens((old) => `t${asked.push(old)}`);
  assert.deepEqual(await Promise.all([tokens.current(), tokens.current()]), ["t1", "t1"]);
  assert.deepEqual(await Promise.all([tokens.insteadOf("t1"), tokens.insteadOf("t1")]), ["t2", "t2"]);
  assert.equal(await tokens.insteadOf("t1"), "t2");
  assert.equal(await tokens.current(), "t2");
  assert.deepEqual(asked, [undefined, "t1"]);
});

test("a source that brings the same again has no other", async () => {
  const tokens = new Tokens(() => "t1");
  await tokens.current();
  assert.equal(await tokens.insteadOf("t1"), undefined);
});

test("a source that fails is asked again", async () => {
  let calls = 0;
  const tokens = new Tokens(() => {
    if (++calls === 1) throw new Error("offline");
    return "t1";
  });
  await assert.rejects(tokens.current(), /offline/);
  assert.equal(await tokens.current(), "t1");
});

test("a token says whose it is", () => {
  assert.equal(ownerOf(token({ sub: "ä? ada" })), "ä? ada");
  assert.equal(ownerOf("garbage"), undefined);
  assert.equal(ownerOf(token({})), undefined);
});
