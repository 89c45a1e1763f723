/**
 * `<inver-player>`: watches a room.
 *
 * Owns: the picture and its controls. Never chooses how media comes (`watching.js` does) nor speaks a protocol.
 *
 * Attributes: `room` (with `server`) or `src`, `transport` (`auto`, `webrtc`, `hls`), `token`, `autoplay`, `muted`,
 * `controls`, `wait`, `stats`.
 * Events: those of `PlayerEvent`, dispatched on the element with the same detail, and `transportChanged` with the new one.
 * Keys: space or k plays and pauses, m mutes, f fullscreen, p picture in picture, i figures, up and down volume; with HLS
 * left and right wind, l goes live.
 * @module
 */

import { HlsPlayer } from "../hls.js";
import { layerName } from "../layers.js";
import { PlayerEvent, PlayerState } from "../player.js";
import { TRANSPORT_NAMES, Transport, isPlaylist, playlistOf, transportOf } from "../transport.js";
import { InverElement } from "./base.js";
import { find, formatBitrate, formatDelay, iconMarkup, setIcon } from "./dom.js";
import { PlayerMenu } from "./player-menu.js";
import { Screen } from "./screen.js";
import { StatsPanel } from "./stats-panel.js";
import { common, player as playerSheet, wavesMarkup } from "./style.js";
import { Timeline, spanText } from "./timeline.js";
import { Watching } from "./watching.js";

/** Controls go away after this long without a movement. */
const QUIET_AFTER_MS = 2_600;
const VOLUME_KEY = "inver.volume";
/** How far a key winds, in seconds. */
const WIND_S = 10;

const TEMPLATE = `
<div class="frame" tabindex="0" role="group" aria-label="Live video">
  <video playsinline disableremoteplayback></video>
  <div class="screen">${wavesMarkup}<div class="spinner" hidden></div><h2></h2><p></p><button class="pill again" type="button" hidden></button></div>
  <button class="pill chip" type="button" aria-label="Tap for sound (unmute)" hidden>${iconMarkup("muted")}Tap for sound</button>
  <div class="bar">
    <input class="timeline" type="range" step="0.5" aria-label="Position" hidden>
    <button class="icon play" type="button"></button>
    <div class="volume"><button class="icon mute" type="button"></button><input type="range" min="0" max="1" step="0.05" aria-label="Volume"></div>
    <span class="badge"></span><button class="golive" type="button" hidden>Go live</button><span class="latency" hidden></span><span class="gap"></span>
    <button class="icon quality" type="button" aria-haspopup="menu" aria-expanded="false" hidden>${iconMarkup("quality")}<span class="chosen"></span></button>
    <button class="icon figures" type="button" aria-pressed="false"></button>
    <button class="icon pip" type="button" hidden></button>
    <button class="icon full" type="button" hidden></button>
  </div>
  <div class="menu" role="menu" aria-label="Quality and transport" hidden></div>
  <section class="stats" aria-label="Stats for nerds" hidden></section>
  <div class="sr" role="status" aria-live="polite"></div>
</div>`;

const BADGES = Object.freeze({
  idle: "READY",
  connecting: "CONNECTING",
  playing: "LIVE",
  offline: "OFFLINE",
  reconnecting: "RECONNECTING",
  error: "ERROR",
  closed: "STOPPED",
});

/** The element's class; `elements.js` defines it as `inver-player`. */
export class InverPlayerElement extends InverElement {
  static observedAttributes = ["src", "room", "server", "token", "transport", "muted", "controls", "stats"];

