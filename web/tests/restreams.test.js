import assert from "node:assert/strict";
import { test } from "node:test";
import { statusText } from "../assets/lib/restreams.js";

const since = "2026-01-01T00:00:00Z";
const now = Date.parse(since) + 65_000;

test("how pushes and pulls fare, in words", () => {
  /** @param {Partial<import("../assets/lib/restreams.js").Status>} status */
  const one = (status, more = {}) => ({ id: "a", url: "srt://h:1", configured: false, ...more, status: /** @type {import("../assets/lib/restreams.js").Status} */ ({ since, ...status }) });
  assert.equal(statusText(one({ state: "live" }), "pushes", now), "live for 1 min");
  assert.equal(statusText(one({ state: "live", reason: "the target is slow" }), "pushes", now), "live for 1 min, but the target is slow");
  assert.equal(statusText(one({ state: "waiting" }), "pushes", now), "waits for a publisher");
  assert.equal(statusText(one({ state: "waiting" }, { on_demand: true }), "pulls", now), "waits for a viewer");
  assert.equal(statusText(one({ state: "connecting" }), "pulls", now), "connecting");
  assert.equal(statusText(one({ state: "connecting", reason: "no answer" }), "pulls", now), "connecting again; before: no answer");
  const retry = one({ state: "retrying", reason: "no answer", retry_at: "2026-01-01T00:01:09Z" });
  assert.equal(statusText(retry, "pushes", now), "no answer; next try in 4 s");
  assert.equal(statusText(one({ state: "retrying" }), "pushes", now), "failed; next try in 0 s");
});
