/**
 * Publishing over WHIP (RFC 9725).
 *
 * Owns: the transceivers of one publication. Never opens devices; see `sources.js`.
 * @module
 */

import { Client } from "./client.js";
import { VideoCodec, encodingsOf, offerFirst, preferCodec } from "./codecs.js";
import { ConnectionError, ErrorCode, MediaError } from "./errors.js";
import { request } from "./resource.js";
import { delay } from "./retry.js";
import { withFormatParameters } from "./sdp.js";
import { StatsReader } from "./stats.js";

/** Bits per second that sending begins with. Higher gives a good picture sooner, lower spares slow uplinks a first burst. */
const START_BITRATE = 1_200_000;

/** A server that stops closes its sessions shortly before its doors. */
const PROBE_AFTER_MS = 500;

/** States of a `WhipPublisher`. */
export const PublisherState = Object.freeze({
  Idle: "idle",
  Connecting: "connecting",
  Live: "live",
  Reconnecting: "reconnecting",
  Error: "error",
  Closed: "closed",
});

/** @typedef {typeof PublisherState[keyof typeof PublisherState]} PublisherStateValue */

/** Events of a `WhipPublisher`. */
export const PublisherEvent = Object.freeze({
  StateChanged: "stateChanged",
  StatsUpdated: "statsUpdated",
  Retrying: "retrying",
  Failed: "failed",
});

/**
 * @typedef {object} PublisherEvents
 * @property {{ state: PublisherStateValue, previous: PublisherStateValue }} stateChanged
 * @property {import("./stats.js").PublisherStats} statsUpdated
 * @property {{ error: import("./errors.js").InverError, wait: number }} retrying
 * @property {import("./errors.js").InverError} failed
 */

/**
 * @typedef {object} VideoOptions
 * @property {string} [codec] One of `VideoCodec`; the browser's choice where not given.
 * @property {string} [prefer] One that is better than others where no `codec` is given; sent where both sides can.
 * @property {number} [maxBitrate] Bits per second of the full picture.
 * @property {number} [maxFramerate]
 * @property {boolean} [simulcast]
 * @property {string} [scalabilityMode]
 * @property {"motion" | "detail" | "text"} [contentHint]
 * @property {RTCDegradationPreference} [degradationPreference]
 */

/**
 * @typedef {object} AudioOptions
 * @property {number} [maxBitrate] Bits per second.
 * @property {boolean} [stereo]
 */

/**
 * @typedef {import("./client.js").ClientOptions & { video?: VideoOptions, audio?: AudioOptions, data?: boolean }} PublisherOptions
 * `data` opens a data channel whose messages the server hands to viewers that have data channels.
 */

/**
 * Sends a `MediaStream` to a WHIP endpoint.
 *
 * ```js
 * const publisher = new WhipPublisher("https://example.com/whip/studio", stream, { token });
 * publisher.on(PublisherEvent.StateChanged, ({ state }) => console.log(state));
 * await publisher.start();
 * ```
 * @extends {Client<PublisherEvents>}
 */
export class WhipPublisher extends Client {
  #stream;
  #video;
  #audio;
  #withData;
  #reader = new StatsReader();
  /** @type {import("./stats.js").PublisherStats | undefined} */
  #stats;
  /** @type {RTCDataChannel | undefined} */
  #data;
  #liveAt = 0;

  /**
   * @param {string | URL} endpoint
   * @param {MediaStream} stream At most one audio and one video track are sent. The tracks stay the caller's to stop.
   * @param {PublisherOptions} [options]
   */
  constructor(endpoint, stream, options = {}) {
    super("whip", endpoint, options);
    this.#stream = stream;
    this.#video = { ...options.video };
    this.#audio = { ...options.audio };
    this.#withData = options.data ?? false;
  }

  /** @returns {PublisherStateValue} */
  get state() {
    return /** @type {PublisherStateValue} */ (this.currentState);
  }

  /** The last sample. */
  get stats() {
    return this.#stats;
  }

  /** What is sent. */
  get stream() {
    return this.#stream;
  }

