/**
 * Room ids and the addresses made from them.
 *
 * Owns: the rule for ids and the paths of the doors. Never asks a server whether a room exists.
 * @module
 */

/** Longest room id, in characters. */
export const ROOM_ID_LENGTH = 64;

const PATTERN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** Ids that paths of the doors take. */
const RESERVED = new Set(["watch", "endpoint", "stream", "session", "create"]);

/**
 * Says in words why `text` is no room id.
 * @param {string} text
 * @returns {string | undefined} `undefined` where it is one.
 */
export function roomIdProblem(text) {
  if (text === "") return "Give the room a name.";
  if (text.length > ROOM_ID_LENGTH) return `A room name has at most ${ROOM_ID_LENGTH} characters; this one has ${text.length}.`;
  if (!/^[A-Za-z0-9]/.test(text)) return "A room name starts with a letter from A to Z or a digit.";
  if (!PATTERN.test(text)) return "A room name has letters from A to Z, digits, “-” and “_” only.";
  if (RESERVED.has(text)) return `“${text}” is reserved. Choose another name.`;
  return undefined;
}

/**
 * @param {string} text
 * @returns {boolean}
 */
export function isRoomId(text) {
  return roomIdProblem(text) === undefined;
}

/**
 * What a person may have meant: spaces become “-”, marks and other characters go.
 * @param {string} text
 * @returns {string} Possibly empty.
 */
export function suggestRoomId(text) {
  return text
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/\s+/g, "-")
    .replace(/[^A-Za-z0-9_-]/g, "")
    .replace(/^[_-]+/, "")
    .slice(0, ROOM_ID_LENGTH);
}

/**
 * The server that a module served at `…/sdk/v1/` comes from.
 * @param {string} moduleUrl `import.meta.url` of a module of the SDK.
 * @returns {string | undefined} Base address ending in `/`; `undefined` where the SDK is bundled or served elsewhere.
 */
export function serverOf(moduleUrl) {
  const at = moduleUrl.lastIndexOf("/sdk/v1/");
  return at < 0 || !/^https?:/.test(moduleUrl) ? undefined : moduleUrl.slice(0, at + 1);
}

/**
 * Address of a room's WHIP or WHEP endpoint.
 * @param {"whip" | "whep"} door
 * @param {string} room
 * @param {string} server Base address of the server.
 * @returns {string}
 */
export function endpointOf(door, room, server) {
  const base = server.endsWith("/") ? server : `${server}/`;
  return new URL(`${door}/${encodeURIComponent(room)}`, base).href;
}