  #paused = false;
  #askedForSound = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #quiet;
  #root;
  #frame;
  #video;
  #parts;
  #panel;
  #screen;
  #menu;
  #timeline;
  #watching;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [common(), playerSheet()];
    root.innerHTML = TEMPLATE;
    this.#root = root;
    this.#frame = find(root, ".frame");
    this.#video = /** @type {HTMLVideoElement} */ (find(root, "video"));
    this.#parts = {
      again: /** @type {HTMLButtonElement} */ (find(root, ".again")),
      chip: find(root, ".chip"),
      bar: find(root, ".bar"),
      play: find(root, ".play"),
      mute: find(root, ".mute"),
      volume: /** @type {HTMLInputElement} */ (find(root, ".volume input")),
      badge: find(root, ".badge"),
      latency: find(root, ".latency"),
      figures: find(root, ".figures"),
      pip: find(root, ".pip"),
      full: find(root, ".full"),
    };
    this.#screen = new Screen(find(root, ".screen"), find(root, ".sr"));
    this.#menu = new PlayerMenu(root, find(root, ".quality"), find(root, ".menu"));
    const timeline = /** @type {HTMLInputElement} */ (find(root, ".timeline"));
    this.#timeline = new Timeline(timeline, /** @type {HTMLButtonElement} */ (find(root, ".golive")), {
      seek: (position) => this.#wind((player) => player.seek(position)),
      goLive: () => this.goLive(),
    });
    this.#watching = new Watching(this.#video, {
      playlist: () => this.#playlist(),
      endpoint: () => (isPlaylist(this.src) ? undefined : this.endpoint("whep")),
      token: () => this.token,
      wait: () => this.hasAttribute("wait"),
      wish: () => this.transport,
    });
    this.#listen();
    this.#panel = new StatsPanel(find(root, ".stats"), () => this.toggleStats(false));
    this.#wire();
  }

  /** State of the player, `idle` before it is started. */
  get state() {
    return this.#player?.state ?? (this.error ? PlayerState.Error : PlayerState.Idle);
  }

  /** The last sample of figures. */
  get stats() {
    return this.#player?.stats;
  }

  /** Viewers of the room, where the server tells. */
  get viewers() {
    return this.#player?.viewers;
  }

  /** Layers to choose from. */
  get layers() {
    return this.#player?.layers ?? [];
  }

  get #player() {
    return this.#watching.player;
  }

  /** The player of now: a `WhepPlayer`, or an `HlsPlayer` where media comes over HLS. */
  get player() {
    return this.#player;
  }

  /** `auto`, `webrtc` or `hls`: what was asked for. */
  get transport() {
    return transportOf(this.getAttribute("transport"));
  }

  set transport(value) {
    this.setAttribute("transport", value);
  }

  /** `webrtc` or `hls`: how media comes now. */
  get activeTransport() {
    return this.#watching.transport;
  }

  /** What went wrong, in state `error`. */
  get error() {
    return this.#watching.error;
  }

  /** The video element, for what this one has no word for. */
  get video() {
    return this.#video;
  }

  /** Whether the user has paused. */
  get paused() {
    return this.#paused;
  }

  get muted() {
    return this.#video.muted;
  }

  set muted(value) {
    this.#askedForSound = true;
    this.#video.muted = value;
  }

  /** 0 to 1. */
  get volume() {
    return this.#video.volume;
  }

  set volume(value) {
    this.#video.volume = Math.min(1, Math.max(0, value));
  }

  connectedCallback() {
    this.#video.muted = this.hasAttribute("muted");
    this.#frame.setAttribute("aria-label", this.room ? `Live video of ${this.room}` : "Live video");
    this.#show();
    if (this.hasAttribute("autoplay") && !this.#player) this.play();
  }

  disconnectedCallback() {
    // An element that is only moved is connected again within the same task.
    queueMicrotask(() => {
      if (!this.isConnected) this.stop();
    });
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} after
   */
  attributeChangedCallback(name, before, after) {
    if (before === after) return;
    if (name === "muted") this.#video.muted = after !== null;
    else if (name === "stats") this.toggleStats(after !== null);
    else if (name === "controls") this.#show();
    else if (name === "transport" && transportOf(before) === transportOf(after)) return;
    else if (this.#player) {
      this.stop();
      this.play();
    }
  }

  /** Starts watching, or goes on after a pause; over WebRTC what was missed is not shown again. */
  play() {
    this.#paused = false;
    if (!this.#player) this.#watching.begin();
    void this.#playVideo();
    this.#show();
  }

  /** Holds the picture and the sound; the connection stays up. */
  pause() {
    this.#paused = true;
    this.#video.pause();
    this.#show();
  }

  /** Ends the session. */
  stop() {
    const previous = this.#player?.state;
    this.#watching.end();
    this.#video.srcObject = null;
    if (previous) this.announce(PlayerEvent.StateChanged, { state: PlayerState.Idle, previous });
    this.#show();
  }

  /** Goes to where live is, after winding back. */
  goLive() {
    this.#wind((player) => player.goLive());
    this.play();
  }

  /** Address of the playlist; `undefined` where only a WHEP endpoint is known. */
  #playlist() {
    if (this.src) return isPlaylist(this.src) ? this.src : undefined;
    return this.room ? playlistOf(this.room, new URL(this.server, document.baseURI).href) : undefined;
  }

  /** @param {(player: HlsPlayer) => void} act */
  #wind(act) {
    if (!(this.#player instanceof HlsPlayer)) return;
    act(this.#player);
    this.#showTime();
  }

  /**
   * Chooses a layer; `undefined` leaves it to the server.
   * @param {import("../layers.js").Layer | undefined} layer
   */
  async selectLayer(layer) {
    try {
      await this.#player?.selectLayer(layer);
    } catch (cause) {
      this.#screen.say(cause instanceof Error ? cause.message : String(cause));
    }
    this.#showMenu();
  }

  /** @param {boolean} [on] */
  toggleStats(on = !this.#panel.shown) {
    this.#panel.show(on);
    this.#parts.figures.setAttribute("aria-pressed", String(on));
    if (on && this.stats) this.#panel.update(this.stats, this.#player);
  }

  async togglePictureInPicture() {
    try {
      if (document.pictureInPictureElement === this.#video) await document.exitPictureInPicture();
      else await this.#video.requestPictureInPicture();
    } catch {
      this.#screen.say("Picture in picture is not available now.");
    }
  }

  async toggleFullscreen() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (this.requestFullscreen) await this.requestFullscreen();
      // Phones from Apple know fullscreen of the video element alone.
      else /** @type {any} */ (this.#video).webkitEnterFullscreen?.();
    } catch {
      this.#screen.say("Fullscreen is not available here.");
    }
  }

  /** Hands on what the player tells. */
  #listen() {
    const watching = this.#watching;
    watching.on(PlayerEvent.StreamChanged, (stream) => {
      this.#video.srcObject = stream;
      void this.#playVideo();
      this.announce(PlayerEvent.StreamChanged, stream);
    });
    watching.on(PlayerEvent.StateChanged, (detail) => {
      if (detail.state === PlayerState.Playing) void this.#playVideo();
      this.#show();
      this.announce(PlayerEvent.StateChanged, detail);
    });
    watching.on(PlayerEvent.StatsUpdated, (stats) => {
      this.#showFigures(stats);
      this.announce(PlayerEvent.StatsUpdated, stats);
    });
    watching.on(PlayerEvent.LayersChanged, (layers) => {
      this.#showMenu();
      this.announce(PlayerEvent.LayersChanged, layers);
    });
    watching.on(PlayerEvent.Retrying, (detail) => {
      this.#show();
      this.announce(PlayerEvent.Retrying, detail);
    });
    watching.on(PlayerEvent.Failed, (error) => {
      this.#show();
      this.announce(PlayerEvent.Failed, error);
    });
    watching.on(PlayerEvent.ViewersChanged, (count) => this.announce(PlayerEvent.ViewersChanged, count));
    watching.on(PlayerEvent.MessageReceived, (message) => this.announce(PlayerEvent.MessageReceived, message));
    watching.on("transportChanged", (transport) => {
      this.#video.srcObject = null;
      this.#show();
      this.announce("transportChanged", transport);
    });
  }

  async #playVideo() {
    const video = this.#video;
    if (this.#paused || !(video.srcObject || video.currentSrc)) return;
    try {
      await video.play();
    } catch (cause) {
      if (!(cause instanceof DOMException) || cause.name !== "NotAllowedError" || video.muted) return;
      // Browsers let no page make sound unasked: the picture starts, sound is one tap away.
      video.muted = true;
      await video.play().catch(() => {
        this.#paused = true;
      });
    }
    this.#show();
  }

  #wire() {
    const { play, mute, volume, chip, figures, pip, full, again } = this.#parts;
    const video = this.#video;
    const frame = this.#frame;
    play.addEventListener("click", () => this.#togglePlay());
    mute.addEventListener("click", () => {
      this.muted = !video.muted;
    });
    chip.addEventListener("click", () => {
      this.muted = false;
      if (this.#paused) this.play();
      frame.focus();
    });
    volume.addEventListener("input", () => {
      this.volume = Number(volume.value);
      this.muted = video.volume === 0;
      try {
        localStorage.setItem(VOLUME_KEY, volume.value);
      } catch {
        // Without storage the volume starts anew next time.
      }
    });
    try {
      const kept = Number(localStorage.getItem(VOLUME_KEY) ?? "1");
      if (kept > 0 && kept <= 1) video.volume = kept;
    } catch {
      // As above.
    }
    video.addEventListener("volumechange", () => this.#show());
    // What HLS loads plays once there is enough of it; sound may have to wait for a tap.
    video.addEventListener("loadeddata", () => void this.#playVideo());
    for (const name of ["play", "pause", "enterpictureinpicture", "leavepictureinpicture"]) {
      video.addEventListener(name, () => {
        // The window of picture in picture has its own pause button.
        if (document.pictureInPictureElement === video && (name === "play" || name === "pause")) this.#paused = video.paused;
        this.#show();
      });
    }
    video.addEventListener("dblclick", () => void this.toggleFullscreen());
    figures.addEventListener("click", () => this.toggleStats());
    pip.addEventListener("click", () => void this.togglePictureInPicture());
    full.addEventListener("click", () => void this.toggleFullscreen());
    document.addEventListener("fullscreenchange", () => this.#show());
    again.addEventListener("click", () => {
      if (this.error) this.stop();
      else this.#player?.retryNow();
      this.play();
      frame.focus();
    });
    frame.addEventListener("keydown", (event) => this.handleKey(event));
    for (const name of ["pointermove", "pointerdown", "keydown", "focusin"]) frame.addEventListener(name, () => this.#stir());
    frame.addEventListener("pointerleave", () => this.#stir(400));
  }

  #togglePlay() {
    if (this.#player && !this.#paused) this.pause();
    else this.play();
  }

  /**
   * Acts on a key as the player does when it has the focus; a page may hand over keys that nothing else wants.
   * @param {KeyboardEvent} event
   * @returns {boolean} Whether the key meant something.
   */
  handleKey(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
    const target = event.composedPath()[0];
    const onControl = target instanceof HTMLButtonElement || target instanceof HTMLInputElement;
    switch (event.key) {
      case " ":
        if (onControl) return false;
        this.#togglePlay();
        break;
      case "k":
        this.#togglePlay();
        break;
      case "m":
        this.muted = !this.muted;
        break;
      case "f":
        void this.toggleFullscreen();
        break;
      case "p":
        void this.togglePictureInPicture();
        break;
      case "i":
        this.toggleStats();
        break;
      case "ArrowUp":
      case "ArrowDown":
        if (onControl) return false;
        this.volume += event.key === "ArrowUp" ? 0.1 : -0.1;
        break;
      case "ArrowLeft":
      case "ArrowRight": {
        if (onControl || !(this.#player instanceof HlsPlayer)) return false;
        const step = event.key === "ArrowLeft" ? -WIND_S : WIND_S;
        this.#wind((player) => player.seek(this.#video.currentTime + step));
        break;
      }
      case "l":
        if (!(this.#player instanceof HlsPlayer)) return false;
        this.goLive();
        break;
      case "Escape":
        if (!this.#panel.shown) return false;
        this.toggleStats(false);
        break;
      default:
        return false;
    }
    event.preventDefault();
    return true;
  }

  /** Shows the controls for a while. */
  #stir(after = QUIET_AFTER_MS) {
    clearTimeout(this.#quiet);
    this.#frame.classList.remove("quiet");
    this.#quiet = setTimeout(() => {
      const focused = this.#root.activeElement;
      const busy = this.#menu.isOpen || (focused !== null && focused !== this.#frame && focused.matches(":focus-visible"));
      if (this.state === PlayerState.Playing && !this.#paused && !busy) this.#frame.classList.add("quiet");
    }, after);
  }

  #show() {
    const { bar, play, mute, volume, chip, pip, full } = this.#parts;
    const video = this.#video;
    const state = this.state;
    const controls = this.hasAttribute("controls");
    this.#frame.classList.toggle("withControls", controls);
    bar.hidden = !controls;
    const playing = state === PlayerState.Playing;
    this.#showBadge();
    if (this.#player && !this.#paused) setIcon(play, "pause", "Pause (space)");
    else setIcon(play, "play", "Play (space)");
    if (video.muted || video.volume === 0) setIcon(mute, "muted", "Unmute (m)");
    else setIcon(mute, "sound", "Mute (m)");
    volume.value = String(video.muted ? 0 : video.volume);
    setIcon(this.#parts.figures, "stats", "Stats for nerds (i)");
    pip.hidden = !document.pictureInPictureEnabled || !playing;
    setIcon(pip, "pip", document.pictureInPictureElement === video ? "Leave picture in picture (p)" : "Picture in picture (p)");
    full.hidden = !document.fullscreenEnabled && !("webkitEnterFullscreen" in video);
    if (document.fullscreenElement === this) setIcon(full, "shrink", "Leave fullscreen (f)");
    else setIcon(full, "fullscreen", "Fullscreen (f)");
    const stream = /** @type {MediaStream | null} */ (video.srcObject);
    const sound = this.#player instanceof HlsPlayer ? this.#player.hasSound : (stream?.getAudioTracks().some((track) => !track.muted) ?? false);
    chip.hidden = !(playing && sound && video.muted && !this.#askedForSound && !this.#paused);
    this.#screen.show({
      state,
      room: this.room,
      paused: this.#paused,
      windable: this.#player instanceof HlsPlayer,
      everPlayed: this.#player?.everPlayed ?? false,
      obstacle: this.#watching.obstacle,
      error: this.error,
    });
    this.#showMenu();
    this.#showTime();
    if (!playing || this.#paused) {
      this.#parts.latency.hidden = true;
      this.#frame.classList.remove("quiet");
    } else if (this.#quiet === undefined) this.#stir();
  }

  /** Where in the past this is. */
  #showTime() {
    const player = this.#player;
    const playing = player instanceof HlsPlayer && player.state === PlayerState.Playing;
    const window = playing ? player.window : undefined;
    this.#frame.classList.toggle("withTimeline", this.#timeline.show(window));
    if (!window || window.live || this.#paused) return;
    this.#parts.badge.textContent = `−${spanText(window.behind)}`;
    this.#parts.badge.dataset.state = "paused";
  }

  /** @param {import("../stats.js").PlayerStats | import("../hls.js").HlsStats} stats */
  #showFigures(stats) {
    const { latency, chip } = this.#parts;
    const overHls = "measured" in stats;
    if (this.state === PlayerState.Playing && !this.#paused) {
      latency.hidden = false;
      const delay = stats.latencyMs === undefined ? "" : ` ${overHls && stats.measured ? "" : "≈ "}${formatDelay(stats.latencyMs)}`;
      latency.textContent = TRANSPORT_NAMES[this.activeTransport] + delay;
      latency.title = !overHls
        ? "WebRTC; estimated delay from the server to this screen: half a round trip, jitter buffer and decoding"
        : stats.measured
          ? "HLS; delay from when the server got the picture to this screen"
          : "HLS; delay from the end of the playlist to this screen";
      const { fellBack } = this.#watching;
      if (fellBack) latency.title += `. WebRTC cannot be used: ${fellBack.message}`;
    }
    this.#showBadge();
    this.#showTime();
    if (chip.hidden && this.#video.muted && !this.#askedForSound) this.#show();
    this.#panel.record(stats);
    if (this.#panel.shown) this.#panel.update(stats, this.#player);
  }

  #showBadge() {
    const { badge } = this.#parts;
    const state = this.state;
    const paused = state === PlayerState.Playing && this.#paused;
    badge.textContent = paused ? "PAUSED" : BADGES[state];
    badge.dataset.state = paused ? "paused" : state;
  }

  #showMenu() {
    const player = this.#player;
    /** @type {import("./player-menu.js").Item[]} */
    const items = [];
    let chosen = "";
    if (player && this.state === PlayerState.Playing) {
      const layers = player.canSelectLayer ? player.layers : [];
      if (layers.length > 1) {
        const picked = player.selectedLayer;
        const pickedId = picked && "id" in picked ? picked.id : "";
        const current = layers.find((layer) => layer.id === pickedId);
        chosen = current ? layerName(current) : "Auto";
        // Before the first figures all layers look paused.
        const known = layers.some((layer) => layer.active);
        for (const layer of [undefined, ...layers]) {
          items.push({
            group: "Quality",
            label: layer ? layerName(layer) : "Auto",
            note: layer?.bitrate ? formatBitrate(layer.bitrate) : layer && known && !layer.active ? "paused" : "",
            checked: (layer?.id ?? "") === pickedId,
            pick: () => void this.selectLayer(layer),
          });
        }
      }
      if (this.#playlist() && !isPlaylist(this.src)) {
        for (const one of Object.values(Transport)) {
          items.push({
            group: "Transport",
            label: TRANSPORT_NAMES[one],
            note: { auto: TRANSPORT_NAMES[this.activeTransport], webrtc: "least delay", hls: "winds back" }[one],
            checked: this.transport === one,
            pick: () => {
              this.transport = one;
              // The button goes away until the other transport plays.
              this.#frame.focus();
            },
          });
        }
      }
    }
    this.#menu.show(items, chosen);
  }
}
