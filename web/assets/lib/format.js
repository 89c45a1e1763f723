/**
 * Figures as people read them.
 *
 * Owns: pure functions from numbers to text. Never touches the document.
 * @module
 */

/**
 * @param {number} bitrate Bits per second.
 * @returns {string}
 */
export function bitrateText(bitrate) {
  if (!Number.isFinite(bitrate) || bitrate <= 0) return "0 kbit/s";
  if (bitrate >= 999_500) return `${(bitrate / 1e6).toFixed(bitrate >= 9_950_000 ? 0 : 1)} Mbit/s`;
  return `${Math.round(bitrate / 1000)} kbit/s`;
}

/**
 * @param {number} share 0 to 1.
 * @returns {string}
 */
export function shareText(share) {
  if (!Number.isFinite(share) || share <= 0) return "0 %";
  if (share < 0.001) return "< 0.1 %";
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/**
 * @param {number | undefined} value Milliseconds.
 * @returns {string}
 */
export function msText(value) {
  return value === undefined || !Number.isFinite(value) ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/**
 * @param {number} bytes
 * @returns {string} Such as `640 kB` or `1.2 GB`.
 */
export function sizeText(bytes) {
  const [divisor, unit] = bytes < 1e6 ? [1e3, "kB"] : bytes < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  const value = bytes / divisor;
  return `${value < 10 && unit !== "kB" ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/**
 * @param {number} seconds
 * @returns {string} Such as `4:05` or `1:02:03`.
 */
export function clockText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/**
 * @param {number} seconds
 * @returns {string} Such as `3 min` or `2 d 4 h`.
 */
export function spanText(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole / 3600) % 24} h`;
}

/**
 * @param {string | undefined} time RFC 3339.
 * @param {number} now Milliseconds since the epoch.
 * @returns {number | undefined} Seconds since then; never negative, clocks differ.
 */
export function secondsSince(time, now) {
  const at = Date.parse(time ?? "");
  return Number.isNaN(at) ? undefined : Math.max(0, (now - at) / 1000);
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} many
 * @returns {string}
 */
export function countText(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/**
 * @param {number} count
 * @returns {string}
 */
export function viewersText(count) {
  return `${count.toLocaleString("en")} watching`;
}

/**
 * @param {string | undefined} codec As WebRTC or the server names it, in any case.
 * @returns {string} As people write it.
 */
export function codecText(codec) {
  return codec?.toLowerCase() === "opus" ? "Opus" : (codec?.toUpperCase() ?? "");
}

/**
 * @param {string} text A message of the server, which begins small and has no full stop.
 * @returns {string} As it stands alone.
 */
export function sentenceText(text) {
  const trimmed = text.trim();
  const whole = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return whole === "" || /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/**
 * Says what a publication is, such as `H264 1280×720 30 fps`.
 * @param {{ kind: string, codec?: string, layers?: { width?: number, height?: number, frames_per_second?: number, active?: boolean }[] }} publication
 * @returns {string}
 */
export function publicationText({ codec, layers = [] }) {
  const best = layers.reduce(
    (/** @type {typeof layers[number] | undefined} */ most, one) => ((one.height ?? 0) > (most?.height ?? 0) ? one : most),
    undefined,
  );
  const parts = [codecText(codec)];
  if (best?.height) {
    parts.push(`${best.width}×${best.height}`);
    if (best.frames_per_second) parts.push(`${Math.round(best.frames_per_second)} fps`);
  }
  if (layers.length > 1) parts.push(`${layers.length} layers`);
  return parts.filter(Boolean).join(" ");
}

/**
 * Room of a path such as `/watch/{room}`.
 * @param {string} path
 * @returns {string} Empty where there is none.
 */
export function roomOfPath(path) {
  const last = path.split("/").filter(Boolean).at(-1) ?? "";
  try {
    return decodeURIComponent(last);
  } catch {
    return last;
  }
}

/**
 * A query parameter that is on by `1`, `true`, `yes` or its mere presence, and off by `0`, `false`, `no`.
 * @param {URLSearchParams} query
 * @param {string} name
 * @param {boolean} otherwise Where it is missing or says something else.
 * @returns {boolean}
 */
export function flagOf(query, name, otherwise) {
  const value = query.get(name)?.toLowerCase();
  if (value === undefined) return otherwise;
  if (["", "1", "true", "yes", "on"].includes(value)) return true;
  if (["0", "false", "no", "off"].includes(value)) return false;
  return otherwise;
}

const ADJECTIVES = ["calm", "clear", "deep", "bright", "gentle", "silver", "quiet", "swift", "amber", "misty", "early", "northern"];
const NOUNS = ["river", "harbour", "delta", "spring", "ford", "lagoon", "brook", "strait", "lake", "current", "shore", "estuary"];

/**
 * A room name to start with.
 * @param {() => number} random 0 to 1.
 * @returns {string}
 */
export function proposeRoom(random = Math.random) {
  const pick = (/** @type {string[]} */ words) => words[Math.floor(random() * words.length)] ?? words[0];
  return `${pick(ADJECTIVES)}-${pick(NOUNS)}-${10 + Math.floor(random() * 90)}`;
}

/**
 * A number from a text, always the same one; for colours and patterns.
 * @param {string} text
 * @returns {number} 32 bits.
 */
export function hashOf(text) {
  let hash = 2166136261;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
  return hash >>> 0;
}
