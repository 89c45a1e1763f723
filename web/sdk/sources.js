/**
 * Where a publisher's picture and sound come from: camera and microphone, the screen, or a generated test picture.
 *
 * Owns: the devices and generators it opened, until `stop`. Never sends anything.
 * @module
 */

import { ErrorCode, MediaError, errorOfMedia } from "./errors.js";
import { drawTestPicture } from "./test-picture.js";

/** Kinds of sources. */
export const SourceKind = Object.freeze({ Camera: "camera", Screen: "screen", Test: "test" });

/** @typedef {typeof SourceKind[keyof typeof SourceKind]} SourceKindValue */

/**
 * @typedef {object} SourceOptions
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [frameRate]
 * @property {string} [videoDevice] Device id; the browser's choice where not given.
 * @property {string} [audioDevice]
 * @property {boolean} [video] Off for sound only.
 * @property {boolean} [audio] Off for a picture without sound.
 * @property {boolean} [processing] Echo cancellation, noise suppression and gain control; on for cameras.
 * @property {string} [label] Shown in the test picture.
 */

/**
 * @typedef {object} Source
 * @property {SourceKindValue} kind
 * @property {MediaStream} stream
 * @property {() => void} stop Frees devices and generators.
 */

/**
 * Opens a source.
 * @param {SourceKindValue} kind
 * @param {SourceOptions} [options]
 * @returns {Promise<Source>} Rejects with a `MediaError`.
 */
export async function openSource(kind, options = {}) {
  if (kind === SourceKind.Test) return openTest(options);
  if (!navigator.mediaDevices) {
    throw new MediaError(
      ErrorCode.Unsupported,
      "Camera, microphone and screen need a secure page: open this address with https, or on the server's own machine.",
    );
  }
  try {
    return kind === SourceKind.Screen ? await openScreen(options) : await openCamera(options);
  } catch (cause) {
    throw errorOfMedia(cause);
  }
}

/**
 * @param {MediaStream} stream
 * @param {SourceKindValue} kind
 * @returns {Source}
 */
function sourceOf(stream, kind) {
  return { kind, stream, stop: () => stream.getTracks().forEach((track) => track.stop()) };
}

/** @param {SourceOptions} options */
function pictureOf({ width, height, frameRate }) {
  return {
    ...(width && { width: { ideal: width } }),
    ...(height && { height: { ideal: height } }),
    ...(frameRate && { frameRate: { ideal: frameRate } }),
  };
}

/** @param {SourceOptions} options */
async function openCamera(options) {
  const { video = true, audio = true, videoDevice, audioDevice, processing = true } = options;
  const sound = {
    echoCancellation: processing,
    noiseSuppression: processing,
    autoGainControl: processing,
    ...(audioDevice && { deviceId: { exact: audioDevice } }),
  };
  const picture = { ...pictureOf(options), ...(videoDevice && { deviceId: { exact: videoDevice } }) };
  const stream = await navigator.mediaDevices.getUserMedia({ video: video ? picture : false, audio: audio ? sound : false });
  return sourceOf(stream, SourceKind.Camera);
}

