/**
 * The watch page, also inside a frame of another site.
 *
 * Owns: what stands around the player. Never speaks WHEP; `<inver-player>` does.
 *
 * Query: `controls`, `muted`, `autoplay`, `stats`, `embed`, each 0 or 1; `transport`, as the element has it; fragment: `token`.
 * @module
 */

import { InverPlayerElement } from "../../sdk/v1/elements.js";
import { PlayerEvent, PlayerState } from "../../sdk/v1/player.js";
import { isRoomId, roomIdProblem } from "../../sdk/v1/room.js";
import { transportOf } from "../../sdk/v1/transport.js";
import { BASE, api, publicationsOf, roomPath, tabStore, takeFromFragment } from "../lib/api.js";
import { copyText, find, h, setPageState, setText, snippet, toast } from "../lib/dom.js";
import { clockText, flagOf, publicationText, roomOfPath, secondsSince, viewersText } from "../lib/format.js";

/** Between questions about the room. The player's own events tell viewers sooner where they are to be had. */
const POLL_MS = 5_000;

/** @type {Record<string, string>} */
const STATES = { idle: "Ready", connecting: "Connecting", playing: "Live", offline: "Offline", reconnecting: "Reconnecting", error: "Error", closed: "Stopped" };

const room = roomOfPath(location.pathname);
const query = new URLSearchParams(location.search);
const embedded = flagOf(query, "embed", false);

/** @type {import("../lib/api.js").Room | undefined} */
let known;
/** Viewers as the session's events tell them. @type {number | undefined} */
let viewers;

document.documentElement.classList.toggle("embedded", embedded);
if (isRoomId(room)) begin();
else {
  setPageState("error");
  find("#room-name").textContent = "There is no such room";
  find("#badge").hidden = true;
  find(".actions").hidden = true;
  find("#facts").append(`${roomIdProblem(room)} `, h("a", { href: BASE }, "Choose another room"), ".");
}

function begin() {
  document.title = `${room}, Inver`;
  find("#room-name").textContent = room;
  const player = new InverPlayerElement();
  player.id = "player";
  player.room = room;
  player.server = BASE;
  const tokenName = `inver.token.${room}`;
  const given = takeFromFragment("token");
  if (given) tabStore.set(tokenName, given);
  player.token = tabStore.get(tokenName);
  player.transport = transportOf(query.get("transport"));
  player.toggleAttribute("wait", true);
  player.toggleAttribute("controls", flagOf(query, "controls", true));
  player.toggleAttribute("muted", flagOf(query, "muted", true));
  player.toggleAttribute("autoplay", flagOf(query, "autoplay", true));
  player.toggleAttribute("stats", flagOf(query, "stats", false));

  player.addEventListener(PlayerEvent.StateChanged, () => showState(player));
  player.addEventListener(PlayerEvent.Failed, () => showState(player));
  player.addEventListener(PlayerEvent.ViewersChanged, (event) => {
    viewers = /** @type {CustomEvent<number>} */ (event).detail;
    showRoom(player);
  });
  find("#stage").append(player);
  showState(player);
  wireActions();

  // Keys that nothing on the page wants are the player's.
  document.addEventListener("keydown", (event) => {
    if (event.target === document.body || (embedded && event.target === document.documentElement)) player.handleKey(event);
  });
  if (embedded) return;
  const poll = async () => {
    if (document.visibilityState === "hidden") return;
    try {
      known = await api(roomPath(room), { token: player.token || undefined });
    } catch {
      // The player tells what matters; a room that nobody has used yet is not known.
      known = undefined;
    }
    showRoom(player);
  };
  setInterval(() => void poll(), POLL_MS);
  setInterval(() => showRoom(player), 1000);
  player.addEventListener(PlayerEvent.StateChanged, () => void poll());
  void poll();
}

/** @param {InverPlayerElement} player */
function showState(player) {
  const { state } = player;
  setPageState(state === PlayerState.Closed ? PlayerState.Idle : state);
  const badge = find("#badge");
  badge.className = state === PlayerState.Playing ? "badge live" : "badge";
  setText(badge, STATES[state] ?? state);
  document.title = state === PlayerState.Playing ? `● ${room}, Inver` : `${room}, Inver`;
  showRoom(player);
}

/** @param {InverPlayerElement} player */
function showRoom(player) {
  const playing = player.state === PlayerState.Playing;
  const count = viewers ?? known?.viewers;
  setText(find("#viewers"), playing && count !== undefined ? viewersText(count) : "");
  const seconds = playing ? secondsSince(known?.live_since, Date.now()) : undefined;
  setText(find("#since"), seconds === undefined ? "" : `live for ${clockText(seconds)}`);
  const away = playing && known?.fallback_since !== undefined;
  setText(find("#facts"), away ? "the publisher is away" : playing && known ? publicationsOf(known).map(publicationText).filter(Boolean).join(", ") : "");
}

function wireActions() {
  const address = new URL(`watch/${encodeURIComponent(room)}`, BASE).href;
  /** @type {HTMLAnchorElement} */ (find("#publish")).href = new URL(`publish/${encodeURIComponent(room)}`, BASE).href;
  find("#share").addEventListener("click", async () => {
    // A computer's share sheet is in the way more often than it helps: there the link is copied.
    if (navigator.share && matchMedia("(hover: none)").matches) {
      await navigator.share({ title: room, url: address }).catch(() => {});
      return;
    }
    toast((await copyText(address)) ? "Link copied" : address);
  });
  const dialog = /** @type {HTMLDialogElement} */ (find("#embed-dialog"));
  find("#embed-frame").append(
    snippet(
      `<iframe src="${address}?embed=1" width="960" height="540" allow="autoplay; fullscreen; picture-in-picture" title="${room}"></iframe>`,
      "Copy the frame",
    ),
  );
  find("#embed-element").append(
    snippet(
      `<script type="module" src="${new URL("sdk/v1/elements.js", BASE).href}"></script>\n<inver-player room="${room}" autoplay muted controls></inver-player>`,
      "Copy the element",
    ),
  );
  find("#embed").addEventListener("click", () => dialog.showModal());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
