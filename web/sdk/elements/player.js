/**
 * `<inver-player>`: watches a room.
 *
 * Owns: the picture, its controls and overlays. Never speaks WHEP; `WhepPlayer` does.
 *
 * Attributes: `room` (with `server`) or `src`, `token`, `autoplay`, `muted`, `controls`, `wait`, `stats`.
 * Events: those of `PlayerEvent`, dispatched on the element with the same detail.
 * Keys: space or k plays and pauses, m mutes, f fullscreen, p picture in picture, i figures, up and down volume.
 * @module
 */

import { ErrorCode, InverError } from "../errors.js";
import { layerName } from "../layers.js";
import { PlayerEvent, PlayerState, WhepPlayer } from "../player.js";
import { InverElement, words } from "./base.js";
import { find, formatBitrate, formatMs, iconMarkup, setIcon } from "./dom.js";
import { StatsPanel } from "./stats-panel.js";
import { common, player as playerSheet, wavesMarkup } from "./style.js";

/** Controls go away after this long without a movement. */
const QUIET_AFTER_MS = 2_600;
const VOLUME_KEY = "inver.volume";

const TEMPLATE = `
<div class="frame" tabindex="0" role="group" aria-label="Live video">
  <video playsinline disableremoteplayback></video>
  <div class="screen">${wavesMarkup}<div class="spinner" hidden></div><h2></h2><p></p><button class="pill again" type="button" hidden></button></div>
  <button class="pill chip" type="button" aria-label="Tap for sound (unmute)" hidden>${iconMarkup("muted")}Tap for sound</button>
  <div class="bar">
    <button class="icon play" type="button"></button>
    <div class="volume"><button class="icon mute" type="button"></button><input type="range" min="0" max="1" step="0.05" aria-label="Volume"></div>
    <span class="badge"></span><span class="latency" hidden></span><span class="gap"></span>
    <button class="icon quality" type="button" aria-haspopup="menu" aria-expanded="false" hidden>${iconMarkup("quality")}<span class="chosen"></span></button>
    <button class="icon figures" type="button" aria-pressed="false"></button>
    <button class="icon pip" type="button" hidden></button>
    <button class="icon full" type="button" hidden></button>
  </div>
  <div class="menu" role="menu" aria-label="Quality" hidden></div>
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
  static observedAttributes = ["src", "room", "server", "token", "muted", "controls", "stats"];

  /** @type {WhepPlayer | undefined} */
  #player;
  /** @type {AbortController | undefined} */
  #listening;
  /** @type {InverError | undefined} */
  #error;
  #paused = false;
  #askedForSound = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #quiet;
  #root;
  #frame;
  #video;
  #parts;
  #panel;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [common(), playerSheet()];
    root.innerHTML = TEMPLATE;
    this.#root = root;
    this.#frame = find(root, ".frame");
    this.#video = /** @type {HTMLVideoElement} */ (find(root, "video"));
    this.#parts = {
      screen: find(root, ".screen"),
      spinner: find(root, ".spinner"),
      title: find(root, ".screen h2"),
      detail: find(root, ".screen p"),
      again: /** @type {HTMLButtonElement} */ (find(root, ".again")),
      chip: find(root, ".chip"),
      bar: find(root, ".bar"),
      play: find(root, ".play"),
      mute: find(root, ".mute"),
      volume: /** @type {HTMLInputElement} */ (find(root, "input")),
      badge: find(root, ".badge"),
      latency: find(root, ".latency"),
      quality: find(root, ".quality"),
      chosen: find(root, ".chosen"),
      figures: find(root, ".figures"),
      pip: find(root, ".pip"),
      full: find(root, ".full"),
      menu: find(root, ".menu"),
      status: find(root, ".sr"),
    };
    this.#panel = new StatsPanel(find(root, ".stats"), () => this.toggleStats(false));
    this.#wire();
  }

  /** State of the player, `idle` before it is started. */
  get state() {
    return this.#player?.state ?? (this.#error ? PlayerState.Error : PlayerState.Idle);
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

  /** The WHEP player of now. */
  get player() {
    return this.#player;
  }

  /** What went wrong, in state `error`. */
  get error() {
    return this.#error;
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
    else if (this.#player) {
      this.stop();
      this.play();
    }
  }

  /** Starts watching, or goes on after a pause; what was missed is not shown again. */
  play() {
    this.#paused = false;
    if (!this.#player) this.#connect();
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
    this.#listening?.abort();
    this.#listening = undefined;
    const player = this.#player;
    this.#player = undefined;
    this.#error = undefined;
    this.#video.srcObject = null;
    if (player) {
      void player.close();
      this.announce(PlayerEvent.StateChanged, { state: PlayerState.Idle, previous: player.state });
    }
    this.#show();
  }

  /**
   * Chooses a layer; `undefined` leaves it to the server.
   * @param {import("../layers.js").Layer | undefined} layer
   */
  async selectLayer(layer) {
    try {
      await this.#player?.selectLayer(layer);
    } catch (cause) {
      this.#say(cause instanceof Error ? cause.message : String(cause));
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
      this.#say("Picture in picture is not available now.");
    }
  }

  async toggleFullscreen() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (this.requestFullscreen) await this.requestFullscreen();
      // Phones from Apple know fullscreen of the video element alone.
      else /** @type {any} */ (this.#video).webkitEnterFullscreen?.();
    } catch {
      this.#say("Fullscreen is not available here.");
    }
  }

  #connect() {
    this.#error = undefined;
    /** @type {WhepPlayer} */
    let player;
    try {
      player = new WhepPlayer(this.endpoint("whep"), { token: () => this.token, wait: this.hasAttribute("wait") });
    } catch (cause) {
      this.#error = cause instanceof InverError ? cause : new InverError(ErrorCode.BadRequest, String(cause));
      this.announce(PlayerEvent.Failed, this.#error);
      return;
    }
    this.#player = player;
    const listening = new AbortController();
    this.#listening = listening;
    const { signal } = listening;
    player.on(
      PlayerEvent.StreamChanged,
      (stream) => {
        this.#video.srcObject = stream;
        void this.#playVideo();
        this.announce(PlayerEvent.StreamChanged, stream);
      },
      { signal },
    );
    player.on(
      PlayerEvent.StateChanged,
      (detail) => {
        if (detail.state === PlayerState.Playing) void this.#playVideo();
        this.#show();
        this.announce(PlayerEvent.StateChanged, detail);
      },
      { signal },
    );
    player.on(PlayerEvent.Retrying, () => this.#show(), { signal });
    player.on(
      PlayerEvent.StatsUpdated,
      (stats) => {
        this.#showFigures(stats);
        this.announce(PlayerEvent.StatsUpdated, stats);
      },
      { signal },
    );
    player.on(
      PlayerEvent.LayersChanged,
      (layers) => {
        this.#showMenu();
        this.announce(PlayerEvent.LayersChanged, layers);
      },
      { signal },
    );
    player.on(PlayerEvent.ViewersChanged, (count) => this.announce(PlayerEvent.ViewersChanged, count), { signal });
    player.on(PlayerEvent.MessageReceived, (message) => this.announce(PlayerEvent.MessageReceived, message), { signal });
    player.on(PlayerEvent.Retrying, (detail) => this.announce(PlayerEvent.Retrying, detail), { signal });
    player.on(
      PlayerEvent.Failed,
      (error) => {
        this.#error = error;
        this.#show();
        this.announce(PlayerEvent.Failed, error);
      },
      { signal },
    );
    player.start().catch(() => {
      // The state and the Failed event have told it.
    });
  }

  async #playVideo() {
    const video = this.#video;
    if (this.#paused || !video.srcObject) return;
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
    const { play, mute, volume, chip, figures, pip, full, quality, menu, again } = this.#parts;
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
      if (this.#error) this.stop();
      else this.#player?.retryNow();
      this.play();
      frame.focus();
    });
    quality.addEventListener("click", () => this.#openMenu(Boolean(menu.hidden)));
    menu.addEventListener("keydown", (event) => this.#menuKey(event));
    menu.addEventListener("focusout", (event) => {
      if (event.relatedTarget !== quality && !menu.contains(/** @type {Node | null} */ (event.relatedTarget))) this.#openMenu(false);
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
      const busy = !this.#parts.menu.hidden || (focused !== null && focused !== this.#frame && focused.matches(":focus-visible"));
      if (this.state === PlayerState.Playing && !this.#paused && !busy) this.#frame.classList.add("quiet");
    }, after);
  }

  #show() {
    const { screen, bar, play, mute, volume, badge, chip, pip, full } = this.#parts;
    const video = this.#video;
    const state = this.state;
    const controls = this.hasAttribute("controls");
    this.#frame.classList.toggle("withControls", controls);
    bar.hidden = !controls;
    const playing = state === PlayerState.Playing;
    badge.textContent = playing && this.#paused ? "PAUSED" : BADGES[state];
    badge.dataset.state = playing && this.#paused ? "paused" : state;
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
    const sound = /** @type {MediaStream | null} */ (video.srcObject)?.getAudioTracks().some((track) => !track.muted) ?? false;
    chip.hidden = !(playing && sound && video.muted && !this.#askedForSound && !this.#paused);
    this.#showScreen(state);
    screen.hidden = playing && !this.#paused;
    this.#showMenu();
    if (!playing || this.#paused) {
      this.#parts.latency.hidden = true;
      this.#frame.classList.remove("quiet");
    } else if (this.#quiet === undefined) this.#stir();
  }

  /** @param {import("../player.js").PlayerStateValue} state */
  #showScreen(state) {
    const { screen, title, detail, again, spinner } = this.#parts;
    const set = (/** @type {string} */ head, /** @type {string} */ text, /** @type {string} */ button) => {
      if (title.textContent !== head) {
        title.textContent = head;
        if (head) this.#say(`${head} ${text}`.trim());
      }
      detail.textContent = text;
      again.textContent = button;
      again.hidden = button === "";
    };
    const stillThere = this.#player?.everPlayed && state === PlayerState.Reconnecting;
    screen.classList.toggle("over", Boolean(stillThere) || (state === PlayerState.Playing && this.#paused));
    spinner.hidden = state !== PlayerState.Connecting && state !== PlayerState.Reconnecting;
    switch (state) {
      case PlayerState.Idle:
      case PlayerState.Closed:
        set("", "", "Play");
        break;
      case PlayerState.Connecting:
        set("Connecting…", "", "");
        break;
      case PlayerState.Reconnecting:
        set("Connecting again…", "", "");
        break;
      case PlayerState.Offline:
        if (this.#player?.obstacle) set("This cannot be shown", this.#player.obstacle, "");
        else set(this.room ? `${this.room} is offline` : "Nobody is live right now", "The picture starts by itself when somebody goes live.", "");
        break;
      case PlayerState.Error: {
        const said = this.#error ? words(this.#error, "whep") : { title: "That did not work", detail: "" };
        set(said.title, said.detail, "Try again");
        break;
      }
      default:
        if (this.#paused) set("Paused", "", "Back to live");
        else if (title.textContent) {
          set("", "", "");
          this.#say("Playing");
        }
    }
  }

  /** @param {import("../stats.js").PlayerStats} stats */
  #showFigures(stats) {
    const { latency, chip } = this.#parts;
    if (this.state === PlayerState.Playing && !this.#paused && stats.latencyMs !== undefined) {
      latency.hidden = false;
      latency.textContent = `≈ ${formatMs(Math.max(1, Math.round(stats.latencyMs)))}`;
      latency.title = "Estimated delay from the server to this screen: half a round trip, jitter buffer and decoding";
    }
    if (chip.hidden && this.#video.muted && !this.#askedForSound) this.#show();
    this.#panel.record(stats);
    if (this.#panel.shown) this.#panel.update(stats, this.#player);
  }

  #showMenu() {
    const { quality, chosen, menu } = this.#parts;
    const player = this.#player;
    const layers = player?.layers ?? [];
    quality.hidden = layers.length < 2 || !player?.canSelectLayer || this.state !== PlayerState.Playing;
    const picked = player?.selectedLayer;
    const pickedId = picked && "id" in picked ? picked.id : "";
    const current = layers.find((layer) => layer.id === pickedId);
    chosen.textContent = current ? layerName(current) : "Auto";
    const name = `Quality: ${chosen.textContent}`;
    quality.setAttribute("aria-label", name);
    quality.title = name;
    if (quality.hidden) this.#openMenu(false);
    const items = [undefined, ...layers];
    // Before the first figures all layers look paused.
    const known = layers.some((layer) => layer.active);
    // Buttons are kept while the choice is the same, so that the focus stays.
    if (menu.childElementCount !== items.length) {
      menu.replaceChildren(
        ...items.map(() => {
          const item = document.createElement("button");
          item.type = "button";
          item.setAttribute("role", "menuitemradio");
          item.tabIndex = -1;
          item.innerHTML = `${iconMarkup("check")}<span></span><small></small>`;
          item.addEventListener("click", () => {
            const index = [...menu.children].indexOf(item);
            this.#openMenu(false);
            quality.focus();
            void this.selectLayer(this.#player?.layers[index - 1]);
          });
          return item;
        }),
      );
    }
    items.forEach((layer, index) => {
      const item = menu.children[index];
      if (!item) return;
      item.setAttribute("aria-checked", String((layer?.id ?? "") === pickedId));
      find(item, "span").textContent = layer ? layerName(layer) : "Auto";
      find(item, "small").textContent = layer?.bitrate ? formatBitrate(layer.bitrate) : layer && known ? "paused" : "";
    });
  }

  /** @param {boolean} open */
  #openMenu(open) {
    const { quality, menu } = this.#parts;
    if (Boolean(menu.hidden) === !open) return;
    menu.hidden = !open;
    quality.setAttribute("aria-expanded", String(open));
    if (open) /** @type {HTMLElement | null} */ (menu.querySelector("[aria-checked=true]") ?? menu.firstElementChild)?.focus();
  }

  /** @param {KeyboardEvent} event */
  #menuKey(event) {
    const items = /** @type {HTMLElement[]} */ ([...this.#parts.menu.children]);
    const at = items.indexOf(/** @type {HTMLElement} */ (this.#root.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) items[(at + step + items.length) % items.length]?.focus();
    else if (event.key === "Home") items[0]?.focus();
    else if (event.key === "End") items.at(-1)?.focus();
    else if (event.key === "Escape") {
      this.#openMenu(false);
      this.#parts.quality.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} text */
  #say(text) {
    this.#parts.status.textContent = text;
  }
}