/** @param {SourceOptions} options */
async function openScreen(options) {
  if (!navigator.mediaDevices.getDisplayMedia) {
    throw new MediaError(ErrorCode.Unsupported, "This browser cannot share its screen. Phones usually cannot; a computer can.");
  }
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: pictureOf(options),
    audio: options.audio === false ? false : { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  return sourceOf(stream, SourceKind.Screen);
}

/**
 * @param {SourceOptions} options
 * @returns {Source}
 */
function openTest({ width = 1280, height = 720, frameRate = 30, video = true, audio = true, label = "" }) {
  const stream = new MediaStream();
  /** @type {(() => void)[]} */
  const stops = [];
  if (video) {
    const picture = testPicture(width, height, frameRate, label);
    stream.addTrack(picture.track);
    stops.push(picture.stop);
  }
  if (audio) {
    const tone = testTone();
    stream.addTrack(tone.track);
    stops.push(tone.stop);
  }
  const source = sourceOf(stream, SourceKind.Test);
  return {
    ...source,
    stop: () => {
      source.stop();
      for (const stop of stops) stop();
    },
  };
}

/**
 * @param {number} width
 * @param {number} height
 * @param {number} frameRate
 * @param {string} label
 */
function testPicture(width, height, frameRate, label) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) throw new MediaError(ErrorCode.Unsupported, "This browser cannot draw the test picture.");
  let frame = 0;
  const draw = () => {
    drawTestPicture(context, { width, height, frameRate, frame, label, now: Date.now() });
    frame += 1;
  };
  draw();
  const track = canvas.captureStream(frameRate).getVideoTracks()[0];
  if (!track) throw new MediaError(ErrorCode.Unsupported, "This browser cannot capture the test picture.");
  const stop = every(1000 / frameRate, draw);
  return { track, stop };
}

/**
 * Calls `tick` at a steady pace, in the background too where workers can be had.
 * @param {number} period Milliseconds.
 * @param {() => void} tick
 * @returns {() => void} Stops it.
 */
function every(period, tick) {
  try {
    const worker = new Worker(new URL("./ticker.js", import.meta.url), { type: "module" });
    /** @type {ReturnType<typeof setInterval> | undefined} */
    let timer;
    worker.addEventListener("message", tick);
    worker.addEventListener("error", () => {
      timer ??= setInterval(tick, period);
    });
    worker.postMessage(period);
    return () => {
      worker.terminate();
      clearInterval(timer);
    };
  } catch {
    // A worker of another origin is refused: the page's own timers do while it is visible.
    const timer = setInterval(tick, period);
    return () => clearInterval(timer);
  }
}

/** A quiet chord, and a beep at each full second, with the flash of the picture. */
function testTone() {
  const context = new AudioContext();
  const output = context.createMediaStreamDestination();
  const bed = context.createGain();
  bed.gain.value = 0.04;
  bed.connect(output);
  const beep = context.createGain();
  beep.gain.value = 0;
  beep.connect(output);
  const tones = [tone(context, 220, bed), tone(context, 329.63, bed), tone(context, 880, beep)];
  let scheduled = 0;
  const schedule = () => {
    // The clock of the sound is tied to the time of day, which the picture shows.
    const offset = Date.now() / 1000 - context.currentTime;
    const next = Math.ceil(context.currentTime + offset + 0.05);
    if (next === scheduled) return;
    scheduled = next;
    const at = Math.max(context.currentTime, next - offset);
    beep.gain.setValueAtTime(0.22, at);
    beep.gain.setValueAtTime(0, at + 0.08);
  };
  const timer = setInterval(schedule, 250);
  // Sound starts with the first touch where the browser wants one.
  const resume = () => void context.resume().catch(() => {});
  const waiting = new AbortController();
  for (const name of ["pointerdown", "keydown"]) addEventListener(name, resume, { once: true, signal: waiting.signal });
  const track = output.stream.getAudioTracks()[0];
  if (!track) throw new MediaError(ErrorCode.Unsupported, "This browser cannot make the test sound.");
  return {
    track,
    stop: () => {
      clearInterval(timer);
      waiting.abort();
      for (const one of tones) one.stop();
      void context.close().catch(() => {});
    },
  };
}

/**
 * @param {AudioContext} context
 * @param {number} frequency
 * @param {AudioNode} target
 */
function tone(context, frequency, target) {
  const oscillator = context.createOscillator();
  oscillator.frequency.value = frequency;
  oscillator.connect(target);
  oscillator.start();
  return oscillator;
}

/**
 * Cameras and microphones; their names are empty until the user has given access.
 * @returns {Promise<{ cameras: MediaDeviceInfo[], microphones: MediaDeviceInfo[] }>}
 */
export async function listDevices() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return {
    cameras: devices.filter((device) => device.kind === "videoinput"),
    microphones: devices.filter((device) => device.kind === "audioinput"),
  };
}
