import assert from "node:assert/strict";
import { test } from "node:test";
import { doorText, encoderText, feedsOf } from "../assets/lib/feed.js";

const NOW = Date.parse("2030-01-01T00:01:30Z");

/** @returns {import("../assets/lib/api.js").Room} */
const room = () => ({
  id: "studio",
  kind: "broadcast",
  live: true,
  viewers: 0,
  live_since: "2030-01-01T00:00:00Z",
  participants: [
    {
      id: "viewer",
      publishing: false,
      sessions: [],
      publications: [],
    },
    {
      id: "main",
      publishing: true,
      sessions: [
        {
          id: 1,
          participant: "main",
          door: "rtmp",
          direction: "publish",
          state: "connected",
          since: "2030-01-01T00:01:00Z",
          user_agent: "obs-output module (libobs version 30.1.2)",
          stats: { bitrate_in: 0, bitrate_out: 0, loss: 0, nacks: 0, keyframe_requests: 0 },
        },
      ],
      publications: [
        { kind: "audio", codec: "AAC", loss: 0, layers: [{ frames_per_second: 0, bitrate: 160_000, active: true, spatial_layers: 1, temporal_layers: 1 }] },
        {
          kind: "video",
          codec: "H264",
          loss: 0.02,
          layers: [
            { width: 640, height: 360, frames_per_second: 30, bitrate: 400_000, active: true, spatial_layers: 1, temporal_layers: 1 },
            { width: 1280, height: 720, frames_per_second: 29.97, bitrate: 2_000_000, keyframe_interval_ms: 2000, active: true, spatial_layers: 1, temporal_layers: 1 },
          ],
        },
      ],
    },
  ],
});

test("a feed is told with its door, its encoder and its best layer", () => {
  const [feed, ...others] = feedsOf(room(), NOW);
  assert.equal(others.length, 0);
  assert.equal(feed?.title, "OBS is live over RTMP");
  assert.equal(feed?.agent, "obs-output module (libobs version 30.1.2)");
  assert.deepEqual(Object.fromEntries(feed?.facts ?? []), {
    Door: "RTMP",
    Video: "H264",
    Audio: "AAC",
    Picture: "1280×720, 2 layers",
    "Frames per second": "30",
    Bitrate: "2.6 Mbit/s",
    "Keyframe interval": "2.0 s",
    "Lost on the way": "2.0 %",
    "Live for": "30 s",
  });
});

test("a browser's own words are not shown, and neither are long ones", () => {
  for (const agent of ["Mozilla/5.0 Chrome/140.0.0.0", "x".repeat(80), "Teradek", undefined]) {
    const one = room();
    const session = one.participants?.[1]?.sessions?.[0];
    assert.ok(session);
    session.user_agent = agent;
    assert.equal(feedsOf(one, NOW)[0]?.agent, "");
  }
});

test("a session that counts its bits is believed over its layers", () => {
  const counted = room();
  const session = counted.participants?.[1]?.sessions?.[0];
  assert.ok(session);
  session.stats.bitrate_in = 3_000_000;
  assert.equal(new Map(feedsOf(counted, NOW)[0]?.facts).get("Bitrate"), "3.0 Mbit/s");
});

test("readers who see no sessions get what there is", () => {
  const reduced = room();
  for (const one of reduced.participants ?? []) one.sessions = [];
  const [feed] = feedsOf(reduced, NOW);
  assert.equal(feed?.title, "An encoder is live");
  assert.equal(feed?.door, undefined);
  const facts = new Map(feed?.facts);
  assert.equal(facts.get("Door"), "not told");
  assert.equal(facts.get("Live for"), "1 min");
});

test("sound alone and pictures alone", () => {
  for (const [kind, missing, name] of [
    ["audio", "Video", "Picture"],
    ["video", "Audio", "Audio"],
  ]) {
    const one = room();
    const main = one.participants?.[1];
    assert.ok(main && name);
    main.publications = main.publications?.filter((each) => each.kind === kind);
    const facts = new Map(feedsOf(one, NOW)[0]?.facts);
    assert.equal(facts.get(missing ?? ""), "none");
    assert.equal(facts.get(name), "none");
  }
});

test("a publisher who is away feeds nothing", () => {
  const away = room();
  const main = away.participants?.[1];
  assert.ok(main);
  main.publications = [];
  assert.deepEqual(feedsOf(away, NOW), []);
});

test("programs by what they call themselves", () => {
  const agents = {
    "Lavf59.27.100": "FFmpeg",
    "FMLE/3.0 (compatible; Lavf59.27.100)": "FFmpeg",
    "OBS-Studio/30.2.0": "OBS",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36": "Chrome",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": "Firefox",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0": "Edge",
    "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15": "Safari",
    "Teradek Cube": "Teradek Cube",
  };
  for (const [agent, name] of Object.entries(agents)) assert.equal(encoderText(agent), name, agent);
  assert.equal(encoderText(undefined), "");
  assert.equal(encoderText("x".repeat(500)).length, 60);
  assert.deepEqual(["srt", "udp", "whip", "ndi"].map(doorText), ["SRT", "UDP", "WHIP", "NDI"]);
});
