/**
 * Watching over WHEP, with the extensions for events and layers.
 *
 * Owns: what is received and whether it flows. Never shows it; `<inver-player>` does.
 * @module
 */

import { Client } from "./client.js";
import { ErrorCode, InverError, SignallingError } from "./errors.js";
import { layerRequest, readLayers } from "./layers.js";
import { Relation, linksOf } from "./link.js";
import { withFormatParameters } from "./sdp.js";
import { StatsReader } from "./stats.js";

/** Type of the problem that somebody is live in a form that nobody can be shown. */
const UNPLAYABLE = "urn:inver:problem:unplayable";

/** States of a `WhepPlayer`. */
export const PlayerState = Object.freeze({
  Idle: "idle",
  Connecting: "connecting",
  Playing: "playing",
  /** Nobody is live; the player goes on by itself when somebody is. */
  Offline: "offline",
  Reconnecting: "reconnecting",
  Error: "error",
  Closed: "closed",
});

/** @typedef {typeof PlayerState[keyof typeof PlayerState]} PlayerStateValue */

/** Events of a `WhepPlayer`. */
export const PlayerEvent = Object.freeze({
  StateChanged: "stateChanged",
  StreamChanged: "streamChanged",
  StatsUpdated: "statsUpdated",
  ViewersChanged: "viewersChanged",
  LayersChanged: "layersChanged",
  MessageReceived: "messageReceived",
  Retrying: "retrying",
  Failed: "failed",
});

/**
 * @typedef {object} PlayerEvents
 * @property {{ state: PlayerStateValue, previous: PlayerStateValue }} stateChanged
 * @property {MediaStream} streamChanged
 * @property {import("./stats.js").PlayerStats} statsUpdated
 * @property {number} viewersChanged
 * @property {import("./layers.js").Layer[]} layersChanged
 * @property {{ label: string, data: string | ArrayBuffer }} messageReceived
 * @property {{ error: InverError, wait: number }} retrying
 * @property {InverError} failed
 */

/**
 * @typedef {import("./client.js").ClientOptions & {
 *   wait?: boolean, video?: boolean, audio?: boolean, data?: boolean, bufferMs?: number }} PlayerOptions
 * `wait` asks the server to keep the session until somebody goes live, so that the picture comes at once (`?wait=1`).
 * `bufferMs` is the jitter buffer aimed at; higher rides out rougher networks, lower is closer to live.
 */

/** Media that has not come for this long has stopped; two samples, so that one slow second is none. */
const STALLED_AFTER_MS = 2_500;
/** A live room's first packet comes within a round trip or two of the connection; later than this nobody is live. */
const FIRST_PACKET_MS = 1_200;
/** Longest wait between tries in a room where nobody is live; lower resumes sooner, higher is kinder to the server. */
const OFFLINE_RETRY_MS = 3_000;
const EVENTS = ["active", "inactive", "layers", "viewercount", "reconnect"];

/**
 * Receives a room over a WHEP endpoint.
 *
 * ```js
 * const player = new WhepPlayer("https://example.com/whep/studio");
 * player.on(PlayerEvent.StreamChanged, (stream) => (video.srcObject = stream));
 * await player.start();
 * ```
 * @extends {Client<PlayerEvents>}
 */
export class WhepPlayer extends Client {
  #options;
  #reader = new StatsReader();
  #stream = new MediaStream();
  /** @type {import("./stats.js").PlayerStats | undefined} */
  #stats;
  /** @type {number | undefined} */
  #viewers;
  /** @type {import("./layers.js").Layer[]} */
  #layers = [];
  /** @type {import("./layers.js").Layer | { maxWidth?: number, maxHeight?: number } | undefined} */
  #choice;
  /** @type {string | undefined} */
  #layerUrl;
  #connected = false;
  /** @type {string | undefined} */
  #obstacle;
  /** Bytes and time of the last sample in which media had come. */
  #flow = { bytes: 0, at: 0 };

  /**
   * @param {string | URL} endpoint
   * @param {PlayerOptions} [options]
   */
  constructor(endpoint, options = {}) {
    super("whep", options.wait ? withWait(endpoint) : endpoint, options);
    this.#options = options;
  }

  /** @returns {PlayerStateValue} */
  get state() {
    return /** @type {PlayerStateValue} */ (this.currentState);
  }

