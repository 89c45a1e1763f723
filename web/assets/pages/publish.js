/**
 * The publish page.
 *
 * Owns: the settings, the figures, the encoders' settings, what feeds the room. Never publishes by itself;
 * `<inver-publisher>` does.
 *
 * Query: `tab` (`browser` or a door), `source`, `codec`, `size` (`1280x720`), `fps`, `bitrate` (kbit/s), `simulcast`, `autostart`; fragment: `key`.
 * @module
 */

import "../../sdk/v1/elements.js";
import { PublisherEvent, PublisherState } from "../../sdk/v1/publisher.js";
import { isRoomId, roomIdProblem } from "../../sdk/v1/room.js";
import { VideoCodec, sendableCodecs } from "../../sdk/v1/codecs.js";
import { SourceKind, listDevices } from "../../sdk/v1/sources.js";
import { BASE, api, roomPath, tabStore, takeFromFragment } from "../lib/api.js";
import { copyButton, copyText, find, h, icon, setFigures, setPageState, setText, snippet, toast } from "../lib/dom.js";
import { encodersOf, maskedEncodersOf } from "../lib/encoders.js";
import { feedsOf } from "../lib/feed.js";
import { bitrateText, clockText, codecText, countText, flagOf, msText, roomOfPath, sentenceText, shareText, viewersText } from "../lib/format.js";

const SETTINGS_KEY = "inver.publish";
/** The administrator's token, where the admin page of the same tab has put one: it sees more of the room than a stream key. */
const ADMIN_KEY = "inver.admin";
/** Between questions about viewers and warnings. */
const POLL_MS = 2_000;

/** Samples in a row that must show a limit before it is told; the first seconds always do while the estimate grows. */
const LIMITED_SAMPLES = 8;

