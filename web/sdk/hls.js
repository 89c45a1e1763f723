/**
 * Watching over HLS, low latency where the server has it: some seconds later than WebRTC, through any proxy, with a past
 * that can be wound back to.
 *
 * Owns: loading the playlist again and again until it plays, how far behind live it is, the window that can be played.
 * Never shows controls; `<inver-player>` does. The work is done by hls.js, which is loaded when it is first needed, or by
 * the browser itself where that cannot be fed (iPhones of some years).
 * @module
 */

import { Emitter } from "./emitter.js";
import { ErrorCode, InverError, SignallingError, errorOfResponse } from "./errors.js";
import { PlayerEvent, PlayerState } from "./player.js";
import { tokenOf } from "./resource.js";
import { Backoff, delay, isWorthRetrying, retryAfterOf } from "./retry.js";

/** Between looks at a playlist that is not there. */
const OFFLINE_RETRY_MS = 3_000;
/** Longest time for the first answer; a room's first playlist waits for its first segment. */
const PLAYLIST_TIMEOUT_MS = 12_000;
/** Without progress for this long nobody is live; a segment that comes late is not this late. */
const STALLED_AFTER_MS = 6_000;
const SAMPLE_MS = 1_000;
/** Samples over which the bitrate is taken: segments come at once, and what comes is to look even. */
const RATE_SAMPLES = 8;
/** Played media that is kept, in seconds: winding back within it asks the server for nothing. */
const BACK_BUFFER_S = 60;
/** Nearer to the live edge than this is live: a position is never exactly there. */
const LIVE_WITHIN_S = 4;
/** How much faster than real time a player runs that has fallen behind; more is heard. */
const CATCH_UP_RATE = 1.08;
/** How much later than the playlist's edge a picture's own time can be: what has been captured and is not listed yet. */
const UNLISTED_MS = 5_000;

/**
 * @typedef {object} HlsStats
 * @property {number} at Milliseconds since the epoch.
 * @property {{ protocol: "hls" }} transport
 * @property {{ codec?: string, width?: number, height?: number, framesPerSecond: number, framesDecoded: number, framesDropped: number }} video
 * @property {number} bitrate Bits per second that came during the last seconds.
 * @property {number} bytesReceived
 * @property {number} bufferMs Media that is loaded and not played yet.
 * @property {number} [latencyMs] From capture, or else from the playlist's end, to the screen.
 * @property {boolean} measured Whether `latencyMs` begins at the capture.
 */

/** @typedef {{ start: number, end: number, position: number, behind: number, live: boolean }} Window Seconds. */

/**
 * @typedef {object} HlsEvents
 * @property {{ state: import("./player.js").PlayerStateValue, previous: import("./player.js").PlayerStateValue }} stateChanged
 * @property {HlsStats} statsUpdated
 * @property {import("./layers.js").Layer[]} layersChanged
 * @property {{ error: InverError, wait: number }} retrying
 * @property {InverError} failed
 */

/**
 * Plays an HLS playlist in a video element.
 *
 * ```js
 * const player = new HlsPlayer("https://example.com/hls/studio/index.m3u8", video);
 * await player.start();
 * ```
 * @extends {Emitter<HlsEvents>}
 */
export class HlsPlayer extends Emitter {
  #url;
  #video;
  #options;
  /** @type {import("./player.js").PlayerStateValue} */
  #state = PlayerState.Idle;
  #closing = new AbortController();
  /** @type {Promise<void> | undefined} */
  #running;
  #backoff = new Backoff();
  /** @type {any} hls.js, which brings no types that are worth their 200 kB here. */
  #hls;
  /** @type {AbortController | undefined} */
  #waiting;
  /** @type {import("./layers.js").Layer[]} */
  #layers = [];
  /** @type {import("./layers.js").Layer | undefined} */
  #choice;
  /** @type {HlsStats | undefined} */
  #stats;
  /** @type {string | undefined} */
  #obstacle;
  #everPlayed = false;
  #hasSound = false;
  #bytes = 0;
  /** Bytes that had come at the latest samples. @type {{ at: number, bytes: number }[]} */
  #came = [];

