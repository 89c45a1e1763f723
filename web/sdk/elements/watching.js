/**
 * Watching by whatever transport works: WebRTC first, HLS by choice or where WebRTC cannot be.
 *
 * Owns: the player of now, and when another takes its place. Never shows anything.
 * @module
 */

import { Emitter } from "../emitter.js";
import { ErrorCode, InverError, SignallingError } from "../errors.js";
import { HlsPlayer } from "../hls.js";
import { PlayerEvent, PlayerState, WhepPlayer } from "../player.js";
import { Transport, isForHls } from "../transport.js";

/** How long WebRTC may look for a way to the server until HLS is tried; on most networks it takes a tenth of this. */
const FALL_BACK_AFTER_MS = 6_000;
/** How long HLS may be without a picture until WebRTC is tried again: whoever comes next may be fit for it. */
const RETURN_AFTER_MS = 5_000;
/** Longest such time: it doubles while neither shows anything, so that what the screen says does not come and go. */
const RETURN_AT_MOST_MS = 60_000;

/**
 * What both kinds of players tell.
 * @typedef {object} Shared
 * @property {{ state: import("../player.js").PlayerStateValue, previous: import("../player.js").PlayerStateValue }} stateChanged
 * @property {import("../stats.js").PlayerStats | import("../hls.js").HlsStats} statsUpdated
 * @property {import("../layers.js").Layer[]} layersChanged
 * @property {{ error: InverError, wait: number }} retrying
 * @property {InverError} failed
 */

/**
 * @typedef {Shared & { streamChanged: MediaStream, viewersChanged: number, transportChanged: "webrtc" | "hls",
 *   messageReceived: { label: string, data: string | ArrayBuffer } }} WatchingEvents
 */

/**
 * What is asked each time when a player is made.
 * @typedef {object} Wishes
 * @property {() => string | undefined} playlist Its address, where there is one.
 * @property {() => string | undefined} endpoint That of WHEP; throws where what is known is wrong.
 * @property {() => string} token
 * @property {() => boolean} wait
 * @property {() => import("../transport.js").TransportValue} wish
 */

/** @extends {Emitter<WatchingEvents>} */
export class Watching extends Emitter {
  #video;
  #wishes;
  /** @type {WhepPlayer | HlsPlayer | undefined} */
  #player;
  /** Why WebRTC was given up. @type {InverError | undefined} */
  #fellBack;
  /** @type {InverError | undefined} */
  #error;
  /** @type {"webrtc" | "hls"} */
  #transport = Transport.WebRtc;
  /** @type {AbortController | undefined} */
  #listening;
  /** Times that WebRTC was tried again since the last picture. */
  #returns = 0;
  /** Until another transport is tried. @type {ReturnType<typeof setTimeout> | undefined} */
  #patience;

  /**
   * @param {HTMLVideoElement} video
   * @param {Wishes} wishes
   */
  constructor(video, wishes) {
    super();
    this.#video = video;
    this.#wishes = wishes;
  }

  get player() {
    return this.#player;
  }

  /** How media comes now, or came last. */
  get transport() {
    return this.#transport;
  }

  /** Why HLS is used although nobody chose it. */
  get fellBack() {
    return this.#fellBack;
  }

  /** What keeps the picture from being shown although somebody is live. */
  get obstacle() {
    return this.#player?.obstacle ?? (this.#fellBack instanceof SignallingError ? this.#fellBack.message : undefined);
  }

  get error() {
    return this.#error;
  }