/** @type {Record<string, string>} */
const STATES = { idle: "Preview", connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", error: "Error", closed: "Stopped" };

/** The tab of publishing from here. */
const BROWSER = "browser";

const room = roomOfPath(location.pathname);
const query = new URLSearchParams(location.search);
const publisher = /** @type {import("../../sdk/v1/elements.js").InverPublisherElement} */ (find("#publisher"));
const form = /** @type {HTMLFormElement} */ (find("#settings"));
const keyInput = /** @type {HTMLInputElement} */ (find("#key"));
const keyName = `inver.key.${room}`;

/** @type {import("../lib/api.js").ServerInfo | undefined} */
let server;
let liveSince = 0;
/** What limits the picture, and for how many samples. */
let limited = { by: "", samples: 0 };
/** The room as the server last told, once it exists and may be seen. @type {import("../lib/api.js").Room | undefined} */
let known;
/** Which way to publish is shown: `browser` or a door. */
let tab = query.get("tab") ?? BROWSER;
/** What the doors' panels were made of; they are made again where it changes. */
let shownTarget = "";

if (isRoomId(room)) {
  void begin();
} else {
  setPageState("error");
  find("#studio").hidden = true;
  find(".actions").hidden = true;
  find("#tabs").hidden = true;
  find("#badge").hidden = true;
  find("#notices").append(h("p", { class: "notice bad" }, `${roomIdProblem(room)} `, h("a", { href: BASE }, "Choose another room"), "."));
}

async function begin() {
  document.title = `${room}: go live, Inver`;
  find("#room-name").textContent = room;
  publisher.room = room;
  publisher.server = BASE;
  const watch = new URL(`watch/${encodeURIComponent(room)}`, BASE).href;
  for (const link of ["#open-watch", "#feed-watch"]) /** @type {HTMLAnchorElement} */ (find(link)).href = watch;
  find("#share").addEventListener("click", async () => {
    toast((await copyText(watch)) ? "Link copied" : watch);
  });
  wireKey();
  wireSettings();
  wirePublisher();
  wireTabs();
  showEncoders();
  setPageState(PublisherState.Idle);
  try {
    server = await api("server");
    preferWhatHlsCarries();
  } catch (cause) {
    notice("server", String(cause instanceof Error ? cause.message : cause), true);
  }
  showKey();
  showEncoders();
  setInterval(() => void poll(), POLL_MS);
  void poll();
  setInterval(tick, 1000);
  await start();
}

async function start() {
  const { source } = publisher.settings;
  const automatic = flagOf(query, "autostart", false);
  try {
    // The screen may be asked for after a click only; a camera that was never allowed is better asked for then, too.
    if (automatic) await publisher.start();
    else if (source === SourceKind.Test || (source === SourceKind.Camera && (await cameraAllowed()))) await publisher.preview();
  } catch {
    // The element shows what went wrong.
  }
  await showDevices();
}

/** H264 plays over HLS everywhere, what browsers send unasked (VP8) nowhere. */
function preferWhatHlsCarries() {
  if (!server?.hls || !sendableCodecs().includes(VideoCodec.H264)) return;
  const automatic = /** @type {HTMLOptionElement} */ (find("#codec option[value='']"));
  automatic.textContent = "Automatic: H264, for viewers over HLS";
  publisher.settings = settings();
}

/** Whether publishing here needs a key: the room says so once it exists, the server before. */
function keyed() {
  return known?.keyed ?? server?.open === false;
}

function showKey() {
  // A key that came along is shown even where it is not needed, so that nobody wonders where it went.
  if (keyed() || keyInput.value) find("#key-field").hidden = false;
}

async function cameraAllowed() {
  try {
    const answers = await Promise.all(["camera", "microphone"].map((name) => navigator.permissions.query({ name: /** @type {any} */ (name) })));
    return answers.every((answer) => answer.state === "granted");
  } catch {
    return false;
  }
}

function wireKey() {
  const given = takeFromFragment("key");
  if (given) tabStore.set(keyName, given);
  keyInput.value = tabStore.get(keyName);
  publisher.token = keyInput.value;
  keyInput.addEventListener("input", () => {
    const key = keyInput.value.trim();
    tabStore.set(keyName, key);
    publisher.token = key;
    showEncoders();
  });
  const show = find("#key-show");
  show.addEventListener("click", () => {
    const shown = keyInput.type === "password";
    keyInput.type = shown ? "text" : "password";
    show.textContent = shown ? "Hide" : "Show";
    show.setAttribute("aria-pressed", String(shown));
    showEncoders();
  });
}

function wireSettings() {
  const codecs = /** @type {HTMLSelectElement} */ (find("#codec"));
  for (const name of sendableCodecs()) codecs.append(h("option", { value: name }, name));
  /** @type {Record<string, string | boolean>} */
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(SETTINGS_KEY) ?? "{}") ?? {};
  } catch {
    // Defaults, then.
  }
  const asked = { source: query.get("source"), codec: query.get("codec"), size: query.get("size"), frameRate: query.get("fps"), bitrate: query.get("bitrate") };
  for (const [name, value] of Object.entries({ ...kept, ...Object.fromEntries(Object.entries(asked).filter(([, given]) => given)) })) {
    setField(name, value);
  }
  if (query.has("simulcast")) setField("simulcast", flagOf(query, "simulcast", false));
  publisher.settings = settings();
  showSettings();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", showSettings);
  form.addEventListener("change", (event) => {
    const before = publisher.settings;
    publisher.settings = settings();
    keep();
    showSettings();
    const name = /** @type {HTMLInputElement} */ (event.target).name;
    if (name === "bitrate") {
      publisher.publisher?.setVideoLimits({ maxBitrate: publisher.settings.bitrate }).catch(() => {});
      return;
    }
    const live = publisher.publisher !== undefined;
    if (name === "codec" || name === "simulcast") {
      find("#settings-note").hidden = !live;
      return;
    }
    if (name === "source" && publisher.settings.source !== before.source && !live) publisher.video.srcObject = null;
    if (name && (publisher.stream || name === "source")) void publisher.preview().then(showDevices, () => {});
  });
  navigator.mediaDevices?.addEventListener("devicechange", () => void showDevices());
}

/**
 * @param {string} name
 * @param {unknown} value What storage or the address holds; anything.
 */
