/**
 * When to try again: exponential back-off with jitter, and which errors are worth it.
 *
 * Owns: the decision. Never waits by itself except in `delay`.
 * @module
 */

import { ErrorCode, InverError, SignallingError } from "./errors.js";

/**
 * @typedef {object} BackoffOptions
 * @property {number} [first] Milliseconds before the first retry. Higher is kinder to the server, lower resumes sooner.
 * @property {number} [most] Longest wait in milliseconds.
 * @property {number} [factor] Growth per attempt.
 * @property {() => number} [random] 0 to 1; for tests.
 */

/** Waits that double up to a bound, each drawn from its upper half so that clients do not come back in step. */
export class Backoff {
  #options;
  #attempt = 0;

  /** @param {BackoffOptions} [options] */
  constructor({ first = 500, most = 15_000, factor = 2, random = Math.random } = {}) {
    this.#options = { first, most, factor, random };
  }

  /** Attempts since the last success. */
  get attempt() {
    return this.#attempt;
  }

  /**
   * Milliseconds to wait before the next attempt.
   * @param {number} [atLeast] What the server asked for by `Retry-After`, in milliseconds; jitter is added, never taken.
   * @returns {number}
   */
  next(atLeast) {
    const { first, most, factor, random } = this.#options;
    const full = Math.min(most, first * factor ** this.#attempt);
    this.#attempt += 1;
    if (atLeast !== undefined) return Math.min(atLeast, 60_000) + random() * 250;
    return full / 2 + (random() * full) / 2;
  }

  /** Starts again from the first wait, after a success. */
  reset() {
    this.#attempt = 0;
  }
}

/**
 * Whether the same request may succeed later without anybody changing anything.
 * @param {unknown} error
 * @returns {boolean}
 */
export function isWorthRetrying(error) {
  if (!(error instanceof InverError)) return false;
  switch (error.code) {
    case ErrorCode.Network:
    case ErrorCode.Timeout:
    case ErrorCode.NotLive:
    case ErrorCode.TooMany:
    case ErrorCode.Unavailable:
    case ErrorCode.ConnectionLost:
    case ErrorCode.Ended:
      return true;
    default:
      return false;
  }
}

/**
 * @param {unknown} error
 * @returns {number | undefined}
 */
export function retryAfterOf(error) {
  return error instanceof SignallingError ? error.retryAfter : undefined;
}

/**
 * Resolves after `milliseconds`, or rejects with the signal's reason.
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function delay(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