  /**
   * @param {string | URL} url Address of the playlist.
   * @param {HTMLVideoElement} video
   * @param {{ token?: import("./resource.js").TokenSource, signal?: AbortSignal }} [options]
   */
  constructor(url, video, options = {}) {
    super();
    this.#url = new URL(url, globalThis.document?.baseURI);
    this.#video = video;
    this.#options = options;
    options.signal?.addEventListener("abort", () => void this.close(), { once: true });
  }

  get state() {
    return this.#state;
  }

  /** The last sample. */
  get stats() {
    return this.#stats;
  }

  /** Nobody counts viewers here. @type {number | undefined} */
  get viewers() {
    return undefined;
  }

  /** Levels to choose from, the best first. */
  get layers() {
    return this.#layers;
  }

  get selectedLayer() {
    return this.#choice;
  }

  get canSelectLayer() {
    return this.#layers.length > 1;
  }

  /** What keeps the picture from being shown although somebody is live; the words are the server's. */
  get obstacle() {
    return this.#obstacle;
  }

  get everPlayed() {
    return this.#everPlayed;
  }

  /** Whether there is sound to be heard. */
  get hasSound() {
    return this.#hasSound;
  }

  /** What of the past can be played, and where in it this is; `undefined` before anything plays. */
  get window() {
    const { seekable, currentTime } = this.#video;
    const details = this.#hls?.latestLevelDetails;
    if (!details && seekable.length === 0) return undefined;
    const start = details ? details.fragmentStart : seekable.start(0);
    const end = details ? details.edge : seekable.end(seekable.length - 1);
    const target = this.#livePosition(end);
    const behind = Math.max(0, target - currentTime);
    return { start, end: target, position: currentTime, behind, live: behind < LIVE_WITHIN_S };
  }

  /**
   * Goes to a position of the window, in its seconds.
   * @param {number} position
   */
  seek(position) {
    const window = this.window;
    if (window) this.#video.currentTime = Math.min(window.end, Math.max(window.start + 0.5, position));
  }

  /** Goes to where live is. */
  goLive() {
    const window = this.window;
    if (window) this.#video.currentTime = window.end;
  }

  /** @param {import("./layers.js").Layer | undefined} layer `undefined` leaves it to the bandwidth. */
  async selectLayer(layer) {
    this.#choice = layer;
    if (this.#hls) this.#hls.nextLevel = layer ? Number(layer.id) : -1;
  }

  /** Plays, and goes on until `close`. @returns {Promise<void>} Resolves with the first picture; rejects where there can be none. */
  start() {
    if (this.#closing.signal.aborted) return Promise.reject(new InverError(ErrorCode.Aborted, "this object was closed; make a new one"));
    this.#running ??= new Promise((resolve, reject) => {
      void this.#run(resolve, reject);
    });
    return this.#running;
  }

  /** Tries again now where a wait is under way. */
  retryNow() {
    this.#waiting?.abort();
  }

  async close() {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new InverError(ErrorCode.Aborted, "closed"));
    this.#teardown();
    if (this.#state !== PlayerState.Error) this.#enter(PlayerState.Closed);
  }

  /** @param {import("./player.js").PlayerStateValue} state */
  #enter(state) {
    if (this.#state === state || this.#state === PlayerState.Closed) return;
    const previous = this.#state;
    this.#state = state;
    this.emit(PlayerEvent.StateChanged, { state, previous });
  }

