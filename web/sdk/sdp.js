/**
 * The little that the SDK must know of SDP: ICE credentials, trickle fragments (RFC 8840), codec parameters.
 *
 * Owns: text to text functions, no state. Never negotiates; the browser does that.
 * @module
 */

/**
 * @typedef {object} MediaSection
 * @property {string} line The `m=` line.
 * @property {string} mid
 */

/**
 * @param {string} sdp
 * @returns {string[]}
 */
function linesOf(sdp) {
  return sdp.split(/\r\n|\r|\n/).filter((line) => line !== "");
}

/**
 * @param {readonly string[]} lines
 * @returns {string}
 */
function join(lines) {
  return lines.map((line) => `${line}\r\n`).join("");
}

/**
 * First value of an attribute anywhere in the description.
 * @param {string} sdp
 * @param {string} name
 * @returns {string | undefined}
 */
export function attributeOf(sdp, name) {
  const prefix = `a=${name}:`;
  return linesOf(sdp)
    .find((line) => line.startsWith(prefix))
    ?.slice(prefix.length)
    .trim();
}

/**
 * @param {string} sdp
 * @returns {{ ufrag: string, pwd: string } | undefined}
 */
export function iceCredentialsOf(sdp) {
  const ufrag = attributeOf(sdp, "ice-ufrag");
  const pwd = attributeOf(sdp, "ice-pwd");
  return ufrag && pwd ? { ufrag, pwd } : undefined;
}

/**
 * @param {string} sdp
 * @returns {MediaSection[]}
 */
export function mediaSectionsOf(sdp) {
  /** @type {MediaSection[]} */
  const sections = [];
  for (const line of linesOf(sdp)) {
    const last = sections.at(-1);
    if (line.startsWith("m=")) sections.push({ line, mid: "" });
    else if (last && line.startsWith("a=mid:")) last.mid = line.slice("a=mid:".length).trim();
  }
  return sections;
}

/**
 * @typedef {object} Candidate
 * @property {string} candidate `candidate:...`, as `RTCIceCandidate` has it.
 * @property {string | null} [sdpMid]
 */

/**
 * Body of a trickle or ICE restart request.
 *
 * Sections that share a bundle group share its transport, so only the first one is named.
 * @param {string} localSdp The local description that the credentials belong to.
 * @param {readonly Candidate[]} candidates
 * @param {boolean} complete Whether these are the last candidates.
 * @returns {string | undefined} `undefined` where the description has no credentials or no media.
 */
export function iceFragment(localSdp, candidates, complete) {
  const credentials = iceCredentialsOf(localSdp);
  const section = mediaSectionsOf(localSdp)[0];
  if (!credentials || !section) return undefined;
  const group = attributeOf(localSdp, "group");
  const lines = group ? [`a=group:${group}`] : [];
  lines.push(section.line, `a=mid:${section.mid}`, `a=ice-ufrag:${credentials.ufrag}`, `a=ice-pwd:${credentials.pwd}`);
  for (const { candidate } of candidates) {
    if (candidate.startsWith("candidate:")) lines.push(`a=${candidate}`);
  }
  if (complete) lines.push("a=end-of-candidates");
  return join(lines);
}

/**
 * The remote description after an ICE restart: the old one with the credentials and candidates of the fragment.
 * @param {string} remoteSdp
 * @param {string} fragment Body of the server's answer to the restart.
 * @returns {string | undefined} `undefined` where the fragment has no credentials.
 */
export function applyIceFragment(remoteSdp, fragment) {
  const credentials = iceCredentialsOf(fragment);
  if (!credentials) return undefined;
  const fresh = linesOf(fragment).filter((line) => /^a=(candidate:|end-of-candidates)/.test(line));
  /** @type {string[]} */
  const lines = [];
  let added = false;
  let inMedia = false;
  const add = () => {
    if (inMedia && !added) {
      lines.push(...fresh);
      added = true;
    }
  };
  for (const line of linesOf(remoteSdp)) {
    if (line.startsWith("m=")) {
      add();
      inMedia = true;
    }
    if (/^a=(candidate:|end-of-candidates)/.test(line)) continue;
    if (line.startsWith("a=ice-ufrag:")) lines.push(`a=ice-ufrag:${credentials.ufrag}`);
    else if (line.startsWith("a=ice-pwd:")) lines.push(`a=ice-pwd:${credentials.pwd}`);
    else lines.push(line);
  }
  add();
  return join(lines);
}

/**
 * Adds or replaces format parameters of one codec.
 * @param {string} sdp
 * @param {string} codec Encoding name, such as `opus`.
 * @param {Readonly<Record<string, string | number>>} parameters
 * @returns {string}
 */
export function withFormatParameters(sdp, codec, parameters) {
  const lines = linesOf(sdp);
  const types = lines
    .map((line) => /^a=rtpmap:(\d+) ([^/\s]+)\//.exec(line))
    .filter((match) => match?.[2]?.toLowerCase() === codec.toLowerCase())
    .map((match) => match?.[1]);
  /** @type {string[]} */
  const result = [];
  for (const line of lines) {
    const format = /^a=fmtp:(\d+) (.*)$/.exec(line);
    if (format && types.includes(format[1])) {
      result.push(`a=fmtp:${format[1]} ${merge(format[2] ?? "", parameters)}`);
      continue;
    }
    result.push(line);
    const map = /^a=rtpmap:(\d+) /.exec(line);
    if (map && types.includes(map[1]) && !lines.some((other) => other.startsWith(`a=fmtp:${map[1]} `))) {
      result.push(`a=fmtp:${map[1]} ${merge("", parameters)}`);
    }
  }
  return join(result);
}

/**
 * @param {string} text
 * @param {Readonly<Record<string, string | number>>} parameters
 */
function merge(text, parameters) {
  /** @type {Map<string, string>} */
  const merged = new Map();
  for (const part of text.split(";")) {
    const [name = "", ...value] = part.trim().split("=");
    if (name) merged.set(name, value.join("="));
  }
  for (const [name, value] of Object.entries(parameters)) merged.set(name, String(value));
  return [...merged].map(([name, value]) => (value === "" ? name : `${name}=${value}`)).join(";");
}
