/**
 * A clock in a worker: pages in the background have their own timers slowed to one tick per second.
 *
 * Owns: one interval. Receives the period in milliseconds; posts a message per tick.
 * @module
 */

/** @type {ReturnType<typeof setInterval> | undefined} */
let timer;

addEventListener("message", (event) => {
  clearInterval(timer);
  if (typeof event.data === "number" && event.data >= 1) timer = setInterval(() => postMessage(0), event.data);
});
