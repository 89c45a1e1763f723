/**
 * Layers of a publication as the WHEP `layers` event tells them.
 *
 * Owns: reading the event and naming layers for people. Never selects one; `WhepPlayer` does.
 * @module
 */

/**
 * @typedef {object} Layer
 * @property {string} id Unique among the layers of one publication.
 * @property {string} mediaId Index of the m-line.
 * @property {string} [rid]
 * @property {number} [spatial]
 * @property {number} [temporal]
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [bitrate] Bits per second.
 * @property {boolean} active Whether it flows now.
 */

/**
 * Reads the data of a `layers` event; what does not fit is left out.
 * @param {unknown} data
 * @returns {Layer[]} From the best down; one per picture, the highest temporal layer standing for it.
 */
export function readLayers(data) {
  /** @type {Map<string, Layer>} */
  const layers = new Map();
  if (data === null || typeof data !== "object") return [];
  for (const [mediaId, value] of Object.entries(data)) {
    if (!/^\d+$/.test(mediaId)) continue;
    // Drafts differ: an array of layers, or an object that holds one.
    const list = Array.isArray(value) ? value : Array.isArray(value?.layers) ? value.layers : [];
    for (const one of list.slice(0, 64)) {
      const layer = readLayer(mediaId, one);
      if (!layer) continue;
      const known = layers.get(layer.id);
      if (!known || (layer.temporal ?? 0) > (known.temporal ?? 0)) layers.set(layer.id, layer);
    }
  }
  return [...layers.values()].sort(
    (one, other) =>
      (other.height ?? 0) - (one.height ?? 0) ||
      (other.bitrate ?? 0) - (one.bitrate ?? 0) ||
      (other.spatial ?? 0) - (one.spatial ?? 0) ||
      one.id.localeCompare(other.id),
  );
}

/**
 * @param {string} mediaId
 * @param {any} one
 * @returns {Layer | undefined}
 */
function readLayer(mediaId, one) {
  if (one === null || typeof one !== "object") return undefined;
  const rid = text(one.rid) ?? text(one.encodingId);
  const spatial = number(one.spatialLayerId);
  const temporal = number(one.temporalLayerId);
  if (rid === undefined && spatial === undefined && temporal === undefined) return undefined;
  const bitrate = number(one.bitrate);
  return {
    id: `${mediaId}/${rid ?? ""}/${spatial ?? ""}`,
    mediaId,
    rid,
    spatial,
    temporal,
    width: number(one.width),
    height: number(one.height),
    bitrate,
    active: (bitrate ?? 0) > 0,
  };
}

/** @param {unknown} value */
const text = (value) => (typeof value === "string" && value !== "" ? value : undefined);
/** @param {unknown} value */
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : undefined);

/**
 * What a quality menu shows.
 * @param {Layer} layer
 * @returns {string}
 */
export function layerName(layer) {
  if (layer.height) return `${layer.height}p`;
  if (layer.rid) return layer.rid;
  return `Layer ${(layer.spatial ?? layer.temporal ?? 0) + 1}`;
}

/**
 * Body of a layer selection request.
 * @param {Layer | { maxWidth?: number, maxHeight?: number } | undefined} choice `undefined` leaves it to the server.
 * @param {string} [mediaId] Index of the m-line where the choice does not say.
 * @returns {Record<string, string | number>}
 */
export function layerRequest(choice, mediaId) {
  /** @type {Record<string, string | number>} */
  const body = {};
  const media = choice && "mediaId" in choice ? choice.mediaId : mediaId;
  if (media !== undefined) body.mediaId = media;
  if (!choice) return body;
  if ("id" in choice) {
    if (choice.rid !== undefined) body.rid = choice.rid;
    if (choice.spatial !== undefined) body.spatialLayerId = choice.spatial;
  } else {
    if (choice.maxWidth !== undefined) body.maxWidth = choice.maxWidth;
    if (choice.maxHeight !== undefined) body.maxHeight = choice.maxHeight;
  }
  return body;
}
