/**
 * Link headers (RFC 8288) as WHIP and WHEP use them.
 *
 * Owns: parsing and the meaning of the relations that the two protocols define. Never fetches anything.
 * @module
 */

/** Relations that the SDK knows. */
export const Relation = Object.freeze({
  IceServer: "ice-server",
  ServerSentEvents: "urn:ietf:params:whep:ext:core:server-sent-events",
  Layer: "urn:ietf:params:whep:ext:core:layer",
});

/**
 * @typedef {object} Link
 * @property {string} target What stands between the angle brackets, unresolved.
 * @property {Readonly<Record<string, string>>} parameters Names in lower case; the first of a name counts.
 */

/**
 * Parses a Link header; several headers joined by commas, as `Headers.get` gives them, are fine.
 * What does not follow the grammar ends the list; links before it are kept.
 * @param {string | null | undefined} header
 * @returns {Link[]}
 */
export function parseLinks(header) {
  /** @type {Link[]} */
  const links = [];
  const text = header ?? "";
  let at = 0;
  const skip = (/** @type {RegExp} */ what) => {
    while (at < text.length && what.test(text[at] ?? "")) at += 1;
  };
  for (;;) {
    skip(/[\s,]/);
    if (text[at] !== "<") return links;
    const end = text.indexOf(">", at);
    if (end < 0) return links;
    const target = text.slice(at + 1, end).trim();
    at = end + 1;
    /** @type {Record<string, string>} */
    const parameters = Object.create(null);
    for (;;) {
      skip(/\s/);
      // Some servers leave the semicolon between parameters out.
      if (text[at] === ";") at += 1;
      skip(/[\s;]/);
      if (at >= text.length || text[at] === ",") break;
      const name = /^[^\s=;,<>"]+/.exec(text.slice(at))?.[0];
      if (!name) return links;
      at += name.length;
      skip(/\s/);
      let value = "";
      if (text[at] === "=") {
        at += 1;
        skip(/\s/);
        if (text[at] === '"') {
          at += 1;
          while (at < text.length && text[at] !== '"') {
            if (text[at] === "\\") at += 1;
            value += text[at] ?? "";
            at += 1;
          }
          at += 1;
        } else {
          value = /^[^\s;,]*/.exec(text.slice(at))?.[0] ?? "";
          at += value.length;
        }
      }
      const key = name.toLowerCase();
      if (!(key in parameters)) parameters[key] = value;
    }
    links.push({ target, parameters });
  }
}

/**
 * Links of one relation; a `rel` may list several, separated by spaces.
 * @param {readonly Link[]} links
 * @param {string} relation
 * @returns {Link[]}
 */
export function linksOf(links, relation) {
  return links.filter((link) => (link.parameters.rel ?? "").split(/\s+/).includes(relation));
}

/**
 * ICE servers among links (RFC 9725, section 4.6).
 * @param {readonly Link[]} links
 * @returns {RTCIceServer[]}
 */
export function iceServersOf(links) {
  return linksOf(links, Relation.IceServer)
    .filter((link) => /^(stuns?|turns?):/i.test(link.target))
    .map(({ target, parameters }) =>
      parameters.username === undefined
        ? { urls: target }
        : { urls: target, username: parameters.username, credential: parameters.credential ?? "" },
    );
}
