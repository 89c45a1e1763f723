/**
 * What a room shows while its publisher is gone, on the administration page.
 *
 * Owns: the form that sets it. Addresses hold keys: they travel to the server and are never shown again.
 * @module
 */

import { api, roomPath } from "./api.js";
import { h, setText } from "./dom.js";
import { secondsSince, spanText } from "./format.js";

/**
 * @typedef {{ url: string, after_ms: number, longest_seconds?: number, always: boolean, configured: boolean, status: import("./restreams.js").Status }} Fallback
 */

/** How often an opened room asks anew. */
const POLL_MS = 2_000;

/**
 * What is shown and how it fares, in words.
 * @param {Fallback} fallback
 * @param {number} now Milliseconds since 1970.
 * @returns {string}
 */
export function fallbackText({ url, after_ms, longest_seconds, always, status }, now) {
  const span = spanText(secondsSince(status.since, now) ?? 0);
  switch (status.state) {
    case "live":
      return `${url}: shown for ${span}`;
    case "connecting":
      return `${url}: begins`;
    case "retrying":
      return `${url}: ${status.reason ?? "failed"}`;
    default: {
      const end = always || longest_seconds === undefined ? "" : `, for ${spanText(longest_seconds)} at most`;
      return `${url}: ${after_ms / 1000} s after the publisher is gone${end}`;
    }
  }
}

/**
 * The section of a room.
 * @param {string} room
 * @param {{ token: () => string, attempt: (action: () => Promise<unknown>, done?: string) => Promise<void>, shown: () => boolean }} page
 */
export function fallback(room, page) {
  const path = `${roomPath(room)}/fallback`;
  const state = h("p", { class: "soft small" });
  const url = h("input", {
    type: "text",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "file:slate.png, file:loop.ts, rtmp://host/app/stream or srt://host:port?streamid=…",
    "aria-label": "What is shown while the publisher is gone",
  });
  const remove = h("button", { class: "button slim danger", type: "button", hidden: true }, "Remove");
  const form = h("form", { class: "key-form" }, url, h("button", { class: "button slim", type: "submit" }, "Show that"), remove);
  const load = async () => {
    try {
      const found = /** @type {Fallback} */ (await api(path, { token: page.token() || undefined }));
      setText(state, fallbackText(found, Date.now()));
      remove.hidden = found.configured;
    } catch (cause) {
      // None is no failure, and says so itself.
      remove.hidden = true;
      setText(state, cause instanceof Error ? cause.message : String(cause));
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void page.attempt(async () => {
      await api(path, { method: "PUT", token: page.token() || undefined, body: { url: url.value.trim() } });
      form.reset();
      await load();
    });
  });
  remove.addEventListener("click", () => {
    void page.attempt(async () => {
      await api(path, { method: "DELETE", token: page.token() || undefined });
      await load();
    });
  });
  setInterval(() => page.shown() && document.visibilityState === "visible" && void load(), POLL_MS);
  return { root: h("section", {}, h("h3", {}, "While the publisher is gone"), state, form), load: () => void load() };
}
