import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { readEvents } from "../assets/lib/api.js";
import { bitrateText, clockText, flagOf, hashOf, proposeRoom, publicationText, roomOfPath, secondsSince, sentenceText, shareText, sizeText, spanText } from "../assets/lib/format.js";
import { isRoomId } from "../sdk/room.js";

test("figures as people read them", () => {
  assert.deepEqual([0, 96_400, 999_600, 2_540_000, 12_300_000].map(bitrateText), ["0 kbit/s", "96 kbit/s", "1.0 Mbit/s", "2.5 Mbit/s", "12 Mbit/s"]);
  assert.deepEqual([0, 0.0004, 0.013, 0.2, NaN].map(shareText), ["0 %", "< 0.1 %", "1.3 %", "20 %", "0 %"]);
  assert.deepEqual([0, 640_400, 1_234_000, 85e6, 2.5e9].map(sizeText), ["0 kB", "640 kB", "1.2 MB", "85 MB", "2.5 GB"]);
  assert.deepEqual([0, 65, 3723].map(clockText), ["0:00", "1:05", "1:02:03"]);
  assert.deepEqual([5, 60, 3660, 90_000].map(spanText), ["5 s", "1 min", "1 h 1 min", "1 d 1 h"]);
  assert.equal(secondsSince("1970-01-01T00:00:10Z", 4000), 0);
  assert.equal(secondsSince(undefined, 4000), undefined);
});

test("a publication in words, by its best layer", () => {
  const layers = [{ width: 320, height: 180, frames_per_second: 15 }, { width: 1280, height: 720, frames_per_second: 29.97 }];
  assert.equal(publicationText({ kind: "video", codec: "H264", layers }), "H264 1280×720 30 fps 2 layers");
  assert.equal(publicationText({ kind: "audio", codec: "opus", layers: [{}] }), "Opus");
  assert.equal(publicationText({ kind: "video" }), "");
});

test("the room of a path", () => {
  assert.equal(roomOfPath("/watch/studio"), "studio");
  assert.equal(roomOfPath("/live/watch/a%20b/"), "a b");
  assert.equal(roomOfPath("/watch/%zz"), "%zz");
  assert.equal(roomOfPath("/"), "");
});

test("messages of the server as sentences", () => {
  assert.equal(sentenceText("no sound; check the microphone"), "No sound; check the microphone.");
  assert.equal(sentenceText("Is it on?"), "Is it on?");
  assert.equal(sentenceText(" "), "");
});

test("flags of an address", () => {
  const query = new URLSearchParams("a&b=1&c=0&d=FALSE&e=maybe");
  assert.deepEqual(["a", "b", "c", "d", "e", "f"].map((name) => flagOf(query, name, true)), [true, true, false, false, true, true]);
  assert.equal(flagOf(query, "f", false), false);
});

test("proposed names are room ids", () => {
  for (const random of [0, 0.5, 0.999999]) assert.ok(isRoomId(proposeRoom(() => random)));
  assert.equal(hashOf("studio"), hashOf("studio"));
  assert.notEqual(hashOf("studio"), hashOf("studio2"));
});

test("events in any cut, with any line ends", async () => {
  const text = ": hello\r\nretry: 2000\r\n\r\nid: 7\r\nevent: room.live\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent: x\ndata:é\n\n";
  const bytes = new TextEncoder().encode(text);
  for (const step of [1, 2, 3, 7, bytes.length]) {
    /** @type {{ name: string, data: string, id: string }[]} */
    const events = [];
    let at = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (at >= bytes.length) controller.close();
        else controller.enqueue(bytes.slice(at, (at += step)));
      },
    });
    await readEvents(body, (event) => events.push(event));
    assert.deepEqual(events, [
      { name: "room.live", data: '{"a":\n1}', id: "7" },
      { name: "x", data: "é", id: "" },
    ], `in steps of ${step}`);
  }
});

test("a line without end is not kept for ever", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(16_384).fill(97)),
    cancel: () => {
      cancelled = true;
    },
  });
  await readEvents(body, () => assert.fail("there is no event"));
  assert.ok(cancelled);
});

test("pages keep to the content security policy and to this server", async () => {
  const folder = new URL("../pages/", import.meta.url);
  for (const name of await readdir(folder)) {
    const html = await readFile(new URL(name, folder), "utf8");
    assert.ok(!/\sstyle=/.test(html), `${name} has a style attribute`);
    assert.ok(!/<style/.test(html), `${name} has a style element`);
    assert.ok(!/\son[a-z]+=/.test(html), `${name} has an inline listener`);
    assert.ok(!/<script(?![^>]*\bsrc=)/.test(html), `${name} has an inline script`);
    assert.ok(!/(?:src|href)="(?:https?:)?\/\//.test(html), `${name} asks another server for something`);
    assert.match(html, /<html lang="en"/);
    assert.match(html, /<title>[^<]+<\/title>/);
    assert.match(html, /<main/);
  }
});
