/**
 * The figures over the picture ("stats for nerds").
 *
 * Owns: the panel and the last two minutes of two of its figures. Never measures; it is handed samples.
 * @module
 */

import { find, formatBitrate, formatMs, formatShare, iconMarkup } from "./dom.js";

/** Samples kept for the curves: two minutes at one per second. */
const KEPT = 120;

export class StatsPanel {
  #root;
  #list;
  #canvas;
  /** @type {{ bitrate: number, buffer: number }[]} */
  #history = [];
  /** @type {import("../stats.js").PlayerStats | import("../hls.js").HlsStats | undefined} */
  #last;

  /**
   * @param {HTMLElement} root
   * @param {() => void} close
   */
  constructor(root, close) {
    root.innerHTML = `<header><h2>Stats for nerds</h2>
      <button class="icon copy" type="button" aria-label="Copy the figures" title="Copy the figures">${iconMarkup("copy")}</button>
      <button class="icon shut" type="button" aria-label="Close" title="Close (i)">${iconMarkup("close")}</button></header>
      <canvas width="744" height="88" role="img" aria-label="Bitrate and jitter buffer of the last two minutes"></canvas><dl></dl>`;
    this.#root = root;
    this.#list = find(root, "dl");
    this.#canvas = /** @type {HTMLCanvasElement} */ (find(root, "canvas"));
    find(root, ".shut").addEventListener("click", close);
    find(root, ".copy").addEventListener("click", () => {
      void navigator.clipboard?.writeText(JSON.stringify(this.#last ?? {}, null, 2)).catch(() => {});
    });
  }

  get shown() {
    return !this.#root.hidden;
  }

  /** @param {boolean} on */
  show(on) {
    this.#root.hidden = !on;
  }

  /**
   * Keeps a sample for the curves, whether the panel is shown or not.
   * @param {import("../stats.js").PlayerStats | import("../hls.js").HlsStats} stats
   */
  record(stats) {
    this.#last = stats;
    const buffer = "measured" in stats ? stats.bufferMs : (stats.video?.bufferMs ?? stats.audio?.bufferMs ?? 0);
    this.#history.push({ bitrate: stats.bitrate, buffer });
    if (this.#history.length > KEPT) this.#history.shift();
  }

  /**
   * @param {import("../stats.js").PlayerStats | import("../hls.js").HlsStats} stats
   * @param {{ state: string, viewers: number | undefined } | undefined} player
   */
  update(stats, player) {
    const rows = "measured" in stats ? rowsOfHls(stats, player) : rowsOfWebRtc(stats, player);
    const shown = rows.filter(([, value]) => value);
    while (this.#list.childElementCount > shown.length * 2) this.#list.lastElementChild?.remove();
    while (this.#list.childElementCount < shown.length * 2) {
      this.#list.append(document.createElement("dt"), document.createElement("dd"));
    }
    shown.forEach(([name, value], index) => {
      const term = this.#list.children[index * 2];
      const data = this.#list.children[index * 2 + 1];
      if (term && term.textContent !== name) term.textContent = name;
      if (data && data.textContent !== value) data.textContent = value ?? "";
    });
    this.#draw();
  }

  #draw() {
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    const { width, height } = this.#canvas;
    context.clearRect(0, 0, width, height);
    this.#curve(context, width, height, "#44c4ba", (one) => one.bitrate, (most) => formatBitrate(most), 0);
    this.#curve(context, width, height, "#f0aa5c", (one) => one.buffer, (most) => `${Math.round(most)} ms buffer`, 1);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} height
   * @param {string} colour
   * @param {(one: { bitrate: number, buffer: number }) => number} value
   * @param {(most: number) => string} name
   * @param {number} place
   */
  #curve(context, width, height, colour, value, name, place) {
    const most = Math.max(1, ...this.#history.map(value));
    context.beginPath();
    this.#history.forEach((one, index) => {
      const x = width - ((this.#history.length - 1 - index) / (KEPT - 1)) * width;
      const y = height - 4 - (value(one) / most) * (height - 34);
      if (index === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    });
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.stroke();
    context.fillStyle = colour;
    context.font = "20px ui-sans-serif, system-ui, sans-serif";
    context.textAlign = place === 0 ? "left" : "right";
    context.fillText(`max ${name(most)}`, place === 0 ? 8 : width - 8, 20);
  }
}

/**
 * @param {import("../stats.js").PlayerStats} stats
 * @param {{ state: string, viewers: number | undefined } | undefined} player
 * @returns {[string, string | undefined][]}
 */
function rowsOfWebRtc({ video, audio, transport, ...stats }, player) {
  return [
    ["State", player?.state],
    ["Picture", video?.width ? `${video.width} × ${video.height} at ${Math.round(video.framesPerSecond)} fps` : undefined],
    ["Video", video?.codec && `${video.codec}, ${formatBitrate(video.bitrate)}${video.decoder ? `, ${video.decoder}` : ""}`],
    ["Sound", audio?.codec && `${audio.codec}, ${formatBitrate(audio.bitrate)}`],
    ["Delay, estimated", formatMs(stats.latencyMs)],
    ["Round trip", formatMs(transport.roundTripMs)],
    ["Jitter buffer", `${formatMs(video?.bufferMs)} video, ${formatMs(audio?.bufferMs)} sound`],
    ["Jitter", `${formatMs(video?.jitterMs)} video, ${formatMs(audio?.jitterMs)} sound`],
    ["Decoding", formatMs(video?.decodeMs)],
    ["Loss", `${formatShare(video?.loss ?? 0)} video, ${formatShare(audio?.loss ?? 0)} sound`],
    ["Sound made up", audio && formatShare(audio.concealed)],
    ["Frames", video && `${video.framesDecoded} decoded, ${video.framesDropped} dropped`],
    ["Freezes", video && String(video.freezes)],
    ["Keyframes", video && `${video.keyframes}, ${video.keyframeRequests} asked for`],
    ["Retransmissions", video && `${video.nacks} asked for`],
    ["Received", `${(stats.bytesReceived / 1e6).toFixed(1)} MB`],
    ["Transport", transport.protocol && `${transport.protocol.toUpperCase()} ${transport.localType ?? ""}`],
    ["Server", transport.remoteAddress],
    ["Viewers", player?.viewers === undefined ? undefined : String(player.viewers)],
  ];
}

/**
 * @param {import("../hls.js").HlsStats} stats
 * @param {{ state: string } | undefined} player
 * @returns {[string, string | undefined][]}
 */
function rowsOfHls({ video, ...stats }, player) {
  return [
    ["State", player?.state],
    ["Picture", video.width ? `${video.width} × ${video.height} at ${Math.round(video.framesPerSecond)} fps` : undefined],
    ["Video", video.codec],
    ["Bitrate", stats.bitrate ? formatBitrate(stats.bitrate) : undefined],
    [stats.measured ? "Delay since capture" : "Delay behind the playlist", formatMs(stats.latencyMs)],
    ["Buffer", formatMs(stats.bufferMs)],
    ["Frames", `${video.framesDecoded} decoded, ${video.framesDropped} dropped`],
    ["Received", `${(stats.bytesReceived / 1e6).toFixed(1)} MB`],
    ["Transport", "HLS"],
  ];
}