  /** Makes a player and starts it. */
  begin() {
    this.#error = undefined;
    try {
      this.#connect();
    } catch (cause) {
      this.#error = cause instanceof InverError ? cause : new InverError(ErrorCode.BadRequest, String(cause));
      this.emit(PlayerEvent.Failed, this.#error);
    }
  }

  /** Ends watching; nothing is told any more. */
  end() {
    this.#fellBack = undefined;
    this.#returns = 0;
    this.#drop();
  }

  #connect() {
    const { playlist, endpoint, token, wait, wish } = this.#wishes;
    const address = playlist();
    const session = endpoint();
    const overHls = address && (!session || this.#fellBack || wish() === Transport.Hls);
    const transport = overHls ? Transport.Hls : Transport.WebRtc;
    const changed = this.#transport !== transport;
    this.#transport = transport;
    if (overHls) this.#listen(new HlsPlayer(address, this.#video, { token }));
    else this.#listenToSession(new WhepPlayer(session ?? "", { token, wait: wait() }));
    if (changed) this.emit("transportChanged", transport);
    this.#player?.start().catch(() => {
      // The state and the Failed event have told it.
    });
  }

  #drop() {
    clearTimeout(this.#patience);
    this.#patience = undefined;
    this.#listening?.abort();
    this.#listening = undefined;
    const player = this.#player;
    this.#player = undefined;
    this.#error = undefined;
    void player?.close();
  }

  /**
   * Goes on with HLS where WebRTC cannot be and nobody insists on it.
   * @param {InverError} error
   * @returns {boolean} Whether it does.
   */
  #fallBack(error) {
    const { playlist, wish } = this.#wishes;
    if (wish() !== Transport.Auto || this.#fellBack || !playlist()) return false;
    this.#drop();
    this.#fellBack = error;
    this.begin();
    return true;
  }

  /** @param {WhepPlayer} player */
  #listenToSession(player) {
    const signal = this.#listen(player);
    player.on(PlayerEvent.StreamChanged, (stream) => this.emit(PlayerEvent.StreamChanged, stream), { signal });
    player.on(PlayerEvent.ViewersChanged, (count) => this.emit(PlayerEvent.ViewersChanged, count), { signal });
    player.on(PlayerEvent.MessageReceived, (message) => this.emit(PlayerEvent.MessageReceived, message), { signal });
    this.#patience = setTimeout(() => {
      // The server has answered, and no media path has come about.
      const answered = player.peerConnection?.remoteDescription;
      if (player.state !== PlayerState.Connecting || !answered) return;
      this.#fallBack(new InverError(ErrorCode.Timeout, "no media path to the server came about in time"));
    }, FALL_BACK_AFTER_MS);
  }

  /**
   * @param {WhepPlayer | HlsPlayer} player
   * @returns {AbortSignal} Ends with the player.
   */
  #listen(player) {
    this.#player = player;
    const listening = new AbortController();
    this.#listening = listening;
    const { signal } = listening;
    const events = /** @type {Emitter<Shared>} */ (/** @type {unknown} */ (player));
    events.on(
      PlayerEvent.StateChanged,
      (detail) => {
        this.#reconsider(detail.state);
        this.emit(PlayerEvent.StateChanged, detail);
      },
      { signal },
    );
    events.on(
      PlayerEvent.Retrying,
      (detail) => {
        if (!isForHls(detail.error, player.everPlayed) || !this.#fallBack(detail.error)) this.emit(PlayerEvent.Retrying, detail);
      },
      { signal },
    );
    events.on(PlayerEvent.StatsUpdated, (stats) => this.emit(PlayerEvent.StatsUpdated, stats), { signal });
    events.on(PlayerEvent.LayersChanged, (layers) => this.emit(PlayerEvent.LayersChanged, layers), { signal });
    events.on(
      PlayerEvent.Failed,
      (error) => {
        if (isForHls(error, player.everPlayed) && this.#fallBack(error)) return;
        this.#error = error;
        this.emit(PlayerEvent.Failed, error);
      },
      { signal },
    );
    return signal;
  }

  /** Whoever is live next may be fit for WebRTC again. @param {import("../player.js").PlayerStateValue} state */
  #reconsider(state) {
    if (state === PlayerState.Playing) this.#returns = 0;
    if (!this.#fellBack || this.#transport !== Transport.Hls) return;
    if (state === PlayerState.Playing) {
      clearTimeout(this.#patience);
      this.#patience = undefined;
    } else if (state === PlayerState.Offline) {
      this.#patience ??= setTimeout(() => {
        this.#returns += 1;
        this.#drop();
        this.#fellBack = undefined;
        this.begin();
      }, Math.min(RETURN_AT_MOST_MS, RETURN_AFTER_MS * 2 ** this.#returns));
    }
  }
}