  /**
   * @param {() => void} resolve
   * @param {(error: unknown) => void} reject
   */
  async #run(resolve, reject) {
    const closing = this.#closing.signal;
    while (!closing.aborted) {
      if (this.#state !== PlayerState.Offline) this.#enter(this.#everPlayed ? PlayerState.Reconnecting : PlayerState.Connecting);
      /** @type {InverError} */
      let error;
      try {
        await this.#look(closing);
        error = await this.#play(resolve);
      } catch (cause) {
        error = cause instanceof InverError ? cause : new InverError(ErrorCode.Network, String(cause), { cause });
      }
      this.#teardown();
      if (closing.aborted) break;
      const gone = error.code === ErrorCode.NotFound || error.code === ErrorCode.NotLive;
      // Somebody is live in a form that HLS has no word for: that may change, the words say how.
      this.#obstacle = error.code === ErrorCode.Unprocessable || unplayable(error) ? error.message : undefined;
      if (!gone && !this.#obstacle && !isWorthRetrying(error)) {
        this.#enter(PlayerState.Error);
        this.emit(PlayerEvent.Failed, error);
        reject(error);
        return;
      }
      if (gone || this.#obstacle) this.#enter(PlayerState.Offline);
      const asked = retryAfterOf(error);
      const wait = Math.min(this.#backoff.next(asked), Math.max(OFFLINE_RETRY_MS, asked ?? 0));
      this.emit(PlayerEvent.Retrying, { error, wait });
      const waiting = new AbortController();
      this.#waiting = waiting;
      await delay(wait, AbortSignal.any([closing, waiting.signal])).catch(() => {});
      this.#waiting = undefined;
    }
    reject(new InverError(ErrorCode.Aborted, "closed"));
  }

  /** Asks for the playlist once by ourselves: the server's words are lost in what hls.js tells. @param {AbortSignal} signal */
  async #look(signal) {
    const token = await tokenOf(this.#options.token);
    if (token) this.#url.searchParams.set("token", token);
    /** @type {Response} */
    let response;
    try {
      response = await fetch(this.#url, { signal: AbortSignal.any([signal, AbortSignal.timeout(PLAYLIST_TIMEOUT_MS)]) });
    } catch (cause) {
      signal.throwIfAborted();
      throw new InverError(ErrorCode.Network, "the server cannot be reached", { cause });
    }
    if (!response.ok) throw await errorOfResponse(response, "whep");
    await response.body?.cancel();
  }

  /**
   * Plays until it cannot go on.
   * @param {() => void} begun
   * @returns {Promise<InverError>} Why it ended.
   */
  async #play(begun) {
    const playing = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, playing.signal]);
    /** @type {Promise<InverError>} */
    const ended = new Promise((end) => {
      this.#watch(signal, begun, end);
      signal.addEventListener("abort", () => end(new InverError(ErrorCode.Aborted, "closed")), { once: true });
      if (canBeFed()) void this.#feed(signal, end);
      else this.#hand(signal, end);
    });
    const error = await ended;
    playing.abort();
    return error;
  }

