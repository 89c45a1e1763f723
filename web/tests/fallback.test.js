import assert from "node:assert/strict";
import { test } from "node:test";
import { fallbackText } from "../assets/lib/fallback.js";

const since = "2026-01-01T00:00:00Z";
const now = Date.parse(since) + 65_000;

test("what is shown while the publisher is gone, in words", () => {
  /** @param {Partial<import("../assets/lib/restreams.js").Status>} status */
  const one = (status, more = {}) => ({
    url: "file:slate.png",
    after_ms: 2000,
    longest_seconds: 600,
    always: false,
    configured: false,
    ...more,
    status: /** @type {import("../assets/lib/restreams.js").Status} */ ({ since, ...status }),
  });
  assert.equal(fallbackText(one({ state: "waiting" }), now), "file:slate.png: 2 s after the publisher is gone, for 10 min at most");
  assert.equal(fallbackText(one({ state: "waiting" }, { always: true }), now), "file:slate.png: 2 s after the publisher is gone");
  assert.equal(fallbackText(one({ state: "live" }), now), "file:slate.png: shown for 1 min");
  assert.equal(fallbackText(one({ state: "retrying", reason: "no such file" }), now), "file:slate.png: no such file");
});