function setField(name, value) {
  const field = form.elements.namedItem(name);
  if (field instanceof RadioNodeList) {
    if ([...field].some((one) => one instanceof HTMLInputElement && one.value === value)) field.value = String(value);
  } else if (field instanceof HTMLSelectElement) {
    const wanted = String(value).toLowerCase();
    const option = [...field.options].find((one) => one.value.toLowerCase() === wanted);
    if (option) field.value = option.value;
  } else if (field instanceof HTMLInputElement) {
    if (field.type === "checkbox") field.checked = value === true;
    else if (Number.isFinite(Number(value))) field.value = String(value);
  }
}

/** @returns {import("../../sdk/v1/elements/publisher.js").PublisherSettings} */
function settings() {
  const data = new FormData(form);
  const text = (/** @type {string} */ name) => String(data.get(name) ?? "");
  const [width, height] = text("size").split("x").map(Number);
  return {
    source: Object.values(SourceKind).find((kind) => kind === text("source")) ?? SourceKind.Camera,
    codec: text("codec"),
    prefer: server?.hls ? VideoCodec.H264 : undefined,
    width,
    height,
    frameRate: Number(text("frameRate")),
    bitrate: Number(text("bitrate")) * 1000,
    simulcast: data.has("simulcast"),
    videoDevice: text("videoDevice"),
    audioDevice: text("audioDevice"),
    processing: data.has("processing"),
  };
}

function keep() {
  const { source, codec, frameRate, simulcast, processing } = settings();
  const data = new FormData(form);
  const values = { source, codec, frameRate: String(frameRate), simulcast, processing, size: data.get("size"), bitrate: data.get("bitrate") };
  try {
    localStorage.setItem(SETTINGS_KEY, JSON.stringify(values));
  } catch {
    // Not kept, then.
  }
}

function showSettings() {
  const { source, bitrate = 0 } = settings();
  for (const field of document.querySelectorAll(".only-camera")) /** @type {HTMLElement} */ (field).hidden = source !== SourceKind.Camera;
  setText(find("#bitrate-text"), bitrateText(bitrate));
  find("#bitrate").setAttribute("aria-valuetext", bitrateText(bitrate));
}

async function showDevices() {
  const { cameras, microphones } = await listDevices().catch(() => ({ cameras: [], microphones: [] }));
  fill("videoDevice", cameras, "Camera");
  fill("audioDevice", microphones, "Microphone");
}

/**
 * @param {string} id
 * @param {MediaDeviceInfo[]} devices
 * @param {string} name
 */
function fill(id, devices, name) {
  const select = /** @type {HTMLSelectElement} */ (find(`#${id}`));
  const chosen = select.value;
  // Before access is given devices have neither ids nor names.
  const known = devices.filter((device) => device.deviceId && device.deviceId !== "default");
  select.replaceChildren(
    h("option", { value: "" }, "Default"),
    ...known.map((device, index) => h("option", { value: device.deviceId }, device.label || `${name} ${index + 1}`)),
  );
  if (known.some((device) => device.deviceId === chosen)) select.value = chosen;
}

function wirePublisher() {
  publisher.addEventListener(PublisherEvent.StateChanged, showState);
  publisher.addEventListener("sourceChanged", () => {
    if (publisher.state === PublisherState.Error) setPageState(PublisherState.Idle);
  });
  publisher.addEventListener(PublisherEvent.Failed, () => {
    if (publisher.error?.code !== "unauthorized") return;
    find("#key-field").hidden = false;
    keyInput.focus();
  });
  publisher.addEventListener(PublisherEvent.StatsUpdated, (event) =>
    showFigures(/** @type {CustomEvent<import("../../sdk/v1/stats.js").PublisherStats>} */ (event).detail),
  );
  addEventListener("beforeunload", (event) => {
    if (publisher.state === PublisherState.Live && !flagOf(query, "autostart", false)) event.preventDefault();
  });
}