  /** hls.js plays. @param {AbortSignal} signal @param {(error: InverError) => void} end */
  async #feed(signal, end) {
    /** @type {any} */
    let Hls;
    try {
      ({ default: Hls } = await import(new URL("./vendor/hls.min.mjs", import.meta.url).href));
    } catch (cause) {
      end(new InverError(ErrorCode.Network, "the player for HLS could not be loaded", { cause }));
      return;
    }
    if (signal.aborted) return;
    const hls = new Hls({
      lowLatencyMode: true,
      enableWorker: false,
      backBufferLength: BACK_BUFFER_S,
      maxLiveSyncPlaybackRate: CATCH_UP_RATE,
      liveDurationInfinity: true,
      capLevelToPlayerSize: true,
    });
    this.#hls = hls;
    const { Events, ErrorTypes } = Hls;
    let recovered = false;
    hls.on(Events.MANIFEST_PARSED, (/** @type {string} */ _event, /** @type {{ levels: any[] }} */ { levels }) => this.#offer(levels));
    hls.on(Events.BUFFER_CODECS, (/** @type {string} */ _event, /** @type {any} */ tracks) => {
      this.#hasSound ||= Boolean(tracks.audio ?? tracks.audiovideo);
    });
    hls.on(Events.FRAG_LOADED, (/** @type {string} */ _event, /** @type {any} */ { frag, part }) => {
      this.#bytes += (part ?? frag)?.stats?.loaded ?? 0;
    });
    hls.on(Events.LEVEL_UPDATED, (/** @type {string} */ _event, /** @type {any} */ { details }) => {
      if (!details.live) this.#video.addEventListener("ended", () => end(new InverError(ErrorCode.NotLive, "the stream has ended")), { once: true, signal });
    });
    hls.on(Events.ERROR, (/** @type {string} */ _event, /** @type {any} */ data) => {
      if (!data.fatal) return;
      if (data.type === ErrorTypes.MEDIA_ERROR && !recovered && !/incompatible/i.test(data.details)) {
        recovered = true;
        hls.recoverMediaError();
        return;
      }
      end(errorOf(data));
    });
    hls.attachMedia(this.#video);
    hls.loadSource(this.#url.href);
  }

  /** The browser plays. @param {AbortSignal} signal @param {(error: InverError) => void} end */
  #hand(signal, end) {
    const video = this.#video;
    this.#hasSound = true;
    video.addEventListener("error", () => end(new InverError(ErrorCode.ConnectionLost, video.error?.message || "the browser cannot play this")), { signal });
    video.addEventListener("ended", () => end(new InverError(ErrorCode.NotLive, "the stream has ended")), { signal });
    video.src = this.#url.href;
  }

  /** Notices progress and its absence. @param {AbortSignal} signal @param {() => void} begun @param {(error: InverError) => void} end */
  #watch(signal, begun, end) {
    const video = this.#video;
    let seen = -1;
    let frames = 0;
    let at = Date.now();
    const flows = () => {
      this.#everPlayed = true;
      this.#obstacle = undefined;
      this.#backoff.reset();
      this.#enter(PlayerState.Playing);
      begun();
    };
    // Sooner known than by the next sample. A first picture is shown before anything plays, and is no progress yet.
    video.addEventListener("playing", () => video.currentTime > 0 && flows(), { signal });
    const timer = setInterval(() => {
      const now = Date.now();
      if (video.currentTime !== seen || (video.paused && this.#state === PlayerState.Playing)) {
        if (seen >= 0 && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) flows();
        seen = video.currentTime;
        at = now;
      } else if (now - at > STALLED_AFTER_MS && this.#state === PlayerState.Playing) {
        this.#enter(PlayerState.Offline);
      } else if (now - at > 4 * STALLED_AFTER_MS && !video.paused) {
        end(new InverError(ErrorCode.NotLive, "nothing came for a while"));
      }
      const { totalVideoFrames: decoded, droppedVideoFrames: dropped } = video.getVideoPlaybackQuality();
      this.#sample(now, decoded, Math.max(0, decoded - frames), dropped);
      frames = decoded;
    }, SAMPLE_MS);
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  /** @param {number} at @param {number} decoded @param {number} lately @param {number} dropped */
  #sample(at, decoded, lately, dropped) {
    const video = this.#video;
    const level = this.#hls?.levels?.[this.#hls.currentLevel];
    const first = this.#came[0] ?? { at, bytes: this.#bytes };
    this.#came.push({ at, bytes: this.#bytes });
    if (this.#came.length > RATE_SAMPLES) this.#came.shift();
    const bitrate = at > first.at ? ((this.#bytes - first.bytes) * 8000) / (at - first.at) : 0;
    const { buffered, currentTime } = video;
    const end = buffered.length > 0 ? buffered.end(buffered.length - 1) : currentTime;
    this.#stats = {
      at,
      transport: { protocol: "hls" },
      video: {
        codec: level?.videoCodec,
        width: video.videoWidth || undefined,
        height: video.videoHeight || undefined,
        framesPerSecond: lately,
        framesDecoded: decoded,
        framesDropped: dropped,
      },
      bitrate: Math.round(bitrate),
      bytesReceived: this.#bytes,
      bufferMs: Math.max(0, (end - currentTime) * 1000),
      ...this.#latency(at),
    };
    this.emit(PlayerEvent.StatsUpdated, this.#stats);
  }

  /** @param {number} now @returns {{ latencyMs?: number, measured: boolean }} */
  #latency(now) {
    const edge = this.#hls?.latency > 0 ? this.#hls.latency * 1000 : undefined;
    const date = this.#hls ? this.#hls.playingDate?.getTime() : startDate(this.#video);
    return latencyOf(now, date, edge);
  }

  /** Where live is, for an end of the window. @param {number} end */
  #livePosition(end) {
    const target = this.#hls?.liveSyncPosition;
    return typeof target === "number" ? target : end;
  }

  /** @param {any[]} levels */
  #offer(levels) {
    this.#layers = layersOf(levels);
    const chosen = this.#choice && this.#layers.find((layer) => layer.height === this.#choice?.height);
    this.#choice = chosen;
    if (chosen && this.#hls) this.#hls.startLevel = this.#hls.nextLevel = Number(chosen.id);
    this.emit(PlayerEvent.LayersChanged, this.#layers);
  }

  #teardown() {
    this.#hls?.destroy();
    this.#hls = undefined;
    this.#hasSound = false;
    if (this.#video.hasAttribute("src")) {
      this.#video.removeAttribute("src");
      this.#video.load();
    }
  }
}

/** Whether scripts can feed media to this browser's elements. */
function canBeFed() {
  return "MediaSource" in globalThis || "ManagedMediaSource" in globalThis;
}

/**
 * Levels of a playlist as layers.
 * @param {{ width?: number, height?: number, bitrate?: number }[]} levels
 * @returns {import("./layers.js").Layer[]} The best first; `id` is the level's number.
 */
export function layersOf(levels) {
  return levels
    .map((level, index) => ({
      id: String(index),
      mediaId: "0",
      rid: level.height ? undefined : "Sound",
      width: level.width || undefined,
      height: level.height || undefined,
      bitrate: level.bitrate || undefined,
      active: true,
    }))
    .sort((one, other) => (other.height ?? 0) - (one.height ?? 0) || (other.bitrate ?? 0) - (one.bitrate ?? 0));
}

/**
 * How late the picture is. Its own time is the truth where this device's clock agrees with the server's; the playlist's
 * end, which is later than the capture, tells whether it does.
 * @param {number} now
 * @param {number | undefined} date When what plays now was captured, in milliseconds since the epoch.
 * @param {number | undefined} edge Milliseconds from what plays now to the playlist's end.
 * @returns {{ latencyMs?: number, measured: boolean }}
 */
export function latencyOf(now, date, edge) {
  const since = date === undefined || Number.isNaN(date) ? undefined : now - date;
  if (since !== undefined && since > 0 && (edge === undefined || (since > edge - 500 && since < edge + UNLISTED_MS))) {
    return { latencyMs: since, measured: true };
  }
  return { latencyMs: edge, measured: false };
}

/** @param {any} video When what plays now was captured, where the browser plays by itself. */
function startDate(video) {
  const date = video.getStartDate?.()?.getTime();
  return typeof date === "number" ? date + video.currentTime * 1000 : undefined;
}

/** @param {InverError} error */
function unplayable(error) {
  return error instanceof SignallingError && error.problem?.type === "urn:inver:problem:unplayable";
}

/**
 * Where what was let in is refused now, its signature has expired: the next look at the playlist tells.
 * @param {any} data What hls.js tells of an error that it cannot get over.
 */
function errorOf(data) {
  const status = data.response?.code;
  if (status === 404 || status === 409 || status === 410) return new InverError(ErrorCode.NotLive, "the playlist is gone");
  if (/codec|incompatible/i.test(data.details)) return new InverError(ErrorCode.Unprocessable, "this browser plays none of the codecs that are sent");
  return new InverError(ErrorCode.ConnectionLost, data.error?.message ?? data.details);
}
