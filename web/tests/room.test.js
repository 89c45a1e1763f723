import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointOf, isRoomId, roomIdProblem, serverOf, suggestRoomId } from "../sdk/room.js";

test("the rule for room ids", () => {
  for (const good of ["a", "Studio-1", "0", "a_b-c", "x".repeat(64), "Watch"]) assert.equal(isRoomId(good), true, good);
  for (const bad of ["", "-a", "_a", "a b", "é", "a/b", "a.b", "x".repeat(65), "watch", "endpoint", "stream", "session", "create"]) {
    assert.equal(isRoomId(bad), false, bad);
    assert.ok(roomIdProblem(bad)?.endsWith("."), `${bad} is told in a sentence`);
  }
});

test("a suggestion is a room id or nothing", () => {
  assert.equal(suggestRoomId("My café, live!"), "My-cafe-live");
  assert.equal(suggestRoomId("--__x"), "x");
  assert.equal(suggestRoomId("日本"), "");
  assert.equal(suggestRoomId("y".repeat(90)).length, 64);
});

test("the server of a module, below a path too", () => {
  assert.equal(serverOf("https://example.com/sdk/v1/room.js"), "https://example.com/");
  assert.equal(serverOf("https://example.com/live/sdk/v1/elements/base.js"), "https://example.com/live/");
  assert.equal(serverOf("https://cdn.example.com/bundle.js"), undefined);
  assert.equal(serverOf("file:///x/sdk/v1/room.js"), undefined);
});

test("endpoints", () => {
  assert.equal(endpointOf("whip", "a", "https://example.com"), "https://example.com/whip/a");
  assert.equal(endpointOf("whep", "a", "https://example.com/live/"), "https://example.com/live/whep/a");
});
