/**
 * `<inver-publisher>`: previews a source and publishes it to a room.
 *
 * Owns: the source it opened and the preview. Never speaks WHIP; `WhipPublisher` does.
 *
 * Attributes: `room` (with `server`) or `src`, `token`, `source` (`camera`, `screen`, `test`), `codec`, `width`, `height`,
 * `framerate`, `bitrate` (bits per second), `simulcast`, `controls`. Events: those of `PublisherEvent` and `sourceChanged`.
 * @module
 */

import { ErrorCode, InverError } from "../errors.js";
import { PublisherEvent, PublisherState, WhipPublisher } from "../publisher.js";
import { SourceKind, openSource } from "../sources.js";
import { InverElement, words } from "./base.js";
import { find, formatBitrate, setIcon } from "./dom.js";
import { common, publisher as publisherSheet, wavesMarkup } from "./style.js";

const TEMPLATE = `
<video playsinline muted disableremoteplayback disablepictureinpicture aria-label="Preview"></video>
<div class="screen">${wavesMarkup}<div class="spinner" hidden></div><h2></h2><p></p><button class="pill open" type="button"></button></div>
<div class="top"><span class="badge"></span><span class="figures" hidden></span></div>
<p class="note" hidden></p>
<div class="bar">
  <button class="icon mic" type="button"></button><button class="icon cam" type="button"></button><span class="gap"></span>
  <button class="pill go" type="button"></button>
</div>
<div class="sr" role="status" aria-live="polite"></div>`;

const BADGES = Object.freeze({
  idle: "PREVIEW",
  connecting: "CONNECTING",
  live: "LIVE",
  reconnecting: "RECONNECTING",
  error: "ERROR",
  closed: "STOPPED",
});

const SOURCE_NAMES = Object.freeze({ camera: "camera and microphone", screen: "the screen", test: "the test picture" });

/**
 * What the element publishes; everything may be left out.
 * @typedef {object} PublisherSettings
 * @property {import("../sources.js").SourceKindValue} [source]
 * @property {string} [codec]
 * @property {string} [prefer] A codec that is better than others where no `codec` is given.
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [frameRate]
 * @property {number} [bitrate] Bits per second.
 * @property {boolean} [simulcast]
 * @property {string} [videoDevice]
 * @property {string} [audioDevice]
 * @property {boolean} [audio]
 * @property {boolean} [video]
 * @property {boolean} [processing] Echo cancellation and the like.
 */

/** The element's class; `elements.js` defines it as `inver-publisher`. */
export class InverPublisherElement extends InverElement {
  static observedAttributes = ["controls"];

