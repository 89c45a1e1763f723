/**
 * The home page: what is live now, and the way into a room.
 *
 * Owns: the list of live rooms, kept by the event stream where the server lets us and by asking otherwise.
 * @module
 */

import { BASE, api, publicationsOf } from "../lib/api.js";
import { find, h, icon, setPageState, setText, svg } from "../lib/dom.js";
import { clockText, countText, hashOf, proposeRoom, publicationText, secondsSince, spanText, viewersText } from "../lib/format.js";
import { roomIdProblem, suggestRoomId } from "../../sdk/v1/room.js";

/** Between questions where there is no event stream. */
const POLL_MS = 5_000;
/** Events come in bursts: one question answers for all that fall into this time. */
const SETTLE_MS = 200;
/** Between pictures of a room; the server makes none more often. */
const PICTURE_MS = 5_000;
/** After a refusal: a room of sound alone, or a codec that the server does not decode, stays that way for a while. */
const NO_PICTURE_MS = 30_000;

const list = find("#rooms");
const trouble = find("#trouble");

/** @type {Map<string, import("../lib/api.js").Room>} */
const live = new Map();
/** @type {Map<string, ReturnType<typeof card>>} */
const cards = new Map();
/** Cards that the window shows. @type {Set<Element>} */
const inView = new Set();
const watching = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) inView.add(target);
    else inView.delete(target);
  }
  drawPictures();
});

drawWaters();
wireForm();
void about();
void refresh();
follow();
setInterval(tick, 1000);
setInterval(drawPictures, 1000);

function wireForm() {
  const form = /** @type {HTMLFormElement} */ (find("form.join"));
  const input = /** @type {HTMLInputElement} */ (find("#room"));
  const error = find("#room-error");
  const propose = find("#propose");
  propose.append(icon("dice"));
  const fill = () => {
    input.value = proposeRoom();
    show("");
  };
  const show = (/** @type {string} */ problem) => {
    error.hidden = problem === "";
    error.textContent = problem;
    input.setAttribute("aria-invalid", String(problem !== ""));
  };
  fill();
  propose.addEventListener("click", () => {
    fill();
    input.focus();
    input.select();
  });
  input.addEventListener("focus", () => input.select());
  input.addEventListener("input", () => show(input.value === "" ? "" : (roomIdProblem(input.value) ?? "")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const page = /** @type {HTMLButtonElement | null} */ (event.submitter)?.value === "watch" ? "watch" : "publish";
    let room = input.value.trim();
    if (roomIdProblem(room)) {
      const better = suggestRoomId(room);
      if (better !== room && better !== "" && !roomIdProblem(better)) {
        show(`${roomIdProblem(room)} How about “${better}”?`);
        input.value = better;
      } else show(roomIdProblem(room) ?? "");
      input.focus();
      return;
    }
    room = encodeURIComponent(room);
    location.assign(new URL(`${page}/${room}`, BASE));
  });
}

async function about() {
  try {
    /** @type {import("../lib/api.js").ServerInfo} */
    const server = await api("server");
    find("#about").textContent = `Inver ${server.version}, up ${spanText(server.uptime_seconds)}${server.draining ? ", stopping soon" : ""}`;
  } catch {
    // The rooms' own message tells that the server does not answer.
  }
}

async function refresh() {
  try {
    const { rooms } = /** @type {{ rooms: import("../lib/api.js").Room[] }} */ (await api("rooms"));
    live.clear();
    for (const room of rooms) if (room.live) live.set(room.id, room);
    trouble.hidden = true;
    setPageState("idle");
    show();
  } catch (cause) {
    trouble.textContent = `${cause instanceof Error ? cause.message : cause} Trying again.`;
    trouble.hidden = false;
    setPageState("error");
  }
}

/** Listens, or asks now and then where listening is not permitted. */
function follow() {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;
  const soon = () => {
    settling ??= setTimeout(() => {
      settling = undefined;
      void refresh();
    }, SETTLE_MS);
  };
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let polling;
  const poll = (/** @type {boolean} */ on) => {
    if (on) polling ??= setInterval(() => document.visibilityState === "visible" && void refresh(), POLL_MS);
    else {
      clearInterval(polling);
      polling = undefined;
    }
  };
  poll(true);
  const source = new EventSource(new URL("api/v1/events", BASE));
  source.addEventListener("open", () => {
    poll(false);
    soon();
  });
  source.addEventListener("error", () => poll(true));
  for (const name of ["room.created", "room.closed", "room.live", "room.offline", "fallback.began", "fallback.ended", "publication.changed", "reset"]) {
    source.addEventListener(name, soon);
  }
  source.addEventListener("viewers.changed", (event) => {
    const { room, viewers } = JSON.parse(event.data);
    const known = live.get(room);
    if (known && typeof viewers === "number") {
      known.viewers = viewers;
      show();
    } else soon();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") soon();
  });
}

function show() {
  const rooms = [...live.values()].sort((one, other) => other.viewers - one.viewers || one.id.localeCompare(other.id));
  for (const [id, { root }] of cards) {
    if (!live.has(id)) {
      watching.unobserve(root);
      inView.delete(root);
      root.remove();
      cards.delete(id);
    }
  }
  rooms.forEach((room, index) => {
    let made = cards.get(room.id);
    if (!made) {
      cards.set(room.id, (made = card(room)));
      watching.observe(made.root);
    }
    made.update(room);
    // Moving an element loses its focus: only what stands elsewhere is moved.
    if (list.children[index] !== made.root) list.insertBefore(made.root, list.children[index] ?? null);
  });
  find("#empty").hidden = rooms.length > 0;
  const viewers = rooms.reduce((sum, room) => sum + room.viewers, 0);
  setText(find("#totals"), rooms.length === 0 ? "" : `${countText(rooms.length, "room", "rooms")}, ${viewersText(viewers)}`);
  tick();
}

