import assert from "node:assert/strict";
import { test } from "node:test";
import { ErrorCode, InverError, SignallingError, codeOfStatus, parseRetryAfter } from "../sdk/errors.js";
import { Backoff, delay, isWorthRetrying, retryAfterOf } from "../sdk/retry.js";

test("waits double up to the bound and start anew after a success", () => {
  const backoff = new Backoff({ first: 100, most: 1000, random: () => 1 });
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(() => backoff.next()), [100, 200, 400, 800, 1000, 1000]);
  assert.equal(backoff.attempt, 6);
  backoff.reset();
  assert.equal(backoff.next(), 100);
});

test("jitter takes at most half", () => {
  assert.equal(new Backoff({ first: 100, random: () => 0 }).next(), 50);
});

test("what the server asks for is waited, and never an hour", () => {
  const backoff = new Backoff({ first: 100, random: () => 0.5 });
  assert.equal(backoff.next(2000), 2125);
  assert.equal(backoff.next(3_600_000), 60_125);
});

test("Retry-After in seconds, as a date, and nonsense", () => {
  assert.equal(parseRetryAfter("3", 0), 3000);
  assert.equal(parseRetryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 4000), 6000);
  assert.equal(parseRetryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 40_000), 0);
  assert.equal(parseRetryAfter("soon", 0), undefined);
  assert.equal(parseRetryAfter(null, 0), undefined);
});

test("409 means another thing at each door", () => {
  assert.equal(codeOfStatus(409, "whip"), ErrorCode.Taken);
  assert.equal(codeOfStatus(409, "whep"), ErrorCode.NotLive);
  assert.equal(codeOfStatus(503, "whep"), ErrorCode.Unavailable);
  assert.equal(codeOfStatus(415, "whip"), ErrorCode.BadRequest);
});

test("a wrong key is not tried again, a full server is", () => {
  const refused = (/** @type {import("../sdk/errors.js").ErrorCodeValue} */ code) => new SignallingError(code, "x", { retryAfter: 5 });
  assert.equal(isWorthRetrying(refused(ErrorCode.Unauthorized)), false);
  assert.equal(isWorthRetrying(refused(ErrorCode.Taken)), false);
  assert.equal(isWorthRetrying(refused(ErrorCode.Unavailable)), true);
  assert.equal(isWorthRetrying(new Error("x")), false);
  assert.equal(retryAfterOf(refused(ErrorCode.Unavailable)), 5);
  assert.equal(retryAfterOf(new InverError(ErrorCode.Network, "x")), undefined);
});

test("a wait ends with its signal", async () => {
  const stop = new AbortController();
  const waiting = delay(60_000, stop.signal);
  stop.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(delay(1, stop.signal), /enough/);
});