function showState() {
  const { state } = publisher;
  setPageState(state === PublisherState.Closed ? PublisherState.Idle : state);
  const badge = find("#badge");
  badge.className = `badge ${state}`;
  setText(badge, STATES[state] ?? state);
  document.title = state === PublisherState.Live ? `● ${room} is live, Inver` : `${room}: go live, Inver`;
  if (state === PublisherState.Live) {
    if (!liveSince) liveSince = Date.now();
    void poll();
  } else if (state !== PublisherState.Reconnecting) {
    liveSince = 0;
    find("#figures").hidden = true;
    find("#settings-note").hidden = true;
    limited = { by: "", samples: 0 };
    notice("limit", "");
    for (const warning of document.querySelectorAll("[data-notice^=warning]")) warning.remove();
  }
}

/** @param {import("../../sdk/v1/stats.js").PublisherStats} stats */
function showFigures(stats) {
  const { video, audio, transport } = stats;
  const best = video?.layers.filter((layer) => layer.width).at(-1);
  const loss = Math.max(video?.loss ?? 0, audio?.loss ?? 0);
  /** @type {[string, string][]} */
  const rows = [
    ["Sending", bitrateText(stats.bitrate)],
    ["Picture", best?.width ? `${best.width}×${best.height}` : "none"],
    ["Frames per second", best ? String(Math.round(best.framesPerSecond)) : "–"],
    ["Codecs", [video?.codec, audio?.codec].map(codecText).filter(Boolean).join(", ") || "–"],
    ["Lost on the way", shareText(loss)],
    ["Round trip", msText(transport.roundTripMs)],
    ["Bandwidth estimate", transport.available ? bitrateText(transport.available) : "–"],
    ["Live for", clockText((Date.now() - liveSince) / 1000)],
  ];
  setFigures(find("#figure-list"), rows);
  showLayers(video?.layers ?? []);
  find("#figures").hidden = false;
  // Encoders go on saying "bandwidth" long after there is enough of it.
  const enough = (transport.available ?? 0) >= (publisher.settings.bitrate ?? 0);
  const by = best?.limitedBy === "bandwidth" && enough ? "" : (best?.limitedBy ?? "");
  limited = { by, samples: by === limited.by ? limited.samples + 1 : 0 };
  const limit = limited.samples >= LIMITED_SAMPLES ? by : "";
  notice(
    "limit",
    limit === "cpu"
      ? "This computer cannot keep up with encoding. Choose a smaller picture, fewer frames per second, or another codec."
      : limit === "bandwidth"
        ? "The connection does not carry the whole bitrate now, so the picture is reduced."
        : "",
  );
}

/** @param {import("../../sdk/v1/stats.js").OutboundLayer[]} layers */
function showLayers(layers) {
  const host = find("#layers");
  if (layers.length < 2) {
    host.replaceChildren();
    return;
  }
  host.replaceChildren(
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...["Layer", "Picture", "fps", "Bitrate", "Limited by"].map((name) => h("th", { scope: "col" }, name)))),
      h(
        "tbody",
        {},
        ...[...layers].reverse().map((layer) =>
          h(
            "tr",
            {},
            h("td", {}, layer.rid ?? ""),
            h("td", {}, layer.width ? `${layer.width}×${layer.height}` : "paused"),
            h("td", {}, Math.round(layer.framesPerSecond)),
            h("td", {}, bitrateText(layer.bitrate)),
            h("td", {}, layer.limitedBy ?? "–"),
          ),
        ),
      ),
    ),
  );
}

/**
 * Shows, changes or removes one message above the page.
 * @param {string} name
 * @param {string} text
 * @param {boolean} [bad]
 */
function notice(name, text, bad = false) {
  const host = find("#notices");
  const old = host.querySelector(`[data-notice="${CSS.escape(name)}"]`);
  if (!text) old?.remove();
  else if (old) setText(old, text);
  else host.append(h("p", { class: bad ? "notice bad" : "notice", "data-notice": name }, text));
}

