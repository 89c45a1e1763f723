/**
 * Which way media comes: WebRTC first, HLS by choice or where WebRTC cannot be.
 *
 * Owns: the decision. Never connects.
 * @module
 */

import { ConnectionError, ErrorCode, SignallingError } from "./errors.js";

/** Ways that media can come, and leaving the choice to the player. */
export const Transport = Object.freeze({
  Auto: "auto",
  WebRtc: "webrtc",
  Hls: "hls",
});

/** @typedef {typeof Transport[keyof typeof Transport]} TransportValue */

/** What each is called on the screen. */
export const TRANSPORT_NAMES = Object.freeze({ auto: "Auto", webrtc: "WebRTC", hls: "HLS" });

/** Type of the problem that somebody is live in a form that WebRTC cannot show. */
const UNPLAYABLE = "urn:inver:problem:unplayable";

/**
 * Reads the attribute `transport`.
 * @param {string | null} text
 * @returns {TransportValue}
 */
export function transportOf(text) {
  const word = text?.trim().toLowerCase();
  return word === Transport.WebRtc || word === Transport.Hls ? word : Transport.Auto;
}

/**
 * Whether an error of WebRTC is one that HLS does not have: media finds no way, or browsers cannot be sent what somebody
 * publishes. Where nobody is live, or nothing is permitted, HLS would say the same.
 * @param {unknown} error
 * @param {boolean} everPlayed Whether WebRTC has worked before: then what broke is the way, which may heal.
 * @returns {boolean}
 */
export function isForHls(error, everPlayed) {
  if (error instanceof SignallingError) {
    return error.problem?.type === UNPLAYABLE || error.code === ErrorCode.Unprocessable;
  }
  if (error instanceof ConnectionError) {
    return !everPlayed && (error.code === ErrorCode.Timeout || error.code === ErrorCode.ConnectionLost);
  }
  return false;
}

/**
 * Address of a room's playlist.
 * @param {string} room
 * @param {string} server Base address of the server.
 * @returns {string}
 */
export function playlistOf(room, server) {
  const base = server.endsWith("/") ? server : `${server}/`;
  return new URL(`hls/${encodeURIComponent(room)}/index.m3u8`, base).href;
}

/**
 * Whether an address is one of a playlist.
 * @param {string} address
 * @returns {boolean}
 */
export function isPlaylist(address) {
  return /\.m3u8(?:[?#]|$)/.test(address);
}
