import assert from "node:assert/strict";
import { test } from "node:test";
import { encodingsOf, offerFirst, preferCodec } from "../sdk/codecs.js";
import { layerName, layerRequest, readLayers } from "../sdk/layers.js";

const EVENT = {
  1: [
    { rid: "l", temporalLayerId: 0, bitrate: 60_000, width: 320, height: 180 },
    { rid: "l", temporalLayerId: 1, bitrate: 110_000, width: 320, height: 180 },
    { rid: "h", temporalLayerId: 1, width: 1280, height: 720, targetBitrate: 2_000_000 },
  ],
};

test("one entry per picture, the best first, with its highest temporal layer", () => {
  const layers = readLayers(EVENT);
  assert.deepEqual(layers.map(layerName), ["720p", "180p"]);
  assert.deepEqual(layers.map((layer) => layer.active), [false, true]);
  assert.equal(layers[1]?.bitrate, 110_000);
});

test("what a server should not send is left out", () => {
  for (const data of [null, undefined, 3, "x", [], { x: [{ rid: "a" }] }, { 0: "x" }, { 0: [null, 4, {}, { rid: 4 }] }]) {
    assert.deepEqual(readLayers(data), []);
  }
  assert.equal(readLayers({ 0: Array.from({ length: 500 }, (_, index) => ({ rid: `r${index}` })) }).length, 64);
});

test("older drafts put the list into an object and call the rid encodingId", () => {
  assert.equal(readLayers({ 0: { active: [], layers: [{ encodingId: "q", bitrate: 1 }] } })[0]?.rid, "q");
});

test("requests for a layer, for a size, and for the server's choice", () => {
  const [best] = readLayers(EVENT);
  assert.deepEqual(layerRequest(best), { mediaId: "1", rid: "h" });
  assert.deepEqual(layerRequest({ maxHeight: 360 }, "1"), { mediaId: "1", maxHeight: 360 });
  assert.deepEqual(layerRequest(undefined, "1"), { mediaId: "1" });
  assert.deepEqual(layerRequest(undefined), {});
});

test("a preferred codec comes first and leaves the others", () => {
  const capabilities = ["video/VP8", "video/rtx", "video/H264", "video/AV1"].map((mimeType) => ({ mimeType }));
  const names = (/** @type {string} */ name) => offerFirst(capabilities, name).map((one) => one.mimeType.slice(6));
  assert.deepEqual(names("H264"), ["H264", "rtx", "VP8", "AV1"]);
  assert.deepEqual(names("H265"), []);
});

test("a chosen codec brings its companions and no rival", () => {
  const capabilities = [
    { mimeType: "video/VP8" },
    { mimeType: "video/rtx" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=0;profile-level-id=42e01f" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=64001f" },
    { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=42e01f" },
  ];
  const chosen = preferCodec(capabilities, "H264");
  assert.equal(chosen.length, 4);
  assert.equal(chosen[0]?.sdpFmtpLine, "packetization-mode=1;profile-level-id=42e01f");
  assert.equal(chosen[3]?.mimeType, "video/rtx");
  assert.deepEqual(preferCodec(capabilities, "AV1"), []);
});

test("simulcast goes from the smallest to the full picture", () => {
  assert.deepEqual(encodingsOf({ maxBitrate: 1_000_000 }), [{ maxBitrate: 1_000_000 }]);
  const layers = encodingsOf({ maxBitrate: 2_000_000, simulcast: true });
  assert.deepEqual(layers.map((layer) => layer.rid), ["l", "m", "h"]);
  assert.deepEqual(layers.map((layer) => layer.scaleResolutionDownBy), [4, 2, 1]);
  assert.equal(layers[2]?.maxBitrate, 2_000_000);
});