async function poll() {
  if (document.visibilityState === "hidden") return;
  try {
    known = await look();
    notice("server", "");
    setText(find("#viewers"), known.live ? viewersText(known.viewers) : "");
    // A browser sends keyframes when viewers ask and has no interval to set: that advice is for encoders.
    const ours = isOurs();
    const warnings = (known.live ? (known.warnings ?? []) : []).filter((warning) => !(ours && warning.kind === "keyframe_interval"));
    // One kind may be said of several publishers.
    const said = warnings.map((warning, index) => ({ name: `warning-${warning.kind}-${index}`, message: warning.message }));
    for (const old of document.querySelectorAll("[data-notice^=warning]")) {
      if (!said.some(({ name }) => name === old.getAttribute("data-notice"))) old.remove();
    }
    for (const { name, message } of said) notice(name, sentenceText(message));
  } catch (cause) {
    // A room that nobody has used yet does not exist; one that we may not see tells nothing.
    const { status } = /** @type {any} */ (cause);
    if (status === 0) notice("server", "The server cannot be reached. Trying again.", true);
    else known = undefined;
    setText(find("#viewers"), "");
    for (const old of document.querySelectorAll("[data-notice^=warning]")) old.remove();
  }
  showFeed();
  showKey();
  showEncoders();
}

/**
 * The room with the first credentials that may see it; an administrator's see the most.
 * @returns {Promise<import("../lib/api.js").Room>}
 */
async function look() {
  for (const token of [tabStore.get(ADMIN_KEY), keyInput.value.trim()]) {
    if (!token) continue;
    try {
      return await api(roomPath(room), { token });
    } catch (cause) {
      // A stream key may publish without being allowed to look.
      const { status } = /** @type {any} */ (cause);
      if (status !== 401 && status !== 403) throw cause;
    }
  }
  return api(roomPath(room));
}

/** Whether the room's media comes from this page. */
function isOurs() {
  return publisher.state === PublisherState.Live || publisher.state === PublisherState.Reconnecting;
}

/** Shows what feeds the room from elsewhere; what this page sends has figures of its own, from nearer by. */
function showFeed() {
  const feeds = known?.live && !isOurs() ? feedsOf(known, Date.now()) : [];
  const [first] = feeds;
  const card = find("#feed");
  card.hidden = first === undefined;
  if (!first) return;
  const others = feeds.length - 1;
  setText(find("#feed-title"), others > 0 ? `${first.title}, and ${countText(others, "other", "others")}` : first.title);
  setText(find("#feed-agent"), first.agent);
  setFigures(find("#feed-list"), first.facts);
}

function tick() {
  if (publisher.state !== PublisherState.Live || !liveSince) return;
  const cell = find("#figure-list").lastElementChild?.querySelector("dd");
  if (cell) setText(cell, clockText((Date.now() - liveSince) / 1000));
}

function wireTabs() {
  const tabs = find("#tabs");
  tabs.addEventListener("click", (event) => {
    const chosen = /** @type {Element} */ (event.target).closest("[role=tab]");
    if (chosen) choose(chosen.id.replace("tab-", ""));
  });
  tabs.addEventListener("keydown", (event) => {
    const all = [...tabs.children].map((one) => one.id.replace("tab-", ""));
    const at = all.indexOf(tab);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(all.at(to % all.length) ?? BROWSER);
    find(`#tab-${tab}`).focus();
  });
}

/** @param {string} id */
function choose(id) {
  tab = id;
  const address = new URL(location.href);
  if (id === BROWSER) address.searchParams.delete("tab");
  else address.searchParams.set("tab", id);
  history.replaceState(history.state, "", address);
  showTab();
}

function showTab() {
  const tabs = [...find("#tabs").children];
  // A door of the address may be closed on this server.
  const shown = tabs.some((one) => one.id === `tab-${tab}`) ? tab : BROWSER;
  for (const one of tabs) {
    const selected = one.id === `tab-${shown}`;
    one.setAttribute("aria-selected", String(selected));
    one.setAttribute("tabindex", selected ? "0" : "-1");
    find(`#${one.getAttribute("aria-controls")}`).hidden = !selected;
  }
}