  /**
   * Puts another track in the place of one of its kind, without a new session.
   * @param {MediaStreamTrack} track
   * @returns {Promise<void>}
   */
  async replaceTrack(track) {
    for (const old of this.#stream.getTracks()) {
      if (old.kind === track.kind && old !== track) this.#stream.removeTrack(old);
    }
    this.#stream.addTrack(track);
    if (track.kind === "video") this.#hint(track);
    const sender = this.#senderOf(track.kind);
    await sender?.replaceTrack(track);
  }

  /**
   * Changes limits of the picture while live.
   * @param {{ maxBitrate?: number, maxFramerate?: number }} limits
   * @returns {Promise<void>}
   */
  async setVideoLimits(limits) {
    Object.assign(this.#video, limits);
    const sender = this.#senderOf("video");
    if (!sender) return;
    const parameters = sender.getParameters();
    const wanted = encodingsOf(this.#video);
    parameters.encodings.forEach((encoding, index) => {
      const { maxBitrate, maxFramerate } = wanted[index] ?? {};
      if (maxBitrate !== undefined) encoding.maxBitrate = maxBitrate;
      if (maxFramerate !== undefined) encoding.maxFramerate = maxFramerate;
    });
    await sender.setParameters(parameters);
  }

  /**
   * Sends a message to the viewers; dropped where the channel is not open.
   * @param {string | ArrayBuffer} message
   * @returns {boolean} Whether it was sent.
   */
  send(message) {
    if (this.#data?.readyState !== "open") return false;
    if (typeof message === "string") this.#data.send(message);
    else this.#data.send(message);
    return true;
  }

  /** @param {string} kind */
  #senderOf(kind) {
    return this.peerConnection?.getTransceivers().find((one) => one.receiver.track.kind === kind)?.sender;
  }

  /** @param {MediaStreamTrack} track */
  #hint(track) {
    if (this.#video.contentHint && "contentHint" in track) track.contentHint = this.#video.contentHint;
  }

  /** @override @param {RTCPeerConnection} peer @protected */
  prepare(peer) {
    const audio = this.#stream.getAudioTracks()[0];
    const video = this.#stream.getVideoTracks()[0];
    if (!audio && !video) throw new MediaError(ErrorCode.MediaNotFound, "There is nothing to publish: the stream has no track.");
    if (audio) {
      const encodings = this.#audio.maxBitrate ? [{ maxBitrate: this.#audio.maxBitrate }] : undefined;
      peer.addTransceiver(audio, { direction: "sendonly", streams: [this.#stream], ...(encodings && { sendEncodings: encodings }) });
    }
    if (video) this.#prepareVideo(peer, video);
    if (this.#withData) this.#data = peer.createDataChannel("data");
    this.#reader = new StatsReader();
  }

  /**
   * @param {RTCPeerConnection} peer
   * @param {MediaStreamTrack} track
   */
  #prepareVideo(peer, track) {
    this.#hint(track);
    const add = (/** @type {RTCRtpEncodingParameters[]} */ sendEncodings) =>
      peer.addTransceiver(track, { direction: "sendonly", streams: [this.#stream], sendEncodings });
    const encodings = encodingsOf(this.#video);
    /** @type {RTCRtpTransceiver} */
    let transceiver;
    try {
      transceiver = add(encodings);
    } catch {
      // Not every browser knows every scalability mode; the layers matter more.
      transceiver = add(encodings.map((encoding) => ({ ...encoding, scalabilityMode: undefined })));
    }
    const capabilities = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
    if (this.#video.prefer && !this.#video.codec) {
      const ordered = offerFirst(capabilities, this.#video.prefer);
      if (ordered.length > 0) transceiver.setCodecPreferences(ordered);
    }
    if (this.#video.codec) {
      const preferred = preferCodec(capabilities, this.#video.codec);
      if (preferred.length === 0) {
        throw new MediaError(ErrorCode.Unsupported, `This browser cannot send ${this.#video.codec}. Choose another codec.`);
      }
      transceiver.setCodecPreferences(preferred);
    }
    if (this.#video.degradationPreference) {
      const parameters = transceiver.sender.getParameters();
      parameters.degradationPreference = this.#video.degradationPreference;
      transceiver.sender.setParameters(parameters).catch(() => {
        // A hint only: the default keeps the picture moving.
      });
    }
  }

  /** @override @param {string} sdp @protected */
  shapeOffer(sdp) {
    return this.#audio.stereo ? withFormatParameters(sdp, "opus", { stereo: 1, "sprop-stereo": 1 }) : sdp;
  }

  /** @override @param {string} sdp @protected */
  shapeAnswer(sdp) {
    // Chromium begins at 300 kbit/s, which shows as seconds of a tiny picture; it takes a better start from the answer.
    const start = Math.min(START_BITRATE, this.#video.maxBitrate ?? START_BITRATE);
    let shaped = sdp;
    for (const codec of Object.values(VideoCodec)) {
      shaped = withFormatParameters(shaped, codec, { "x-google-start-bitrate": Math.round(start / 1000) });
    }
    return this.#audio.stereo ? withFormatParameters(shaped, "opus", { stereo: 1 }) : shaped;
  }

  /** @override @protected */
  onConnected() {
    this.#liveAt = Date.now();
    this.enter(PublisherState.Live);
  }

  /** @override @param {import("./errors.js").InverError} error @protected */
  retries(error) {
    if (error.code === ErrorCode.Ended) return false;
    // After a loss the server may still hold our old session for a moment, or not know a node's session any more.
    if (this.everConnected && (error.code === ErrorCode.Taken || error.code === ErrorCode.NotFound)) return true;
    return super.retries(error);
  }

  /**
   * A session that the server ends was taken over or ended by an operator, and coming back at once would be a fight; or the
   * server stops or was started anew, and coming back is wanted.
   * @override @param {import("./errors.js").InverError} error @protected
   */
  async examine(error) {
    if (error.code !== ErrorCode.Ended) return error;
    this.enter(PublisherState.Reconnecting);
    try {
      await delay(PROBE_AFTER_MS, this.closing);
      const info = await serverInfo(this.endpoint, this.closing);
      if (!info.draining && info.uptime_seconds * 1000 > Date.now() - this.#liveAt) return error;
      return new ConnectionError(ErrorCode.ConnectionLost, "the server was stopped", { cause: error });
    } catch {
      // Another server than Inver, or none any more: whether the endpoint still answers tells which.
    }
    try {
      const { status } = await request(this.endpoint, { method: "OPTIONS" }, this.closing);
      if (status < 500) return error;
      return new ConnectionError(ErrorCode.Unavailable, "the server is not ready", { cause: error });
    } catch {
      return new ConnectionError(ErrorCode.ConnectionLost, "the server was stopped", { cause: error });
    }
  }

  /** @override @param {import("./errors.js").InverError} error @param {number} wait @protected */
  onWaiting(error, wait) {
    this.enter(this.everConnected ? PublisherState.Reconnecting : PublisherState.Connecting);
    this.emit(PublisherEvent.Retrying, { error, wait });
  }

  /** @override @param {string} state @param {string} previous @param {import("./errors.js").InverError} [error] @protected */
  onState(state, previous, error) {
    this.emit(PublisherEvent.StateChanged, {
      state: /** @type {PublisherStateValue} */ (state),
      previous: /** @type {PublisherStateValue} */ (previous),
    });
    if (error) this.emit(PublisherEvent.Failed, error);
  }

  /** @override @param {RTCStatsReport} report @param {number} at @protected */
  onReport(report, at) {
    this.#stats = this.#reader.readOutbound(report.values(), at);
    this.emit(PublisherEvent.StatsUpdated, this.#stats);
  }
}

/**
 * What an Inver server says about itself.
 * @param {string} endpoint
 * @param {AbortSignal} signal
 * @returns {Promise<{ draining: boolean, uptime_seconds: number }>} Rejects where there is no such server.
 */
async function serverInfo(endpoint, signal) {
  const at = endpoint.lastIndexOf("/whip/");
  const response = await request(new URL("api/v1/server", endpoint.slice(0, at + 1)).href, {}, signal);
  const info = response.ok ? await response.json() : undefined;
  if (typeof info?.uptime_seconds !== "number") throw new ConnectionError(ErrorCode.Protocol, "the server does not tell its age");
  return info;
}
