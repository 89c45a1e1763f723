import assert from "node:assert/strict";
import { test } from "node:test";
import { Timeline, spanText, spanWords } from "../sdk/elements/timeline.js";
import { ConnectionError, ErrorCode, InverError, SignallingError } from "../sdk/errors.js";
import { latencyOf, layersOf } from "../sdk/hls.js";
import { isForHls, isPlaylist, playlistOf, transportOf } from "../sdk/transport.js";

test("the delay is that of the capture where the clocks agree", () => {
  const now = 1_000_000;
  assert.deepEqual(latencyOf(now, now - 1500, 1000), { latencyMs: 1500, measured: true });
  assert.deepEqual(latencyOf(now, now - 1500, undefined), { latencyMs: 1500, measured: true });
  // A clock that is ahead, one that is behind, and none.
  assert.deepEqual(latencyOf(now, now + 60_000, 1000), { latencyMs: 1000, measured: false });
  assert.deepEqual(latencyOf(now, now - 60_000, 1000), { latencyMs: 1000, measured: false });
  assert.deepEqual(latencyOf(now, undefined, 1000), { latencyMs: 1000, measured: false });
  assert.deepEqual(latencyOf(now, NaN, undefined), { latencyMs: undefined, measured: false });
});

test("levels are layers, the best first, by their number", () => {
  const layers = layersOf([{ bitrate: 96_000 }, { width: 1280, height: 720, bitrate: 2e6 }, { width: 640, height: 360, bitrate: 5e5 }]);
  assert.deepEqual(layers.map(({ id, height, rid }) => [id, height, rid]), [["1", 720, undefined], ["2", 360, undefined], ["0", undefined, "Sound"]]);
});

test("HLS takes over where WebRTC cannot be, and only there", () => {
  const refused = (/** @type {any} */ code, /** @type {string} */ type) => new SignallingError(code, "no", { problem: { type } });
  assert.ok(isForHls(refused(ErrorCode.NotLive, "urn:inver:problem:unplayable"), false));
  assert.ok(isForHls(refused(ErrorCode.Unprocessable, "about:blank"), false));
  assert.ok(isForHls(new ConnectionError(ErrorCode.ConnectionLost, "no way"), false));
  assert.ok(isForHls(new ConnectionError(ErrorCode.Timeout, "no way"), false));
  // A way that worked may heal; what HLS would refuse, too, is no reason.
  assert.ok(!isForHls(new ConnectionError(ErrorCode.ConnectionLost, "gone"), true));
  assert.ok(!isForHls(new ConnectionError(ErrorCode.Ended, "ended"), false));
  assert.ok(!isForHls(refused(ErrorCode.NotLive, "about:blank"), false));
  assert.ok(!isForHls(refused(ErrorCode.Unauthorized, "about:blank"), false));
  assert.ok(!isForHls(new InverError(ErrorCode.Network, "down"), false));
});

test("wishes and addresses", () => {
  assert.deepEqual([null, "", "HLS ", "webrtc", "carrier pigeon"].map(transportOf), ["auto", "auto", "hls", "webrtc", "auto"]);
  assert.equal(playlistOf("studio", "https://example.com/live"), "https://example.com/live/hls/studio/index.m3u8");
  assert.deepEqual(["a.m3u8", "https://a/b.m3u8?token=x", "/whep/m3u8", "a.m3u8x"].map(isPlaylist), [true, true, false, false]);
});

test("positions as people read and hear them", () => {
  assert.deepEqual([0, 35.4, 65, 3723].map(spanText), ["0:00", "0:35", "1:05", "1:02:03"]);
  assert.deepEqual([1, 60, 65, 121].map(spanWords), ["1 second", "1 minute", "1 minute 5 seconds", "2 minutes 1 second"]);
});

/** What the timeline uses of an element. */
class Control extends EventTarget {
  hidden = true;
  min = "";
  max = "";
  value = "";
  title = "";
  setAttribute() {}
}

test("there is a bar where there is a past, and a way back to live", () => {
  const bar = new Control();
  const live = new Control();
  /** @type {(number | "live")[]} */
  const asked = [];
  const act = { seek: (/** @type {number} */ to) => asked.push(to), goLive: () => asked.push("live") };
  const timeline = new Timeline(/** @type {any} */ (bar), /** @type {any} */ (live), act);
  const at = (/** @type {number} */ start, /** @type {number} */ position) => ({
    start,
    end: 100,
    position,
    behind: 100 - position,
    live: position > 96,
  });
  assert.ok(!timeline.show(undefined));
  assert.ok(!timeline.show(at(68, 99)));
  assert.deepEqual([bar.hidden, live.hidden], [true, true]);
  // Behind live in a short window there is no bar, but a way back.
  assert.ok(!timeline.show(at(68, 80)));
  assert.deepEqual([bar.hidden, live.hidden], [true, false]);
  assert.ok(timeline.show(at(10, 65)));
  assert.deepEqual([bar.hidden, live.hidden, bar.min, bar.max, bar.value], [false, false, "10", "100", "65"]);
  assert.equal(bar.title, "35 seconds behind live");
  // While it is dragged it stays where the hand is, and nothing is sought before it lets go.
  bar.value = "40";
  bar.dispatchEvent(new Event("input"));
  timeline.show(at(11, 66));
  assert.deepEqual([bar.value, bar.title, asked], ["40", "1 minute behind live", []]);
  bar.dispatchEvent(new Event("change"));
  live.dispatchEvent(new Event("click"));
  assert.deepEqual(asked, [40, "live"]);
  timeline.show(at(11, 99));
  assert.deepEqual([bar.value, bar.title, live.hidden], ["100", "Live", true]);
});