/** Brings the doors' tabs and panels up to date; those that did not change stay, with their focus and selection. */
function showEncoders() {
  const base = (server?.whip_url ?? new URL("whip", BASE).href).replace(/\/$/, "");
  const secret = keyInput.value.trim();
  const revealed = keyInput.type === "text";
  const target = {
    room,
    host: location.hostname,
    whip: `${base}/${encodeURIComponent(room)}`,
    ports: server?.encoders ?? {},
    key: secret,
    keyed: keyed(),
    number: known?.number,
  };
  const signature = JSON.stringify([target, revealed]);
  if (signature === shownTarget) return;
  shownTarget = signature;
  const real = encodersOf(target);
  // What stands on the screen may be seen by viewers of the screen: the key shows on demand, copying gives it.
  const masked = maskedEncodersOf(target);
  const tabs = find("#tabs");
  const wanted = [BROWSER, ...real.map(({ id }) => id)];
  for (const old of [...tabs.children]) if (!wanted.includes(old.id.replace("tab-", ""))) old.remove();
  for (const { id, name } of real) {
    if (tabs.querySelector(`#tab-${id}`)) continue;
    tabs.append(h("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}` }, name));
  }
  const focused = document.activeElement?.closest("#panels button")?.getAttribute("data-at");
  find("#panels").replaceChildren(
    ...real.map((door, index) => {
      return h(
        "section",
        { class: "card pad panel", role: "tabpanel", id: `panel-${door.id}`, "aria-labelledby": `tab-${door.id}`, tabindex: 0 },
        h("p", { class: "soft" }, door.intro),
        door.missing && h("p", { class: "notice" }, door.missing),
        ...door.guides.map((guide, at) => guidePanel(guide, masked[index]?.guides[at] ?? guide, revealed)),
        door.hints.length > 0 && h("ul", { class: "soft small" }, ...door.hints.map((hint) => h("li", {}, hint))),
      );
    }),
  );
  const buttons = [...document.querySelectorAll("#panels button")];
  buttons.forEach((button, at) => button.setAttribute("data-at", String(at)));
  showTab();
  // Panels that are made again keep the focus where it was.
  if (focused) /** @type {HTMLElement | undefined} */ (buttons[Number(focused)])?.focus();
}

/**
 * @param {import("../lib/encoders.js").Guide} guide What is copied.
 * @param {import("../lib/encoders.js").Guide} masked The same without secrets.
 * @param {boolean} revealed Whether secrets are seen.
 */
function guidePanel(guide, masked, revealed) {
  const { title, fields = [], steps = [], commands = [] } = guide;
  const shown = revealed ? guide : masked;
  const list = h("dl");
  fields.forEach(([name, value], index) => {
    const text = shown.fields?.[index]?.[1] ?? "";
    list.append(
      h("dt", {}, name),
      value ? h("dd", {}, text) : h("dd", { class: "plain soft" }, "leave it empty"),
      h(
        "span",
        { class: "row tight" },
        value !== masked.fields?.[index]?.[1] && revealButton(name, revealed),
        value !== "" && copyButton(`Copy: ${name}`, () => value),
      ),
    );
  });
  return h(
    "div",
    { class: "guide" },
    h("h2", {}, title),
    fields.length > 0 && list,
    steps.length > 0 && h("ol", { class: "small" }, ...steps.map((step) => h("li", {}, step))),
    ...commands.map(([name, value], index) => {
      const box = snippet(shown.commands?.[index]?.[1] ?? "", `Copy: ${name}`);
      find(".copy", box).replaceWith(copyButton(`Copy: ${title}, ${name}`, () => value));
      return h("div", { class: "field" }, h("span", { class: "label" }, name), box);
    }),
  );
}

/**
 * Shows and hides the key, everywhere on the page.
 * @param {string} name
 * @param {boolean} revealed
 */
function revealButton(name, revealed) {
  return h(
    "button",
    {
      class: "copy",
      type: "button",
      "aria-label": `Show: ${name}`,
      "aria-pressed": String(revealed),
      title: revealed ? "Hide the key" : "Show the key",
      onclick: () => find("#key-show").click(),
    },
    icon("eye"),
  );
}
