/**
 * What both elements share: the attributes that say where, and events that are dispatched on the element.
 *
 * Owns: address and token. Never connects.
 * @module
 */

import { endpointOf, isRoomId, roomIdProblem, serverOf } from "../room.js";
import { ErrorCode, InverError } from "../errors.js";

/** `HTMLElement`, or a stand-in where there is no document, so that importing the SDK on a server does no harm. */
const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

/** Attributes: `src` or `room` (and `server`), `token`. */
export class InverElement extends Base {
  /** Room id, where the element was told one. */
  get room() {
    return this.getAttribute("room") ?? "";
  }

  set room(value) {
    this.setAttribute("room", value);
  }

  /** Address of the endpoint, in place of `room`. */
  get src() {
    return this.getAttribute("src") ?? "";
  }

  set src(value) {
    this.setAttribute("src", value);
  }

  /** Base address of the server, where the SDK is not served by it. */
  get server() {
    return this.getAttribute("server") ?? serverOf(import.meta.url) ?? document.baseURI;
  }

  set server(value) {
    this.setAttribute("server", value);
  }

  #token = "";

  /** Stream key or token. A property is better than the attribute: it does not show in the document. */
  get token() {
    return this.#token || (this.getAttribute("token") ?? "");
  }

  set token(value) {
    this.#token = value;
  }

  /**
   * @param {"whip" | "whep"} door
   * @returns {string}
   * @protected
   */
  endpoint(door) {
    if (this.src) return new URL(this.src, document.baseURI).href;
    if (!isRoomId(this.room)) throw new InverError(ErrorCode.BadRequest, roomIdProblem(this.room) ?? "The room is missing.");
    return endpointOf(door, this.room, new URL(this.server, document.baseURI).href);
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   * @protected
   */
  announce(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/**
 * What went wrong, in words for a person who watches or publishes.
 * @param {InverError} error
 * @param {"whip" | "whep"} door
 * @returns {{ title: string, detail: string }}
 */
export function words(error, door) {
  const publishing = door === "whip";
  switch (error.code) {
    case ErrorCode.Unauthorized:
      return publishing
        ? { title: "A stream key is needed", detail: "This server accepts publishers with the room's stream key or a token only. Enter it and try again." }
        : { title: "This room is private", detail: "Watching needs a token. Ask whoever invited you for a link that carries one." };
    case ErrorCode.Forbidden:
      return { title: "Not permitted", detail: `The key or token does not allow ${publishing ? "publishing to" : "watching"} this room.` };
    case ErrorCode.Taken:
      return { title: "Somebody is already live here", detail: "A room has one publisher at a time. Choose another room, or try again when they are done." };
    case ErrorCode.Ended:
      return { title: "The session was ended", detail: "Somebody went live here with the same key, or an operator ended the session." };
    case ErrorCode.NotLive:
    case ErrorCode.NotFound:
      return publishing
        ? { title: "There is no such room", detail: "Check its name, or create it on the administration page." }
        : { title: "Nobody is live right now", detail: "The picture starts by itself when somebody goes live." };
    case ErrorCode.Unprocessable:
      return publishing
        ? { title: "The server cannot take this", detail: error.message }
        : { title: "This browser cannot play it", detail: error.message };
    case ErrorCode.TooMany:
    case ErrorCode.Unavailable:
      return { title: "The server has no room just now", detail: error.message };
    case ErrorCode.Network:
      return { title: "The server cannot be reached", detail: "Check the connection. This goes on by itself when the server is back." };
    case ErrorCode.MediaDenied:
      return { title: "No access", detail: error.message };
    case ErrorCode.MediaNotFound:
      return { title: "No device", detail: error.message };
    case ErrorCode.MediaBusy:
      return { title: "The device is busy", detail: error.message };
    default:
      return { title: "That did not work", detail: error.message };
  }
}
