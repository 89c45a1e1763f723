import assert from "node:assert/strict";
import { test } from "node:test";
import { StatsReader } from "../sdk/stats.js";

const inbound = (/** @type {number} */ timestamp, /** @type {Record<string, number>} */ sums) => [
  { id: "T", type: "transport", selectedCandidatePairId: "P" },
  { id: "P", type: "candidate-pair", state: "succeeded", currentRoundTripTime: 0.02, localCandidateId: "L", remoteCandidateId: "R" },
  { id: "L", type: "local-candidate", protocol: "udp", candidateType: "host" },
  { id: "R", type: "remote-candidate", address: "2001:db8::1", port: 7000 },
  { id: "C", type: "codec", mimeType: "video/VP8" },
  { id: "V", type: "inbound-rtp", kind: "video", codecId: "C", timestamp, frameWidth: 640, frameHeight: 360, framesPerSecond: 30, ...sums },
];

test("sums become rates between two samples", () => {
  const reader = new StatsReader();
  const first = reader.readInbound(
    inbound(1000, { bytesReceived: 1000, packetsReceived: 10, packetsLost: 0, jitterBufferDelay: 1, jitterBufferEmittedCount: 10 }),
    1,
  );
  assert.equal(first.video?.bitrate, 0);
  const second = reader.readInbound(
    inbound(2000, {
      bytesReceived: 126_000,
      packetsReceived: 109,
      packetsLost: 1,
      jitterBufferDelay: 1.6,
      jitterBufferEmittedCount: 40,
      totalDecodeTime: 0.06,
      framesDecoded: 30,
    }),
    2,
  );
  assert.equal(second.bitrate, 1_000_000);
  assert.equal(second.video?.codec, "VP8");
  assert.equal(second.video?.loss, 0.01);
  assert.ok(Math.abs((second.video?.bufferMs ?? 0) - 20) < 1e-6);
  assert.ok(Math.abs((second.latencyMs ?? 0) - (10 + 20 + 2)) < 1e-6);
  assert.equal(second.transport.remoteAddress, "[2001:db8::1]:7000");
});

test("a counter that starts anew gives no negative rate", () => {
  const reader = new StatsReader();
  reader.readInbound(inbound(1000, { bytesReceived: 5000 }), 1);
  assert.equal(reader.readInbound(inbound(2000, { bytesReceived: 100 }), 2).bitrate, 0);
});

test("layers of a publisher from the smallest up, with the worst loss", () => {
  const layer = (/** @type {string} */ rid, /** @type {number} */ width, /** @type {number} */ bytesSent, /** @type {number} */ timestamp) => ({
    id: rid,
    type: "outbound-rtp",
    kind: "video",
    rid,
    timestamp,
    frameWidth: width,
    bytesSent,
    qualityLimitationReason: rid === "h" ? "cpu" : "none",
  });
  const reader = new StatsReader();
  reader.readOutbound([layer("h", 1280, 0, 1000), layer("l", 320, 0, 1000)], 1);
  const stats = reader.readOutbound(
    [
      layer("h", 1280, 125_000, 2000),
      layer("l", 320, 12_500, 2000),
      { id: "r1", type: "remote-inbound-rtp", kind: "video", fractionLost: 0.1, roundTripTime: 0.05 },
      { id: "r2", type: "remote-inbound-rtp", kind: "video", fractionLost: 0.02 },
    ],
    2,
  );
  assert.deepEqual(stats.video?.layers.map((one) => [one.rid, one.bitrate, one.limitedBy]), [
    ["l", 100_000, undefined],
    ["h", 1_000_000, "cpu"],
  ]);
  assert.equal(stats.video?.loss, 0.1);
  assert.equal(stats.transport.roundTripMs, 50);
  assert.equal(stats.bitrate, 1_100_000);
});

test("an empty report is no error", () => {
  assert.deepEqual(new StatsReader().readInbound([], 5), { at: 5, transport: {}, bitrate: 0, bytesReceived: 0 });
});