  /** What is received now. Another one after a reconnect. */
  get stream() {
    return this.#stream;
  }

  /** The last sample. */
  get stats() {
    return this.#stats;
  }

  /** Viewers of the room, where the server tells. */
  get viewers() {
    return this.#viewers;
  }

  /** Layers to choose from, the best first; empty where there is no choice. */
  get layers() {
    return this.#layers;
  }

  /** What `selectLayer` chose. */
  get selectedLayer() {
    return this.#choice;
  }

  /** What keeps the picture from being shown although somebody is live; the words are the server's. */
  get obstacle() {
    return this.#obstacle;
  }

  /** Whether media has ever come. */
  get everPlayed() {
    return this.everConnected && this.#stream.getTracks().length > 0;
  }

  /** Whether the server lets viewers choose layers. */
  get canSelectLayer() {
    return this.#layerUrl !== undefined;
  }

  /**
   * Chooses a layer, or leaves it to the server again. The choice outlives reconnects.
   * @param {import("./layers.js").Layer | { maxWidth?: number, maxHeight?: number } | undefined} choice
   * @returns {Promise<void>}
   */
  async selectLayer(choice) {
    this.#choice = choice;
    const resource = this.resource;
    if (!this.#layerUrl || !resource) return;
    await resource.post(this.#layerUrl, layerRequest(choice, this.#layers[0]?.mediaId), this.closing);
  }

  /**
   * Changes the jitter buffer aimed at.
   * @param {number | undefined} milliseconds `undefined` leaves it to the browser.
   */
  setBuffer(milliseconds) {
    this.#options = { ...this.#options, bufferMs: milliseconds };
    for (const receiver of this.peerConnection?.getReceivers() ?? []) setBufferOf(receiver, milliseconds);
  }

  /** @override @param {RTCPeerConnection} peer @protected */
  prepare(peer) {
    const { audio = true, video = true, data = false, bufferMs } = this.#options;
    this.#connected = false;
    this.#layerUrl = undefined;
    this.#reader = new StatsReader();
    this.#flow = { bytes: 0, at: Date.now() };
    const stream = new MediaStream();
    for (const kind of [...(audio ? ["audio"] : []), ...(video ? ["video"] : [])]) {
      const { receiver } = peer.addTransceiver(kind, { direction: "recvonly" });
      if (bufferMs !== undefined) setBufferOf(receiver, bufferMs);
    }
    peer.addEventListener("track", ({ track }) => {
      stream.addTrack(track);
      // The first packet unmutes a track: sooner known than by the next sample.
      track.addEventListener("unmute", () => this.#flows(peer));
      if (stream !== this.#stream) {
        this.#stream = stream;
        this.emit(PlayerEvent.StreamChanged, stream);
      }
    });
    if (data) {
      const receive = (/** @type {RTCDataChannel} */ channel) => {
        channel.binaryType = "arraybuffer";
        channel.addEventListener("message", (event) =>
          this.emit(PlayerEvent.MessageReceived, { label: channel.label, data: event.data }),
        );
      };
      receive(peer.createDataChannel("data"));
      peer.addEventListener("datachannel", ({ channel }) => receive(channel));
    }
  }

  /** @override @param {string} sdp @protected */
  shapeOffer(sdp) {
    // Without this browsers mix Opus down to one channel.
    return withFormatParameters(sdp, "opus", { stereo: 1 });
  }

  /** @override @protected @param {import("./resource.js").Resource} resource @param {AbortSignal} signal */
  onSession(resource, signal) {
    const layer = linksOf(resource.links, Relation.Layer)[0];
    if (layer) this.#layerUrl = new URL(layer.target, resource.base).href;
    const events = linksOf(resource.links, Relation.ServerSentEvents)[0];
    if (events) void this.#listen(resource, events, signal);
    if (this.#choice && this.#layerUrl) {
      resource.post(this.#layerUrl, layerRequest(this.#choice), signal).catch(() => {
        // The new publication may not have the layer: the server's choice stands.
      });
    }
  }

  /** @override @param {RTCPeerConnection} peer @protected */
  onConnected(peer) {
    this.#connected = true;
    this.#flow.at = Date.now();
    if (peer.getReceivers().some(({ track }) => track && !track.muted)) {
      this.#flows(peer);
      return;
    }
    setTimeout(() => {
      if (peer === this.peerConnection && this.state !== PlayerState.Playing) this.enter(PlayerState.Offline);
    }, FIRST_PACKET_MS);
  }

  /** @param {RTCPeerConnection} peer */
  #flows(peer) {
    if (peer !== this.peerConnection || !this.#connected) return;
    this.#flow.at = Date.now();
    this.enter(PlayerState.Playing);
  }

  /** @override @param {InverError} error @protected */
  retries(error) {
    return error.code === ErrorCode.NotFound || super.retries(error);
  }

  /** @override @param {InverError} error @protected */
  longestWait(error) {
    return error.code === ErrorCode.NotLive || error.code === ErrorCode.NotFound ? OFFLINE_RETRY_MS : undefined;
  }

  /** @override @param {InverError} error @param {number} wait @protected */
  onWaiting(error, wait) {
    this.#connected = false;
    this.#obstacle = error instanceof SignallingError && error.problem?.type === UNPLAYABLE ? error.problem.detail : undefined;
    if (error.code === ErrorCode.NotLive || error.code === ErrorCode.NotFound) this.enter(PlayerState.Offline);
    this.emit(PlayerEvent.Retrying, { error, wait });
  }

  /** @override @param {string} state @param {string} previous @param {InverError} [error] @protected */
  onState(state, previous, error) {
    this.emit(PlayerEvent.StateChanged, {
      state: /** @type {PlayerStateValue} */ (state),
      previous: /** @type {PlayerStateValue} */ (previous),
    });
    if (error) this.emit(PlayerEvent.Failed, error);
  }

  /** @override @param {RTCStatsReport} report @param {number} at @protected */
  onReport(report, at) {
    const stats = this.#reader.readInbound(report.values(), at);
    this.#stats = stats;
    if (stats.bytesReceived > this.#flow.bytes) {
      this.#flow = { bytes: stats.bytesReceived, at };
      if (this.#connected) this.enter(PlayerState.Playing);
    } else if (this.#connected && at - this.#flow.at > STALLED_AFTER_MS) {
      this.enter(PlayerState.Offline);
    }
    this.emit(PlayerEvent.StatsUpdated, stats);
  }

  /**
   * Follows the session's events. Without them playing goes on, only viewers and layers are not known.
   * @param {import("./resource.js").Resource} resource
   * @param {import("./link.js").Link} link
   * @param {AbortSignal} signal
   */
  async #listen(resource, link, signal) {
    const offered = (link.parameters.events ?? EVENTS.join()).split(",").map((name) => name.trim());
    const wanted = EVENTS.filter((name) => offered.includes(name));
    if (wanted.length === 0) return;
    try {
      const response = await resource.post(new URL(link.target, resource.base).href, wanted, signal);
      const location = response.headers.get("location");
      if (!location || signal.aborted) return;
      const source = new EventSource(new URL(location, response.url));
      signal.addEventListener("abort", () => source.close(), { once: true });
      for (const name of wanted) {
        source.addEventListener(name, (event) => this.#heard(name, parse(/** @type {MessageEvent} */ (event).data)));
      }
    } catch {
      // The media does not depend on it.
    }
  }

  /**
   * @param {string} name
   * @param {any} data
   */
  #heard(name, data) {
    switch (name) {
      case "inactive":
        this.enter(PlayerState.Offline);
        break;
      case "viewercount": {
        const count = data?.viewercount;
        if (typeof count !== "number" || count === this.#viewers) break;
        this.#viewers = count;
        this.emit(PlayerEvent.ViewersChanged, count);
        break;
      }
      case "layers":
        this.#layers = readLayers(data);
        this.emit(PlayerEvent.LayersChanged, this.#layers);
        break;
      case "reconnect":
        this.restartSession(
          new InverError(ErrorCode.Unavailable, "the server asked to connect again"),
          typeof data?.url === "string" ? new URL(data.url, this.endpoint).href : this.endpoint,
        );
        break;
      default:
      // "active": the first packet says it better.
    }
  }
}

/** @param {string | URL} endpoint */
function withWait(endpoint) {
  const url = new URL(endpoint, document.baseURI);
  url.searchParams.set("wait", "1");
  return url;
}

/**
 * @param {RTCRtpReceiver} receiver
 * @param {number | undefined} milliseconds
 */
function setBufferOf(receiver, milliseconds) {
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = milliseconds ?? null;
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
