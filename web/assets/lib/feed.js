/**
 * What feeds a room: which door, which encoder, and what comes in.
 *
 * Owns: pure functions from the control API's room to text. Never touches the document.
 * @module
 */

import { bitrateText, codecText, secondsSince, shareText, spanText } from "./format.js";

/** @type {Record<string, string>} */
const DOORS = { whip: "WHIP", whep: "WHEP", rtmp: "RTMP", rtsp: "RTSP", srt: "SRT", ftl: "FTL", udp: "UDP", hls: "HLS", pull: "Pull", relay: "Relay", fallback: "Fallback" };

/** Longest name of an encoder that is shown, in characters: it is the encoder's own word. */
const NAME_LENGTH = 60;

/**
 * Programs by what they call themselves; the first that fits.
 * @type {[RegExp, string][]}
 */
const PROGRAMS = [
  [/\bobs|libobs/i, "OBS"],
  [/lavf|ffmpeg/i, "FFmpeg"],
  [/gstreamer/i, "GStreamer"],
  [/larix/i, "Larix"],
  [/\bvmix/i, "vMix"],
  [/wirecast/i, "Wirecast"],
  [/edg(?:e|a|ios)?\//i, "Edge"],
  [/firefox|fxios/i, "Firefox"],
  [/chrom(?:e|ium)|crios/i, "Chrome"],
  [/safari/i, "Safari"],
];

/**
 * @param {string} door As the control API names it.
 * @returns {string} As people write it.
 */
export const doorText = (door) => DOORS[door] ?? door.toUpperCase();

/**
 * @param {string | undefined} agent What a client calls itself.
 * @returns {string} Its program's name; empty where it says nothing.
 */
export function encoderText(agent) {
  const text = agent?.trim() ?? "";
  const known = PROGRAMS.find(([pattern]) => pattern.test(text))?.[1];
  return known ?? (text.length > NAME_LENGTH ? `${text.slice(0, NAME_LENGTH - 1)}…` : text);
}

/**
 * @typedef {object} Feed
 * @property {string} participant
 * @property {string} [door] As the control API names it; unknown to those who may not see sessions.
 * @property {string} title Such as `OBS is live over RTMP`.
 * @property {string} agent What the encoder calls itself, where that says more than its name; may be empty.
 * @property {[string, string][]} facts Names and values, in order.
 */

/**
 * Publishers of a room, whose media arrives or did so a moment ago.
 * @param {import("./api.js").Room} room
 * @param {number} now Milliseconds since the epoch.
 * @returns {Feed[]}
 */
export function feedsOf(room, now) {
  return (room.participants ?? [])
    .filter((one) => one.publishing && (one.publications?.length ?? 0) > 0)
    .map((one) => {
      const session = one.sessions?.filter((each) => each.direction === "publish").at(-1);
      const name = encoderText(session?.user_agent);
      const title = `${name || "An encoder"} is live${session ? ` over ${doorText(session.door)}` : ""}`;
      return { participant: one.id, door: session?.door, title, agent: agentText(session?.user_agent), facts: factsOf(one.publications ?? [], session, room, now) };
    });
}

/**
 * @param {import("./api.js").Publication[]} publications
 * @param {import("./api.js").Session | undefined} session
 * @param {import("./api.js").Room} room
 * @param {number} now
 * @returns {[string, string][]}
 */
function factsOf(publications, session, room, now) {
  const video = publications.filter((one) => one.kind === "video");
  const audio = publications.filter((one) => one.kind === "audio");
  const layers = video.flatMap((one) => one.layers);
  const best = layers.reduce(
    (/** @type {import("./api.js").Layer | undefined} */ most, one) => ((one.height ?? 0) > (most?.height ?? 0) || !most ? one : most),
    undefined,
  );
  // Feeds of frames count in their layers, packets in their session.
  const layered = publications.flatMap((one) => one.layers).reduce((sum, one) => sum + one.bitrate, 0);
  const interval = best?.keyframe_interval_ms;
  const loss = Math.max(session?.stats.loss ?? 0, ...publications.map((one) => one.loss));
  const since = secondsSince(session?.since ?? room.live_since, now);
  const codecs = (/** @type {import("./api.js").Publication[]} */ of) => of.map((one) => codecText(one.codec)).filter(Boolean).join(", ");
  return [
    ["Door", session ? doorText(session.door) : "not told"],
    ["Video", video.length === 0 ? "none" : codecs(video) || "–"],
    ["Audio", audio.length === 0 ? "none" : codecs(audio) || "–"],
    ["Picture", best?.height ? `${best.width}×${best.height}${layers.length > 1 ? `, ${layers.length} layers` : ""}` : video.length === 0 ? "none" : "–"],
    ["Frames per second", best?.frames_per_second ? String(Math.round(best.frames_per_second)) : "–"],
    ["Bitrate", bitrateText(session?.stats.bitrate_in || layered)],
    ["Keyframe interval", interval === undefined ? "–" : `${(interval / 1000).toFixed(1)} s`],
    ["Lost on the way", shareText(loss)],
    ["Live for", since === undefined ? "–" : spanText(since)],
  ];
}

/**
 * @param {string | undefined} agent
 * @returns {string} Empty where it is the name alone, or a browser's: theirs name every browser there is.
 */
function agentText(agent) {
  const text = agent?.trim() ?? "";
  return text === encoderText(agent) || text.startsWith("Mozilla/") || text.length > NAME_LENGTH ? "" : text;
}
