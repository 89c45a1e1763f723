/**
 * Errors of the SDK: one class per origin, each with a stable `code`.
 *
 * Owns: the codes and how an HTTP answer becomes one. Never decides whether to try again; see `retry.js`.
 * @module
 */

/** Every value that `InverError.code` can have. */
export const ErrorCode = Object.freeze({
  /** The caller's signal aborted, or the object was closed. */
  Aborted: "aborted",
  /** The server could not be reached. */
  Network: "network",
  /** The server or the media path did not answer in time. */
  Timeout: "timeout",
  /** The request itself is wrong (400, 415, ...). */
  BadRequest: "badRequest",
  /** A key or token is missing or wrong (401). */
  Unauthorized: "unauthorized",
  /** The key or token does not permit this (403). */
  Forbidden: "forbidden",
  /** No such room or session (404). */
  NotFound: "notFound",
  /** Nobody is live in the room (409 from WHEP). */
  NotLive: "notLive",
  /** Somebody else is live in the room (409 from WHIP). */
  Taken: "taken",
  /** The codecs or the description do not fit (406, 422). */
  Unprocessable: "unprocessable",
  /** Too many requests (429). */
  TooMany: "tooMany",
  /** The server is full, draining or failing (5xx). */
  Unavailable: "unavailable",
  /** The answer breaks the protocol. */
  Protocol: "protocol",
  /** The media connection was lost and may not be tried again. */
  ConnectionLost: "connectionLost",
  /** The server ended the session: an operator did, or somebody took it over. */
  Ended: "ended",
  /** This browser lacks something that was asked for. */
  Unsupported: "unsupported",
  /** The user or the browser refused camera, microphone or screen. */
  MediaDenied: "mediaDenied",
  /** No camera or microphone fits. */
  MediaNotFound: "mediaNotFound",
  /** Another program holds the camera or microphone. */
  MediaBusy: "mediaBusy",
});

/** @typedef {typeof ErrorCode[keyof typeof ErrorCode]} ErrorCodeValue */

/** Base of all errors that the SDK raises. */
export class InverError extends Error {
  /**
   * @param {ErrorCodeValue} code
   * @param {string} message What went wrong and what would be right, in words for a person.
   * @param {{ cause?: unknown }} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    this.name = new.target.name;
    /** What kind of error this is. */
    this.code = code;
  }
}

/** The HTTP exchange of WHIP or WHEP failed. */
export class SignallingError extends InverError {
  /**
   * @param {ErrorCodeValue} code
   * @param {string} message
   * @param {{ cause?: unknown, status?: number, retryAfter?: number, problem?: Problem }} [options]
   */
  constructor(code, message, options = {}) {
    super(code, message, options);
    /** HTTP status, where there was an answer. */
    this.status = options.status;
    /** Milliseconds that the server asks to wait, from `Retry-After`. */
    this.retryAfter = options.retryAfter;
    /** The problem document of the answer, where there was one (RFC 9457). */
    this.problem = options.problem;
  }
}

/** Camera, microphone, screen or codec is not to be had. */
export class MediaError extends InverError {}

/** ICE or DTLS failed after signalling had succeeded. */
export class ConnectionError extends InverError {}

/**
 * Problem document (RFC 9457).
 * @typedef {object} Problem
 * @property {string} [type]
 * @property {string} [title]
 * @property {number} [status]
 * @property {string} [detail]
 */

/**
 * Turns `Retry-After` (seconds or an HTTP date) into milliseconds.
 * @param {string | null} value
 * @param {number} now Milliseconds since the epoch.
 * @returns {number | undefined} `undefined` where the header is missing or makes no sense.
 */
export function parseRetryAfter(value, now) {
  const text = value?.trim();
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

/**
 * @param {number} status
 * @param {"whip" | "whep"} door
 * @returns {ErrorCodeValue}
 */
export function codeOfStatus(status, door) {
  switch (status) {
    case 401:
      return ErrorCode.Unauthorized;
    case 403:
      return ErrorCode.Forbidden;
    case 404:
    case 410:
      return ErrorCode.NotFound;
    case 409:
      return door === "whip" ? ErrorCode.Taken : ErrorCode.NotLive;
    case 406:
    case 422:
      return ErrorCode.Unprocessable;
    case 429:
      return ErrorCode.TooMany;
    case 408:
    case 504:
      return ErrorCode.Timeout;
    default:
      return status >= 500 ? ErrorCode.Unavailable : ErrorCode.BadRequest;
  }
}

/**
 * Reads a refusal. The body is read as a problem document where it is one, and is bounded in what is shown of it.
 * @param {Response} response
 * @param {"whip" | "whep"} door
 * @returns {Promise<SignallingError>}
 */
export async function errorOfResponse(response, door) {
  const code = codeOfStatus(response.status, door);
  /** @type {Problem | undefined} */
  let problem;
  let text = "";
  try {
    text = await response.text();
    if (/[/+]json\b/.test(response.headers.get("content-type") ?? "")) problem = JSON.parse(text);
  } catch {
    // A refusal with an unreadable body is still that refusal.
  }
  const words = problem?.detail ?? problem?.title ?? (/^\s*</.test(text) ? "" : text.trim().slice(0, 300));
  return new SignallingError(code, words || `the server answered ${response.status} ${response.statusText}`.trim(), {
    status: response.status,
    retryAfter: parseRetryAfter(response.headers.get("retry-after"), Date.now()),
    problem,
  });
}

/**
 * Turns what `getUserMedia` and `getDisplayMedia` throw into a `MediaError`.
 * @param {unknown} cause
 * @returns {InverError}
 */
export function errorOfMedia(cause) {
  if (cause instanceof InverError) return cause;
  const name = cause instanceof Error ? cause.name : "";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return new MediaError(
        ErrorCode.MediaDenied,
        "The browser did not give access. Allow camera, microphone or screen for this page, then try again.",
        { cause },
      );
    case "NotFoundError":
      return new MediaError(ErrorCode.MediaNotFound, "No camera or microphone was found. Connect one, or choose another source.", {
        cause,
      });
    case "OverconstrainedError":
      return new MediaError(ErrorCode.MediaNotFound, "No device offers these settings. Choose another device or picture size.", {
        cause,
      });
    case "NotReadableError":
    case "AbortError":
      return new MediaError(ErrorCode.MediaBusy, "The device could not be opened. Another program may be using it.", { cause });
    default:
      return new MediaError(ErrorCode.Unsupported, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
