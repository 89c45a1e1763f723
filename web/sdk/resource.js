/**
 * The HTTP side of one WHIP or WHEP session: POST, trickle and ICE restart by PATCH, DELETE (RFC 9725, WHEP draft).
 *
 * Owns: the session's URL, its ETag and its links. Never touches the peer connection.
 * @module
 */

import { ErrorCode, InverError, SignallingError, errorOfResponse } from "./errors.js";
import { parseLinks } from "./link.js";

/** How long one request may take. Higher waits for slow networks, lower notices dead servers sooner. */
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * A token, or what gives one; the function is asked again before every session, so that it can renew.
 * @typedef {string | (() => string | undefined | Promise<string | undefined>)} TokenSource
 */

/**
 * @param {TokenSource | undefined} source
 * @returns {Promise<string | undefined>}
 */
export async function tokenOf(source) {
  const token = typeof source === "function" ? await source() : source;
  return token || undefined;
}

/**
 * Fetches with a deadline; what goes wrong below HTTP becomes a `SignallingError`.
 * @param {string} url
 * @param {RequestInit} init
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
export async function request(url, init, signal) {
  const deadline = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  try {
    return await fetch(url, { ...init, cache: "no-store", signal: signal ? AbortSignal.any([signal, deadline]) : deadline });
  } catch (cause) {
    if (signal?.aborted) throw new InverError(ErrorCode.Aborted, "stopped before the server answered", { cause });
    if (deadline.aborted) {
      throw new SignallingError(ErrorCode.Timeout, `the server did not answer within ${REQUEST_TIMEOUT_MS / 1000} seconds`, { cause });
    }
    throw new SignallingError(ErrorCode.Network, "the server cannot be reached", { cause });
  }
}

/** One session on the server. */
export class Resource {
  #door;
  #url;
  #token;
  #etag;
  #ended = false;

  /**
   * @param {"whip" | "whep"} door
   * @param {string} url
   * @param {string | undefined} token
   * @param {string | null} etag
   * @param {import("./link.js").Link[]} links
   * @param {string} base Address that links are relative to.
   */
  constructor(door, url, token, etag, links, base) {
    this.#door = door;
    this.#url = url;
    this.#token = token;
    this.#etag = etag;
    this.links = links;
    this.base = base;
  }

  /** URL of the session. */
  get url() {
    return this.#url;
  }

  /**
   * Sends an offer.
   * @param {"whip" | "whep"} door
   * @param {string} endpoint
   * @param {string} offer
   * @param {string | undefined} token
   * @param {AbortSignal} [signal]
   * @returns {Promise<{ resource: Resource, answer: string }>}
   */
  static async create(door, endpoint, offer, token, signal) {
    const response = await request(
      endpoint,
      { method: "POST", headers: { "content-type": "application/sdp", accept: "application/sdp", ...authorization(token) }, body: offer },
      signal,
    );
    if (response.status !== 201) {
      if (response.ok) {
        throw new SignallingError(ErrorCode.Protocol, `the server answered ${response.status} where 201 would be right`, {
          status: response.status,
        });
      }
      throw await errorOfResponse(response, door);
    }
    const location = response.headers.get("location");
    if (!location) throw new SignallingError(ErrorCode.Protocol, "the server's answer has no Location", { status: 201 });
    // A redirect may have led elsewhere: what is relative is relative to where the answer came from.
    const base = response.url || new URL(endpoint, document.baseURI).href;
    const resource = new Resource(
      door,
      new URL(location, base).href,
      token,
      response.headers.get("etag"),
      parseLinks(response.headers.get("link")),
      base,
    );
    const answer = await response.text();
    if (!answer.startsWith("v=")) {
      void resource.end();
      throw new SignallingError(ErrorCode.Protocol, "the server's answer is not a session description", { status: 201 });
    }
    return { resource, answer };
  }

  /**
   * Sends candidates. A server without trickle is fine: candidates that it does not take are not needed.
   * @param {string} fragment
   * @param {AbortSignal} [signal]
   * @returns {Promise<boolean>} Whether more candidates are worth sending.
   */
  async trickle(fragment, signal) {
    if (this.#ended) return false;
    const response = await this.#patch(fragment, this.#etag ?? "*", signal);
    if (response.ok) return true;
    // 412 is an ICE session that a restart has replaced; 404 one that has ended, which the connection notices.
    return response.status === 412;
  }

  /**
   * Restarts ICE.
   * @param {string} fragment New credentials and candidates.
   * @param {AbortSignal} [signal]
   * @returns {Promise<string>} The server's new credentials and candidates.
   */
  async restart(fragment, signal) {
    const response = await this.#patch(fragment, "*", signal);
    if (response.status !== 200) {
      if (response.ok) throw new SignallingError(ErrorCode.Protocol, "the server cannot restart ICE", { status: response.status });
      throw await errorOfResponse(response, this.#door);
    }
    this.#etag = response.headers.get("etag") ?? this.#etag;
    return response.text();
  }

  /**
   * @param {string} body
   * @param {string} match
   * @param {AbortSignal} [signal]
   */
  #patch(body, match, signal) {
    const headers = { "content-type": "application/trickle-ice-sdpfrag", "if-match": match, ...authorization(this.#token) };
    return request(this.#url, { method: "PATCH", headers, body }, signal);
  }

  /**
   * Posts JSON to an extension of the session.
   * @param {string} url
   * @param {unknown} body
   * @param {AbortSignal} [signal]
   * @returns {Promise<Response>}
   */
  async post(url, body, signal) {
    const headers = { "content-type": "application/json", ...authorization(this.#token) };
    const response = await request(url, { method: "POST", headers, body: JSON.stringify(body) }, signal);
    if (!response.ok) throw await errorOfResponse(response, this.#door);
    return response;
  }

  /** The server has ended the session by itself: nothing is left to end. */
  forget() {
    this.#ended = true;
  }

  /**
   * Ends the session on the server. Safe to call twice, never throws; survives the page's end.
   * @returns {Promise<void>}
   */
  async end() {
    if (this.#ended) return;
    this.#ended = true;
    try {
      await fetch(this.#url, { method: "DELETE", headers: authorization(this.#token), keepalive: true, signal: AbortSignal.timeout(5_000) });
    } catch {
      // The server frees the session by itself when ICE consent expires.
    }
  }
}

/**
 * @param {string | undefined} token
 * @returns {Record<string, string>}
 */
function authorization(token) {
  return token ? { authorization: `Bearer ${token}` } : {};
}
