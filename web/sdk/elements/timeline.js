/**
 * The bar along which a viewer winds back, and the button that leads to live again.
 *
 * Owns: both controls. Never seeks; it tells where to.
 * @module
 */

/** A window that is shorter than this, in seconds, is a buffer and no past. Above the 30 s that servers keep by default, give or take a segment. */
const SHORTEST_S = 35;

/**
 * Seconds as a person reads them.
 * @param {number} seconds
 * @returns {string} Such as `1:05` or `1:02:03`.
 */
export function spanText(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/**
 * The same in words.
 * @param {number} seconds
 * @returns {string}
 */
export function spanWords(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  const counted = (/** @type {number} */ count, /** @type {string} */ unit) => `${count} ${unit}${count === 1 ? "" : "s"}`;
  if (minutes === 0) return counted(rest, "second");
  return rest === 0 ? counted(minutes, "minute") : `${counted(minutes, "minute")} ${counted(rest, "second")}`;
}

export class Timeline {
  #bar;
  #live;
  #held = false;

  /**
   * @param {HTMLInputElement} bar
   * @param {HTMLButtonElement} live
   * @param {{ seek: (position: number) => void, goLive: () => void }} act
   */
  constructor(bar, live, act) {
    this.#bar = bar;
    this.#live = live;
    bar.addEventListener("input", () => {
      this.#held = true;
      this.#describe(Number(bar.max) - Number(bar.value));
    });
    // While it is dragged nothing is loaded that nobody will see.
    bar.addEventListener("change", () => {
      this.#held = false;
      act.seek(Number(bar.value));
    });
    live.addEventListener("click", () => act.goLive());
  }

  /**
   * @param {import("../hls.js").Window | undefined} window `undefined` where there is no past.
   * @returns {boolean} Whether the bar is shown.
   */
  show(window) {
    const long = window !== undefined && window.end - window.start > SHORTEST_S;
    this.#bar.hidden = !long;
    this.#live.hidden = !window || window.live;
    if (!long || this.#held) return long;
    this.#bar.min = String(window.start);
    this.#bar.max = String(window.end);
    this.#bar.value = String(window.live ? window.end : window.position);
    this.#describe(window.live ? 0 : window.behind);
    return true;
  }

  /** @param {number} behind */
  #describe(behind) {
    const text = behind < 1 ? "Live" : `${spanWords(behind)} behind live`;
    this.#bar.setAttribute("aria-valuetext", text);
    this.#bar.title = text;
  }
}
