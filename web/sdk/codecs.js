/**
 * Which codec a publisher sends, and how its picture is divided into simulcast layers.
 *
 * Owns: ordering of capabilities and encodings. Never touches a connection.
 * @module
 */

/** Video codecs by the names that the options take. */
export const VideoCodec = Object.freeze({ H264: "H264", VP8: "VP8", VP9: "VP9", AV1: "AV1", H265: "H265" });

/** Formats that carry no picture of their own and go along with any codec. */
const COMPANIONS = new Set(["video/rtx", "video/red", "video/ulpfec", "video/flexfec-03"]);

/**
 * Capabilities for `setCodecPreferences`: one codec and its companions.
 * @template {{ mimeType: string, sdpFmtpLine?: string }} Capability
 * @param {readonly Capability[]} capabilities
 * @param {string} name
 * @returns {Capability[]} Empty where the browser does not know the codec.
 */
export function preferCodec(capabilities, name) {
  const wanted = `video/${name}`.toLowerCase();
  const chosen = capabilities.filter((one) => one.mimeType.toLowerCase() === wanted);
  if (chosen.length === 0) return [];
  chosen.sort((one, other) => rank(one) - rank(other));
  return [...chosen, ...capabilities.filter((one) => COMPANIONS.has(one.mimeType.toLowerCase()))];
}

/**
 * Capabilities for `setCodecPreferences`: all of them, one codec first, so that it is sent wherever the other side knows it.
 * @template {{ mimeType: string, sdpFmtpLine?: string }} Capability
 * @param {readonly Capability[]} capabilities
 * @param {string} name
 * @returns {Capability[]} Empty where the browser does not know the codec.
 */
export function offerFirst(capabilities, name) {
  const preferred = preferCodec(capabilities, name);
  if (preferred.length === 0) return [];
  return [...preferred, ...capabilities.filter((one) => !preferred.includes(one))];
}

/**
 * Of H264's profiles, constrained baseline in packetization mode 1 plays everywhere.
 * @param {{ sdpFmtpLine?: string }} capability
 */
function rank({ sdpFmtpLine = "" }) {
  if (!/profile-level-id=/i.test(sdpFmtpLine)) return 0;
  const mode = /packetization-mode=1/.test(sdpFmtpLine) ? 0 : 4;
  if (/profile-level-id=42e0/i.test(sdpFmtpLine)) return mode;
  if (/profile-level-id=4d/i.test(sdpFmtpLine)) return mode + 1;
  return mode + 2;
}

/**
 * Names of video codecs that this browser can send.
 * @returns {string[]}
 */
export function sendableCodecs() {
  const capabilities = globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs ?? [];
  const names = new Set(capabilities.map((one) => one.mimeType.slice("video/".length).toUpperCase()));
  return Object.values(VideoCodec).filter((name) => names.has(name));
}

/**
 * @typedef {object} EncodingOptions
 * @property {number} [maxBitrate] Bits per second of the full picture.
 * @property {number} [maxFramerate]
 * @property {boolean} [simulcast] Three layers, at a quarter, a half and all of the width.
 * @property {string} [scalabilityMode] Such as `L1T2`; two temporal layers with simulcast where not given.
 */

/**
 * Encodings from the lowest layer to the full picture.
 * @param {EncodingOptions} options
 * @returns {RTCRtpEncodingParameters[]}
 */
export function encodingsOf({ maxBitrate, maxFramerate, simulcast, scalabilityMode }) {
  if (!simulcast) return [clean({ maxBitrate, maxFramerate, scalabilityMode })];
  const top = maxBitrate ?? 2_500_000;
  const mode = scalabilityMode ?? "L1T2";
  return [
    clean({ rid: "l", scaleResolutionDownBy: 4, maxBitrate: Math.max(100_000, Math.round(top * 0.08)), maxFramerate, scalabilityMode: mode }),
    clean({ rid: "m", scaleResolutionDownBy: 2, maxBitrate: Math.max(250_000, Math.round(top * 0.28)), maxFramerate, scalabilityMode: mode }),
    clean({ rid: "h", scaleResolutionDownBy: 1, maxBitrate: top, maxFramerate, scalabilityMode: mode }),
  ];
}

/**
 * @param {Record<string, unknown>} encoding
 * @returns {RTCRtpEncodingParameters}
 */
function clean(encoding) {
  return Object.fromEntries(Object.entries(encoding).filter(([, value]) => value !== undefined));
}