/** @param {import("../lib/api.js").Room} room */
function card(room) {
  const badge = h("span", { class: "badge live" }, "Live");
  const viewers = h("span");
  const facts = h("span");
  const since = h("span", { class: "since num" });
  const picture = /** @type {HTMLImageElement} */ (h("img", { class: "picture", alt: `What ${room.id} shows`, loading: "lazy", decoding: "async", hidden: true }));
  /** When the next picture is due, in milliseconds since the epoch. */
  let due = 0;
  const root = h(
    "li",
    { class: "room" },
    h(
      "a",
      { class: "card", href: new URL(`watch/${encodeURIComponent(room.id)}`, BASE).href },
      h("div", { class: "cover" }, cover(room.id), picture, badge, since),
      h(
        "div",
        { class: "text" },
        h("span", { class: "name", title: room.id }, room.id),
        h("span", { class: "facts" }, h("span", { class: "viewers num" }, icon("eye"), viewers), facts),
      ),
    ),
  );
  return {
    root,
    since,
    draw: async (/** @type {number} */ now) => {
      if (now < due) return;
      due = Infinity;
      // Everybody asks for the same address at about the same time: one picture serves all, also from caches.
      const next = new Image();
      next.src = new URL(`thumbnails/${encodeURIComponent(room.id)}.jpg?at=${Math.floor(now / PICTURE_MS)}`, BASE).href;
      try {
        // Shown once it is whole, so that nothing flickers.
        await next.decode();
        picture.src = next.src;
        picture.hidden = false;
        due = now + PICTURE_MS;
      } catch {
        picture.hidden = true;
        due = now + NO_PICTURE_MS;
      }
    },
    update: (/** @type {import("../lib/api.js").Room} */ now) => {
      badge.className = now.fallback_since ? "badge" : "badge live";
      setText(badge, now.fallback_since ? "Away" : "Live");
      setText(viewers, viewersText(now.viewers));
      setText(facts, publicationsOf(now).filter((one) => one.kind === "video").map(publicationText)[0] ?? (publicationsOf(now).length ? "sound only" : ""));
    },
  };
}

/** Asks for pictures that are due, of rooms that somebody looks at. */
function drawPictures() {
  if (document.visibilityState === "hidden") return;
  const now = Date.now();
  for (const made of cards.values()) if (inView.has(made.root)) void made.draw(now);
}

function tick() {
  for (const [id, { since }] of cards) {
    const seconds = secondsSince(live.get(id)?.live_since, Date.now());
    setText(since, seconds === undefined ? "" : clockText(seconds));
    since.hidden = seconds === undefined;
  }
}

/**
 * Each room has its own two waters.
 * @param {string} room
 */
function cover(room) {
  const hash = hashOf(room);
  const one = 165 + (hash % 50);
  const other = 18 + ((hash >>> 8) % 34);
  const meet = 70 + ((hash >>> 16) % 40);
  const art = svg("svg", { viewBox: "0 0 320 160", preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" });
  art.append(svg("rect", { width: "320", height: "160", fill: `hsl(${one} 55% 13%)` }));
  for (let index = 0; index < 9; index += 1) {
    const upper = index % 2 === 0;
    const start = upper ? -30 + index * 11 : 190 - index * 11;
    const end = meet + (index - 4) * 8;
    const bend = 90 + ((hash >>> (index + 3)) % 60);
    art.append(
      svg("path", {
        d: `M-10 ${start}C${bend} ${start} ${bend + 30} ${end} 330 ${end}`,
        fill: "none",
        stroke: upper ? `hsl(${one} 62% 55%)` : `hsl(${other} 78% 62%)`,
        "stroke-width": String(2 + ((hash >>> index) % 4)),
        "stroke-opacity": String(0.35 + ((hash >>> (index * 2)) % 5) / 10),
      }),
    );
  }
  return art;
}

/** The lines behind the title: two rivers from the right edge's corners to one. */
function drawWaters() {
  const art = svg("svg", { viewBox: "0 0 1200 560", preserveAspectRatio: "xMaxYMid slice" });
  for (let index = 0; index < 22; index += 1) {
    const upper = index % 2 === 0;
    const place = Math.floor(index / 2);
    const start = upper ? -90 + place * 17 : 650 - place * 17;
    const end = 235 + (place - 5) * 11 + (upper ? 0 : 5);
    const bend = 470 + place * 14;
    art.append(
      svg("path", {
        d: `M420 ${start}C${bend + 140} ${start} ${bend + 130} ${end} 1240 ${end}`,
        stroke: upper ? "var(--water)" : "var(--silt)",
        "stroke-width": String(1.2 + (place % 4) * 0.9),
        "stroke-opacity": String(0.2 + ((place * 7) % 5) * 0.1),
        "stroke-dasharray": `${190 + ((index * 97) % 260)} ${14 + ((index * 5) % 12)}`,
      }),
    );
  }
  find(".waters").append(art);
}