  /** @type {WhipPublisher | undefined} */
  #publisher;
  /** @type {import("../sources.js").Source | undefined} */
  #source;
  /** @type {InverError | undefined} */
  #error;
  /** @type {PublisherSettings} */
  #settings = {};
  #opening = 0;
  #muted = { audio: false, video: false };
  #video;
  #parts;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [common(), publisherSheet()];
    root.innerHTML = TEMPLATE;
    this.#video = /** @type {HTMLVideoElement} */ (find(root, "video"));
    this.#parts = {
      screen: find(root, ".screen"),
      spinner: find(root, ".spinner"),
      title: find(root, "h2"),
      detail: find(root, ".screen p"),
      open: find(root, ".open"),
      badge: find(root, ".badge"),
      figures: find(root, ".figures"),
      note: find(root, ".note"),
      bar: find(root, ".bar"),
      mic: find(root, ".mic"),
      cam: find(root, ".cam"),
      go: /** @type {HTMLButtonElement} */ (find(root, ".go")),
      status: find(root, ".sr"),
    };
    // The attribute alone does not mute what a script creates.
    this.#video.muted = true;
    this.#parts.open.addEventListener("click", () => void this.preview().catch(() => {}));
    this.#parts.go.addEventListener("click", () => {
      if (this.#publisher) void this.stop();
      else void this.start().catch(() => {});
    });
    this.#parts.mic.addEventListener("click", () => this.mute("audio", !this.#muted.audio));
    this.#parts.cam.addEventListener("click", () => this.mute("video", !this.#muted.video));
  }

  /** State of the publisher, `idle` before it is started. */
  get state() {
    return this.#publisher?.state ?? (this.#error ? PublisherState.Error : PublisherState.Idle);
  }

  /** The last sample of figures. */
  get stats() {
    return this.#publisher?.stats;
  }

  /** The WHIP publisher of now. */
  get publisher() {
    return this.#publisher;
  }

  /** What went wrong, in state `error` or while the source was opened. */
  get error() {
    return this.#error;
  }

  /** What is shown and sent. */
  get stream() {
    return this.#source?.stream;
  }

  /** The preview's video element. */
  get video() {
    return this.#video;
  }

  /**
   * What is published. Set values win over attributes; `source` is always given.
   * @returns {PublisherSettings}
   */
  get settings() {
    const number = (/** @type {string} */ name) => {
      const value = Number(this.getAttribute(name) ?? NaN);
      return value > 0 ? value : undefined;
    };
    const named = this.getAttribute("source") ?? "";
    const source = Object.values(SourceKind).find((kind) => kind === named) ?? SourceKind.Camera;
    return {
      codec: this.getAttribute("codec") ?? undefined,
      width: number("width"),
      height: number("height"),
      frameRate: number("framerate"),
      bitrate: number("bitrate"),
      simulcast: this.hasAttribute("simulcast"),
      ...this.#settings,
      source: this.#settings.source ?? source,
    };
  }

  set settings(value) {
    this.#settings = { ...value };
    this.#show();
  }

  connectedCallback() {
    this.#show();
  }

  disconnectedCallback() {
    queueMicrotask(() => {
      if (this.isConnected) return;
      void this.stop();
      this.#close();
    });
  }

  attributeChangedCallback() {
    this.#show();
  }

  /**
   * Opens the source of the settings and shows it; while live it takes the place of the one before.
   * @returns {Promise<MediaStream>}
   */
  async preview() {
    const opening = ++this.#opening;
    this.#error = undefined;
    this.#show(true);
    /** @type {import("../sources.js").Source} */
    let source;
    try {
      // Some cameras open once only: the old one is let go first, unless viewers are looking at it.
      if (!this.#publisher) this.#close();
      const { source: kind = SourceKind.Camera, ...options } = this.settings;
      source = await openSource(kind, { ...options, label: this.room });
    } catch (cause) {
      if (opening === this.#opening) this.#fail(cause);
      throw cause;
    }
    if (opening !== this.#opening || !this.isConnected) {
      source.stop();
      throw new InverError(ErrorCode.Aborted, "another source was chosen meanwhile");
    }
    const old = this.#source;
    this.#source = source;
    for (const track of source.stream.getTracks()) {
      track.enabled = !(track.kind === "audio" ? this.#muted.audio : this.#muted.video);
      // Ended by the browser's own "stop sharing" or by an unplugged device.
      track.addEventListener("ended", () => this.#ended(source, track), { once: true });
    }
    if (this.#publisher) {
      for (const track of source.stream.getTracks()) await this.#publisher.replaceTrack(track);
    }
    this.#video.srcObject = source.stream;
    this.#video.classList.toggle("mirrored", source.kind === SourceKind.Camera);
    this.#video.play().catch(() => {});
    old?.stop();
    this.announce("sourceChanged", { kind: source.kind, stream: source.stream });
    this.#show();
    return source.stream;
  }

  /**
   * Goes live; opens the source first where that has not been done.
   * @returns {Promise<void>} Resolves when live; rejects where that cannot be.
   */
  async start() {
    if (this.#publisher) return;
    const stream = this.#source?.stream ?? (await this.preview());
    this.#error = undefined;
    const { codec, prefer, bitrate, frameRate, simulcast, source } = this.settings;
    /** @type {WhipPublisher} */
    let publisher;
    try {
      publisher = new WhipPublisher(this.endpoint("whip"), new MediaStream(stream.getTracks()), {
        token: () => this.token,
        video: {
          codec: codec || undefined,
          prefer,
          maxBitrate: bitrate,
          maxFramerate: frameRate,
          simulcast,
          contentHint: source === SourceKind.Screen ? "detail" : "motion",
          degradationPreference: source === SourceKind.Screen ? "maintain-resolution" : "maintain-framerate",
        },
        audio: source === SourceKind.Camera ? {} : { stereo: true, maxBitrate: 128_000 },
      });
    } catch (cause) {
      this.#fail(cause);
      throw cause;
    }
    this.#publisher = publisher;
    publisher.on(PublisherEvent.StateChanged, (detail) => {
      if (publisher !== this.#publisher) return;
      this.#show();
      this.announce(PublisherEvent.StateChanged, detail);
    });
    publisher.on(PublisherEvent.StatsUpdated, (stats) => {
      if (publisher !== this.#publisher) return;
      const best = stats.video?.layers.filter((layer) => layer.height).at(-1);
      this.#parts.figures.hidden = false;
      this.#parts.figures.textContent = [
        formatBitrate(stats.bitrate),
        best?.height ? `${best.height}p ${Math.round(best.framesPerSecond)} fps` : "",
      ]
        .filter(Boolean)
        .join(" · ");
      this.announce(PublisherEvent.StatsUpdated, stats);
    });
    publisher.on(PublisherEvent.Retrying, (detail) => this.announce(PublisherEvent.Retrying, detail));
    this.#show();
    try {
      await publisher.start();
    } catch (cause) {
      if (publisher === this.#publisher) this.#fail(cause);
      throw cause;
    }
    void this.#follow(publisher);
  }

  /**
   * A publisher that was live may fail for good later.
   * @param {WhipPublisher} publisher
   */
  async #follow(publisher) {
    publisher.on(PublisherEvent.Failed, (error) => {
      if (publisher === this.#publisher) this.#fail(error);
    });
  }

  /** Ends the session; the preview stays. @returns {Promise<void>} */
  async stop() {
    const publisher = this.#publisher;
    this.#publisher = undefined;
    this.#error = undefined;
    this.#parts.figures.hidden = true;
    this.#show();
    if (!publisher) return;
    this.announce(PublisherEvent.StateChanged, { state: PublisherState.Idle, previous: publisher.state });
    await publisher.close();
  }

  /**
   * Sends silence or black in the place of sound or picture.
   * @param {"audio" | "video"} kind
   * @param {boolean} muted
   */
  mute(kind, muted) {
    this.#muted[kind] = muted;
    for (const track of this.#source?.stream.getTracks() ?? []) {
      if (track.kind === kind) track.enabled = !muted;
    }
    this.#show();
  }

  #close() {
    this.#source?.stop();
    this.#source = undefined;
    this.#video.srcObject = null;
  }

  /**
   * @param {import("../sources.js").Source} source
   * @param {MediaStreamTrack} track
   */
  #ended(source, track) {
    if (source !== this.#source || track.kind !== "video") return;
    void this.stop();
    this.#close();
    if (source.kind === SourceKind.Camera) {
      this.#fail(new InverError(ErrorCode.MediaNotFound, "The camera was disconnected."));
    }
    this.#show();
  }

  /** @param {unknown} cause */
  #fail(cause) {
    this.#error =
      cause instanceof InverError ? cause : new InverError(ErrorCode.Unsupported, cause instanceof Error ? cause.message : String(cause));
    this.#publisher = undefined;
    this.#parts.figures.hidden = true;
    this.#show();
    this.announce(PublisherEvent.Failed, this.#error);
    this.announce(PublisherEvent.StateChanged, { state: PublisherState.Error, previous: PublisherState.Idle });
  }

  #show(opening = false) {
    const { screen, spinner, title, detail, open, badge, note, bar, mic, cam, go, status } = this.#parts;
    const state = this.state;
    const controls = this.hasAttribute("controls");
    const stream = this.#source?.stream;
    badge.hidden = !stream;
    badge.textContent = BADGES[state];
    badge.dataset.state = state;
    bar.hidden = !controls || (!stream && !this.#publisher);
    go.textContent = this.#publisher ? "Stop" : "Go live";
    go.dataset.live = String(Boolean(this.#publisher));
    mic.hidden = !stream?.getAudioTracks().length;
    cam.hidden = !stream?.getVideoTracks().length;
    setIcon(mic, this.#muted.audio ? "micOff" : "mic", this.#muted.audio ? "Turn the sound on" : "Turn the sound off");
    mic.setAttribute("aria-pressed", String(this.#muted.audio));
    setIcon(cam, this.#muted.video ? "cameraOff" : "camera", this.#muted.video ? "Turn the picture on" : "Turn the picture off");
    cam.setAttribute("aria-pressed", String(this.#muted.video));

    const said = this.#error && words(this.#error, "whip");
    screen.hidden = Boolean(stream);
    spinner.hidden = !opening;
    open.hidden = opening;
    title.textContent = opening ? "Opening…" : (said?.title ?? "Nothing is sent yet");
    detail.textContent = opening ? "" : (said?.detail ?? "You see yourself first and go live when you are ready.");
    open.textContent = said ? "Try again" : `Open ${SOURCE_NAMES[this.settings.source ?? SourceKind.Camera]}`;
    note.hidden = !(stream && said);
    note.textContent = said ? `${said.title}. ${said.detail}` : "";
    const spoken = said ? `${said.title}. ${said.detail}` : stream ? `${BADGES[state].toLowerCase()}` : "";
    if (status.textContent !== spoken) status.textContent = spoken;
  }
}
