/**
 * What publisher and player share: one peer connection at a time, kept alive or made anew until it is closed.
 *
 * Owns: the life of the peer connection and of its session on the server, ICE restarts, reconnects, sampling of figures.
 * Never adds or reads media; the subclasses do.
 * @module
 */

import { Emitter } from "./emitter.js";
import { ConnectionError, ErrorCode, InverError } from "./errors.js";
import { iceServersOf } from "./link.js";
import { Resource, tokenOf } from "./resource.js";
import { Backoff, delay, isWorthRetrying, retryAfterOf } from "./retry.js";
import { applyIceFragment, iceFragment } from "./sdp.js";

/** From the answer to a working connection. ICE and DTLS take a few round trips; 12 s is a lost cause. */
const CONNECT_TIMEOUT_MS = 12_000;
/** How long ICE may be silent before a restart is tried; short losses heal by themselves. */
const RESTART_AFTER_MS = 1_500;
/** How long a restart may take before the session is given up and a new one made. */
const RESTART_TIMEOUT_MS = 6_000;
/** How long the media of a session that ends may outlive the wish to end it, while the server is told. */
const END_TIMEOUT_MS = 500;
/** Candidates are gathered in bursts; waiting this long puts most of them into one request. */
const TRICKLE_DELAY_MS = 60;

/**
 * @typedef {object} ClientOptions
 * @property {import("./resource.js").TokenSource} [token] Stream key or token, sent as bearer token.
 * @property {RTCIceServer[]} [iceServers] Used beside those that the server names.
 * @property {RTCIceTransportPolicy} [iceTransportPolicy]
 * @property {boolean | import("./retry.js").BackoffOptions} [reconnect] Whether a lost connection is made anew; on unless `false`.
 * @property {number} [statsInterval] Milliseconds between samples, 0 for none; 1000 by default.
 * @property {AbortSignal} [signal] Closes the object when it aborts.
 */

/**
 * @template {Record<string, any>} Events
 * @extends {Emitter<Events>}
 */
export class Client extends Emitter {
  #door;
  #endpoint;
  #options;
  #state = "idle";
  #closing = new AbortController();
  /** @type {RTCPeerConnection | undefined} */
  #peer;
  /** @type {Resource | undefined} */
  #resource;
  /** @type {((reason: InverError) => void) | undefined} */
  #lose;
  /** @type {Promise<void> | undefined} */
  #running;
  #backoff;
  #everConnected = false;
  /** @type {string | undefined} */
  #nextEndpoint;
  /** Skips a wait between attempts. @type {AbortController | undefined} */
  #waiting;

  /**
   * @param {"whip" | "whep"} door
   * @param {string | URL} endpoint
   * @param {ClientOptions} options
   */
  constructor(door, endpoint, options) {
    super();
    this.#door = door;
    this.#endpoint = new URL(endpoint, globalThis.document?.baseURI).href;
    this.#options = options;
    this.#backoff = new Backoff(typeof options.reconnect === "object" ? options.reconnect : {});
    options.signal?.addEventListener("abort", () => void this.close(), { once: true });
  }

  /** Address of the WHIP or WHEP endpoint. */
  get endpoint() {
    return this.#endpoint;
  }

  /** The peer connection of now, for what the SDK has no word for. It is another one after a reconnect. */
  get peerConnection() {
    return this.#peer;
  }

  /** @protected */
  get resource() {
    return this.#resource;
  }

  /** @protected */
  get everConnected() {
    return this.#everConnected;
  }

  /**
   * Aborts when the object is closed.
   * @protected
   */
  get closing() {
    return this.#closing.signal;
  }

  /** @protected */
  get currentState() {
    return this.#state;
  }

