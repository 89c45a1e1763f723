/**
 * The generated test picture: a clock to read latency from, a bar to see stutter, bars to see colour, a flash for sound.
 *
 * Owns: drawing one frame. Never keeps time; the caller says what time it is.
 * @module
 */

/**
 * @typedef {object} Frame
 * @property {number} width
 * @property {number} height
 * @property {number} frameRate
 * @property {number} frame Number of the frame.
 * @property {string} label
 * @property {number} now Milliseconds since the epoch.
 */

const COLOURS = ["#f4f4f0", "#e0c341", "#41c5c9", "#4fb35c", "#b35cc0", "#d0483c", "#3d62c4", "#15191c"];
const FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Frame} frame
 */
export function drawTestPicture(context, { width, height, frameRate, frame, label, now }) {
  const unit = height / 36;
  const sky = context.createLinearGradient(0, 0, 0, height);
  sky.addColorStop(0, "#0a2b36");
  sky.addColorStop(1, "#06181f");
  context.fillStyle = sky;
  context.fillRect(0, 0, width, height);

  waters(context, width, height, now);

  const bars = height * 0.86;
  const step = width / COLOURS.length;
  COLOURS.forEach((colour, index) => {
    context.fillStyle = colour;
    context.fillRect(Math.floor(index * step), bars, Math.ceil(step), height - bars);
  });

  // One crossing in four seconds: uneven motion shows at once.
  const across = ((now % 4000) / 4000) * (width + unit) - unit;
  context.fillStyle = "rgba(255, 255, 255, 0.92)";
  context.fillRect(across, 0, Math.max(2, unit * 0.5), height);

  const time = new Date(now);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const millis = `.${String(time.getMilliseconds()).padStart(3, "0")}`;
  context.textBaseline = "alphabetic";
  context.fillStyle = "#ffffff";
  context.textAlign = "left";
  context.font = `600 ${unit * 5}px ${FONT}`;
  const size = context.measureText(clock).width;
  context.font = `400 ${unit * 3}px ${FONT}`;
  const rest = context.measureText(millis).width;
  const left = (width - size - rest) / 2;
  const base = height * 0.47;
  context.font = `600 ${unit * 5}px ${FONT}`;
  context.fillText(clock, left, base);
  context.fillStyle = "#8fd6cf";
  context.font = `400 ${unit * 3}px ${FONT}`;
  context.fillText(millis, left + size, base);

  context.textAlign = "center";
  context.fillStyle = "rgba(255, 255, 255, 0.8)";
  context.font = `400 ${unit * 1.5}px ${FONT}`;
  context.fillText(`${width} × ${height}   ${frameRate} fps   frame ${frame}`, width / 2, base + unit * 3.2);
  if (label) {
    context.font = `600 ${unit * 1.9}px ${FONT}`;
    context.fillStyle = "#f0b66a";
    context.fillText(label, width / 2, height * 0.22, width * 0.9);
  }

  // Lit for the first 80 ms of each second, as long as the beep sounds.
  context.beginPath();
  context.arc(width - unit * 3, unit * 3, unit * 1.4, 0, Math.PI * 2);
  context.fillStyle = now % 1000 < 80 ? "#ffffff" : "rgba(255, 255, 255, 0.14)";
  context.fill();
}

/**
 * Two waters that meet.
 * @param {CanvasRenderingContext2D} context
 * @param {number} width
 * @param {number} height
 * @param {number} now
 */
function waters(context, width, height, now) {
  const phase = (now % 60_000) / 1000;
  for (let index = 0; index < 8; index += 1) {
    const upper = index % 2 === 0;
    const start = height * (upper ? 0.16 : 0.84) + (index - 4) * height * 0.02;
    const end = height * 0.64 + (index - 4) * height * 0.026;
    context.beginPath();
    for (let at = 0; at <= 40; at += 1) {
      const part = at / 40;
      const ease = part * part * (3 - 2 * part);
      const y = start + (end - start) * ease + Math.sin(part * 7 + phase * 1.4 + index) * height * 0.012;
      if (at === 0) context.moveTo(0, y);
      else context.lineTo(part * width, y);
    }
    context.strokeStyle = upper ? "rgba(68, 196, 186, 0.34)" : "rgba(240, 170, 92, 0.34)";
    context.lineWidth = Math.max(1, height / 240);
    context.stroke();
  }
}