  /**
   * @param {string} state
   * @param {InverError} [error]
   * @protected
   */
  enter(state, error) {
    if (this.#state === state || this.#state === "closed") return;
    const previous = this.#state;
    this.#state = state;
    this.onState(state, previous, error);
  }

  // What a subclass does at each step.

  /** @param {string} _state @param {string} _previous @param {InverError} [_error] @protected */
  onState(_state, _previous, _error) {}
  /** Adds transceivers before the offer. @param {RTCPeerConnection} _peer @protected */
  prepare(_peer) {}
  /** @param {string} sdp @returns {string} @protected */
  shapeOffer(sdp) {
    return sdp;
  }
  /** @param {string} sdp @returns {string} @protected */
  shapeAnswer(sdp) {
    return sdp;
  }
  /** The session exists on the server. @param {Resource} _resource @param {AbortSignal} _signal Ends with the session. @protected */
  onSession(_resource, _signal) {}
  /** ICE and DTLS are up. @param {RTCPeerConnection} _peer @protected */
  onConnected(_peer) {}
  /** Looks closer at an error before it is decided whether to try again. @param {InverError} error @returns {Promise<InverError>} @protected */
  async examine(error) {
    return error;
  }
  /** @param {InverError} _error @param {number} _wait Milliseconds until the next attempt. @protected */
  onWaiting(_error, _wait) {}
  /** @param {InverError} error @returns {boolean} @protected */
  retries(error) {
    return isWorthRetrying(error);
  }
  /** Bound of the wait after an error, in milliseconds. @param {InverError} _error @returns {number | undefined} @protected */
  longestWait(_error) {
    return undefined;
  }
  /** @param {RTCStatsReport} _report @param {number} _at @protected */
  onReport(_report, _at) {}

  /**
   * Connects, and stays connected until `close`.
   * @returns {Promise<void>} Resolves when the connection is up for the first time; rejects where it cannot be.
   */
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

  /**
   * Ends the session and frees everything. The object cannot be started again.
   * @returns {Promise<void>} Resolves when the server knows.
   */
  async close() {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(new InverError(ErrorCode.Aborted, "closed"));
    const ended = this.#teardown();
    // What ended in an error stays readable as one.
    if (this.#state !== "error") this.enter("closed");
    await ended;
  }

  /**
   * As `close`, for `await using`; browsers without that have no such symbol and no use for the method.
   * @returns {Promise<void>}
   */
  [Symbol.asyncDispose]() {
    return this.close();
  }

  /**
   * Gives the present session up and makes another.
   * @param {InverError} reason
   * @param {string} [endpoint] Where the next session is made, once.
   * @protected
   */
  restartSession(reason, endpoint) {
    this.#nextEndpoint = endpoint;
    this.#lose?.(reason);
  }

  /**
   * @param {() => void} resolve
   * @param {(error: unknown) => void} reject
   */
  async #run(resolve, reject) {
    const closing = this.#closing.signal;
    while (!closing.aborted) {
      this.enter(this.#everConnected ? "reconnecting" : this.#state === "offline" ? "offline" : "connecting");
      /** @type {InverError} */
      let error;
      const session = new AbortController();
      try {
        const { lost } = await this.#connect(AbortSignal.any([closing, session.signal]));
        this.#everConnected = true;
        this.#backoff.reset();
        resolve();
        error = await lost;
      } catch (cause) {
        error = cause instanceof InverError ? cause : new ConnectionError(ErrorCode.ConnectionLost, messageOf(cause), { cause });
      }
      session.abort();
      if (error.code === ErrorCode.Ended) this.#resource?.forget();
      await this.#teardown();
      if (!closing.aborted) error = await this.examine(error);
      if (closing.aborted) {
        reject(error);
        return;
      }
      if (this.#options.reconnect === false || !this.retries(error)) {
        this.enter("error", error);
        reject(error);
        await this.close();
        return;
      }
      const wait = this.#waitAfter(error);
      this.onWaiting(error, wait);
      await this.#wait(wait);
    }
    reject(new InverError(ErrorCode.Aborted, "closed"));
  }

  /** @param {InverError} error */
  #waitAfter(error) {
    // A server that sends its clients elsewhere sends them all at once: they spread out.
    if (this.#nextEndpoint) return Math.random() * 500;
    const asked = retryAfterOf(error);
    const wait = this.#backoff.next(asked);
    return asked === undefined ? Math.min(wait, this.longestWait(error) ?? wait) : wait;
  }

  /** @param {number} milliseconds */
  async #wait(milliseconds) {
    const waiting = new AbortController();
    this.#waiting = waiting;
    const online = () => waiting.abort();
    globalThis.addEventListener?.("online", online, { once: true });
    try {
      await delay(milliseconds, AbortSignal.any([this.#closing.signal, waiting.signal]));
    } catch {
      // Closed, or asked to go on at once: the loop sees which.
    }
    globalThis.removeEventListener?.("online", online);
    this.#waiting = undefined;
  }

  async #teardown() {
    const resource = this.#resource;
    const peer = this.#peer;
    this.#resource = undefined;
    this.#peer = undefined;
    this.#lose = undefined;
    // Closing DTLS ends the session on the server as well; the request goes first, so that it still finds it.
    const ended = resource?.end();
    if (ended) await Promise.race([ended, delay(END_TIMEOUT_MS)]);
    peer?.close();
    await ended;
  }

  /**
   * Makes one session.
   * @param {AbortSignal} signal Ends with the session.
   * @returns {Promise<{ lost: Promise<InverError> }>} `lost` resolves when the connection is lost.
   */
  async #connect(signal) {
    const { iceServers = [], iceTransportPolicy } = this.#options;
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require", iceServers, iceTransportPolicy });
    this.#peer = peer;
    /** @type {Promise<InverError>} */
    const lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
    const trickle = new Trickle(peer, () => this.#resource, signal);
    this.prepare(peer);

    const offer = await peer.createOffer();
    const sdp = this.shapeOffer(offer.sdp ?? "");
    try {
      await peer.setLocalDescription({ type: "offer", sdp });
    } catch {
      // A browser that refuses a shaped offer takes its own.
      await peer.setLocalDescription(offer);
    }
    signal.throwIfAborted();

    const endpoint = this.#nextEndpoint ?? this.#endpoint;
    this.#nextEndpoint = undefined;
    const token = await tokenOf(this.#options.token);
    const { resource, answer } = await Resource.create(this.#door, endpoint, peer.localDescription?.sdp ?? sdp, token, signal);
    if (signal.aborted) {
      await resource.end();
      signal.throwIfAborted();
    }
    this.#resource = resource;
    const offered = iceServersOf(resource.links);
    if (offered.length > 0) {
      try {
        peer.setConfiguration({ ...peer.getConfiguration(), iceServers: [...iceServers, ...offered] });
      } catch {
        // Where the browser refuses new servers now, host candidates and the server's own address remain.
      }
    }
    const connected = this.#connected(peer, signal);
    // Where the description is refused, nobody waits for the connection any more.
    connected.catch(() => {});
    try {
      await peer.setRemoteDescription({ type: "answer", sdp: this.shapeAnswer(answer) });
    } catch (cause) {
      throw new InverError(ErrorCode.Protocol, `the browser does not accept the server's answer: ${messageOf(cause)}`, { cause });
    }
    trickle.open();
    this.onSession(resource, signal);
    await connected;
    this.onConnected(peer);
    this.#watch(peer, signal);
    return { lost };
  }

  /**
   * @param {RTCPeerConnection} peer
   * @param {AbortSignal} signal
   * @returns {Promise<void>}
   */
  #connected(peer, signal) {
    return new Promise((resolve, reject) => {
      const finish = (/** @type {InverError | undefined} */ error) => {
        clearTimeout(timer);
        peer.removeEventListener("connectionstatechange", check);
        signal.removeEventListener("abort", abort);
        if (error) reject(error);
        else resolve();
      };
      const check = () => {
        if (peer.connectionState === "connected") finish(undefined);
        else if (peer.connectionState === "failed") {
          finish(new ConnectionError(ErrorCode.ConnectionLost, "no media path to the server was found; a firewall may be in the way"));
        }
      };
      const abort = () => finish(new InverError(ErrorCode.Aborted, "closed"));
      const timer = setTimeout(
        () => finish(new ConnectionError(ErrorCode.Timeout, "no media path to the server came about in time; a firewall may be in the way")),
        CONNECT_TIMEOUT_MS,
      );
      peer.addEventListener("connectionstatechange", check);
      signal.addEventListener("abort", abort, { once: true });
      check();
    });
  }

  /**
   * Heals or gives up a connection that goes quiet, and samples its figures.
   * @param {RTCPeerConnection} peer
   * @param {AbortSignal} signal
   */
  #watch(peer, signal) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let restarting = false;
    const lose = (/** @type {string} */ message) => this.#lose?.(new ConnectionError(ErrorCode.ConnectionLost, message));
    const restart = async () => {
      if (restarting || signal.aborted) return;
      restarting = true;
      clearTimeout(timer);
      timer = setTimeout(() => lose("the connection did not come back"), RESTART_TIMEOUT_MS);
      try {
        await this.#restartIce(peer, signal);
      } catch (cause) {
        lose(messageOf(cause));
      }
    };
    const check = () => {
      switch (peer.connectionState) {
        case "connected":
          restarting = false;
          clearTimeout(timer);
          timer = undefined;
          break;
        case "disconnected":
          if (!restarting) timer ??= setTimeout(() => void restart(), RESTART_AFTER_MS);
          break;
        case "failed":
          if (restarting) lose("the connection was lost");
          else void restart();
          break;
        default:
      }
    };
    // DTLS closed by the server shows on the transport before ICE notices.
    const closed = () => {
      if (transport?.state === "closed") this.#lose?.(new ConnectionError(ErrorCode.Ended, "the server ended the session"));
      else if (transport?.state === "failed") lose("the encryption of the connection failed");
    };
    const transport = peer.getTransceivers().find((one) => one.sender.transport)?.sender.transport;
    transport?.addEventListener("statechange", closed, { signal });
    peer.addEventListener("connectionstatechange", check, { signal });
    const leave = () => void this.#resource?.end();
    globalThis.addEventListener?.("pagehide", leave, { signal });
    globalThis.addEventListener?.(
      "pageshow",
      (event) => {
        if (event.persisted) lose("the page was asleep");
      },
      { signal },
    );
    const interval = this.#options.statsInterval ?? 1000;
    const sampler = interval > 0 ? setInterval(() => void this.#sample(peer), interval) : undefined;
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      clearInterval(sampler);
    });
    void this.#sample(peer);
    check();
    closed();
  }

  /** @param {RTCPeerConnection} peer */
  async #sample(peer) {
    try {
      const report = await peer.getStats();
      if (peer === this.#peer) this.onReport(report, Date.now());
    } catch {
      // The connection was closed while the browser counted.
    }
  }

  /**
   * @param {RTCPeerConnection} peer
   * @param {AbortSignal} signal
   */
  async #restartIce(peer, signal) {
    const resource = this.#resource;
    const before = peer.remoteDescription?.sdp;
    if (!resource || !before) throw new ConnectionError(ErrorCode.ConnectionLost, "there is no session to restart");
    const offer = await peer.createOffer({ iceRestart: true });
    await peer.setLocalDescription(offer);
    const fragment = iceFragment(offer.sdp ?? "", [], false);
    if (!fragment) throw new ConnectionError(ErrorCode.ConnectionLost, "the browser's description has no ICE credentials");
    const answer = applyIceFragment(before, await resource.restart(fragment, signal));
    if (!answer) throw new InverError(ErrorCode.Protocol, "the server's restart has no ICE credentials");
    await peer.setRemoteDescription({ type: "answer", sdp: answer });
  }
}

/** Collects candidates and sends them in as few requests as their pace allows. */
class Trickle {
  #peer;
  #resource;
  #signal;
  /** Bounded by the browser: a few per interface and server. @type {RTCIceCandidate[]} */
  #pending = [];
  #complete = false;
  #opened = false;
  #wanted = true;
  #sending = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {RTCPeerConnection} peer
   * @param {() => Resource | undefined} resource
   * @param {AbortSignal} signal
   */
  constructor(peer, resource, signal) {
    this.#peer = peer;
    this.#resource = resource;
    this.#signal = signal;
    peer.addEventListener(
      "icecandidate",
      ({ candidate }) => {
        if (candidate?.candidate) this.#pending.push(candidate);
        else this.#complete = true;
        this.#schedule();
      },
      { signal },
    );
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
  }

  /** The session exists: candidates may travel. */
  open() {
    this.#opened = true;
    this.#schedule();
  }

  #schedule() {
    if (!this.#opened || !this.#wanted || this.#sending || this.#signal.aborted) return;
    this.#timer ??= setTimeout(() => void this.#send(), TRICKLE_DELAY_MS);
  }

  async #send() {
    this.#timer = undefined;
    const resource = this.#resource();
    const sdp = this.#peer.localDescription?.sdp;
    // Before the connection is up candidates help; afterwards the pair is chosen.
    if (!resource || !sdp || (this.#pending.length === 0 && !this.#complete)) return;
    const fragment = iceFragment(sdp, this.#pending.splice(0), this.#complete);
    const complete = this.#complete;
    this.#complete = false;
    if (!fragment) return;
    this.#sending = true;
    try {
      this.#wanted = await resource.trickle(fragment, this.#signal);
    } catch {
      // Candidates that do not arrive are made up for by the server seeing where we send from.
    }
    this.#sending = false;
    if (!complete || this.#pending.length > 0) this.#schedule();
  }
}

/** @param {unknown} cause */
function messageOf(cause) {
  return cause instanceof Error ? cause.message : String(cause);
}
