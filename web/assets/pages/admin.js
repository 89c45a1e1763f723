/**
 * The administration page.
 *
 * Owns: the rooms' list and what can be done to them. The token stays in this tab: it comes from the fragment of the printed
 * link or from the form, and travels in a header only.
 * @module
 */

import { isRoomId, roomIdProblem } from "../../sdk/v1/room.js";
import { ApiError, BASE, api, followEvents, publicationsOf, roomPath, tabStore, takeFromFragment } from "../lib/api.js";
import { find, h, setFigures, setPageState, setText, snippet, toast } from "../lib/dom.js";
import { fallback } from "../lib/fallback.js";
import { doorText, feedsOf } from "../lib/feed.js";
import { bitrateText, msText, publicationText, secondsSince, sentenceText, shareText, spanText } from "../lib/format.js";
import { restreams } from "../lib/restreams.js";

const TOKEN = "inver.admin";
/** Figures change every second on the server; the page asks every other. */
const POLL_MS = 2_000;
const SETTLE_MS = 150;
/** Loss above this is shown as a fault: 2 % is where pictures begin to break. */
const BAD_LOSS = 0.02;

let token = takeFromFragment("token") || tabStore.get(TOKEN);
let open = false;
/** @type {import("../lib/api.js").Room[]} */
let rooms = [];
/** @type {Map<string, ReturnType<typeof row>>} */
const rows = new Map();
/** @type {AbortController | undefined} */
let working;

wire();
void begin();

async function begin() {
  setPageState("loading");
  try {
    /** @type {import("../lib/api.js").ServerInfo} */
    const server = await api("server");
    open = server.open;
    find("#about").textContent = `Inver ${server.version}`;
  } catch (cause) {
    // A server that cannot be reached may come back: the desk says so and goes on asking.
    open = !(cause instanceof ApiError) || cause.status === 0;
  }
  if (!open && !token) signIn("");
  else await work();
}

/** @param {string} problem */
function signIn(problem) {
  working?.abort();
  working = undefined;
  find("#desk").hidden = true;
  find("#sign-in").hidden = false;
  const error = find("#token-error");
  error.hidden = problem === "";
  error.textContent = problem;
  setPageState("idle");
  find("#token").focus();
}

async function work() {
  try {
    await refresh();
    // Reading rooms may be open to everybody; only an administrator may list keys or follow all events.
    if (!open && !(await isAdmin())) throw new ApiError(401, "This token is not an administrator's.");
  } catch (cause) {
    if (cause instanceof ApiError && (cause.status === 401 || cause.status === 403)) {
      token = "";
      tabStore.set(TOKEN, "");
      signIn(cause.message);
      return;
    }
  }
  tabStore.set(TOKEN, token);
  find("#sign-in").hidden = true;
  find("#desk").hidden = false;
  find("#sign-out").hidden = open || !token;
  working?.abort();
  working = new AbortController();
  const { signal } = working;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let settling;
  const soon = () => {
    settling ??= setTimeout(() => {
      settling = undefined;
      if (!signal.aborted) void refresh().catch(() => {});
    }, SETTLE_MS);
  };
  const timer = setInterval(() => document.visibilityState === "visible" && void refresh().catch(() => {}), POLL_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  void followEvents({
    token,
    signal,
    onEvent: soon,
    onState: (connected, status) => {
      const badge = find("#link");
      badge.className = connected ? "badge good" : "badge warn";
      setText(badge, connected ? "Live" : status === 401 || status === 403 ? "Every 2 s" : "Reconnecting");
      setPageState(connected ? "live" : "connecting");
    },
  });
}

/** @returns {Promise<boolean>} */
async function isAdmin() {
  const probe = new AbortController();
  try {
    const response = await fetch(new URL("api/v1/events", BASE), {
      headers: { authorization: `Bearer ${token}`, accept: "text/event-stream" },
      signal: probe.signal,
    });
    return response.ok;
  } finally {
    probe.abort();
  }
}

async function refresh() {
  try {
    ({ rooms } = await api("rooms", { token: token || undefined }));
    find("#trouble").hidden = true;
  } catch (cause) {
    const trouble = find("#trouble");
    setText(trouble, cause instanceof Error ? cause.message : String(cause));
    trouble.hidden = false;
    throw cause;
  } finally {
    show();
  }
}

function show() {
  const filter = /** @type {HTMLInputElement} */ (find("#filter")).value.trim().toLowerCase();
  const shown = rooms
    .filter((room) => room.id.toLowerCase().includes(filter))
    .sort((one, other) => Number(other.live) - Number(one.live) || other.viewers - one.viewers || one.id.localeCompare(other.id));
  const list = find("#rooms");
  for (const [id, made] of rows) {
    if (!shown.some((room) => room.id === id)) {
      made.root.remove();
      rows.delete(id);
    }
  }
  shown.forEach((room, index) => {
    let made = rows.get(room.id);
    if (!made) rows.set(room.id, (made = row(room.id)));
    made.update(room);
    if (list.children[index] !== made.root) list.insertBefore(made.root, list.children[index] ?? null);
  });
  find("#empty").hidden = rooms.length > 0;
  find(".filter").hidden = rooms.length < 8 && filter === "";
  showTiles();
}

/** @param {import("../lib/api.js").Room} room */
const sessionsOf = (room) => (room.participants ?? []).flatMap((participant) => participant.sessions ?? []);

function showTiles() {
  const sessions = rooms.flatMap(sessionsOf);
  const sum = (/** @type {(session: import("../lib/api.js").Session) => number} */ value) => sessions.reduce((all, one) => all + value(one), 0);
  /** @type {[string, string][]} */
  const tiles = [
    ["live", String(rooms.filter((room) => room.live).length)],
    ["rooms", String(rooms.length)],
    ["watching", rooms.reduce((all, room) => all + room.viewers, 0).toLocaleString("en")],
    ["sessions", sessions.length.toLocaleString("en")],
    ["coming in", bitrateText(sum((session) => session.stats.bitrate_in))],
    ["going out", bitrateText(sum((session) => session.stats.bitrate_out))],
  ];
  const host = find("#tiles");
  setFigures(host, tiles);
}

/**
 * One room of the list; what it holds is built when it is opened.
 * @param {string} id
 */
function row(id) {
  const badge = h("span", { class: "badge" });
  const cells = ["watching", "in", "out", "loss"].map((name) => h("span", { class: "cell" }, h("span"), h("small", {}, name)));
  const inside = h("div", { class: "inside" });
  const details = h("details", {}, h("summary", {}, h("span", { class: "name" }, id), badge, h("span", { class: "cells" }, ...cells)), inside);
  const root = h("li", { class: "card" }, details);
  /** @type {ReturnType<typeof contents> | undefined} */
  let opened;
  /** @type {import("../lib/api.js").Room | undefined} */
  let last;
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    opened ??= contents(id, inside, () => details.open && root.isConnected);
    if (last) opened.update(last);
    opened.load();
  });
  return {
    root,
    update: (/** @type {import("../lib/api.js").Room} */ room) => {
      last = room;
      badge.className = room.fallback_since ? "badge warn" : room.live ? "badge live" : "badge";
      setText(badge, room.fallback_since ? "Fallback" : room.live ? "Live" : "Idle");
      const sessions = sessionsOf(room);
      const loss = sessions.reduce((most, one) => Math.max(most, one.stats.loss), 0);
      const values = [
        room.viewers.toLocaleString("en"),
        bitrateText(sessions.reduce((all, one) => all + one.stats.bitrate_in, 0)),
        bitrateText(sessions.reduce((all, one) => all + one.stats.bitrate_out, 0)),
        shareText(loss),
      ];
      cells.forEach((cell, index) => setText(find("span", cell), values[index] ?? ""));
      cells[3]?.classList.toggle("bad", loss > BAD_LOSS);
      if (details.open) opened?.update(room);
    },
  };
}

/**
 * What an opened room shows.
 * @param {string} id
 * @param {HTMLElement} host
 * @param {() => boolean} shown
 */
function contents(id, host, shown) {
  const facts = h("p", { class: "soft small" });
  const warnings = h("div", { class: "stack" });
  const inputs = h("div", { class: "stack" });
  const input = h("section", { hidden: true }, h("h3", {}, "Input"), inputs);
  const sessions = h("tbody");
  const none = h("p", { class: "soft small" }, "Nobody is here.");
  const table = h(
    "div",
    { class: "table" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...["Participant", "Door", "State", "Since", "From", "Bitrate", "Loss", "Round trip", ""].map((name) => h("th", { scope: "col" }, name)))),
      sessions,
    ),
  );
  const keys = h("div");
  const label = h("input", { type: "text", placeholder: "Label, such as “OBS in the studio”", "aria-label": "Label of the new key", maxlength: 64 });
  const form = h("form", { class: "key-form" }, label, h("button", { class: "button slim", type: "submit" }, "New key"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(async () => {
      const made = await api(`${roomPath(id)}/keys`, { method: "POST", token, body: label.value.trim() ? { label: label.value.trim() } : {} });
      label.value = "";
      showSecret(id, made);
      await loadKeys();
    });
  });
  const elsewhere = restreams(id, { token: () => token, attempt, ask, shown });
  const standIn = fallback(id, { token: () => token, attempt, shown });
  const path = encodeURIComponent(id);
  host.append(
    h(
      "section",
      {},
      h(
        "div",
        { class: "row" },
        h("a", { class: "button slim", href: new URL(`watch/${path}`, BASE).href }, "Watch"),
        h("a", { class: "button slim", href: new URL(`publish/${path}`, BASE).href }, "Publish page"),
        h("button", { class: "button slim danger", type: "button", onclick: () => void closeRoom(id) }, "Close room"),
      ),
      facts,
      warnings,
    ),
    input,
    h("section", {}, h("h3", {}, "Sessions"), none, table),
    h("section", {}, h("h3", {}, "Stream keys"), keys, form),
    elsewhere.root,
    standIn.root,
  );

  const loadKeys = async () => {
    try {
      const { keys: list } = /** @type {{ keys: import("../lib/api.js").Key[] }} */ (await api(`${roomPath(id)}/keys`, { token }));
      keys.replaceChildren(list.length === 0 ? h("p", { class: "soft small" }, "No keys yet.") : keyTable(id, list, loadKeys));
    } catch (cause) {
      keys.replaceChildren(h("p", { class: "soft small" }, cause instanceof Error ? cause.message : String(cause)));
    }
  };

  return {
    load: () => {
      void loadKeys();
      elsewhere.load();
      standIn.load();
    },
    update: (/** @type {import("../lib/api.js").Room} */ room) => {
      const now = Date.now();
      const media = publicationsOf(room).map(publicationText).filter(Boolean);
      setText(
        facts,
        [
          room.kind,
          room.number === undefined ? "" : `number ${room.number}`,
          room.configured ? "kept over restarts" : "goes away when empty",
          room.keyed ? "needs a stream key" : "open to publishers",
          room.fallback_since ? `without its publisher for ${spanText(secondsSince(room.fallback_since, now) ?? 0)}` : "",
          room.live_since ? `live for ${spanText(secondsSince(room.live_since, now) ?? 0)}` : "",
          ...media,
        ]
          .filter(Boolean)
          .join(" · "),
      );
      const said = (room.warnings ?? []).map((warning) => sentenceText(warning.message));
      if ([...warnings.children].map((one) => one.textContent).join() !== said.join()) {
        warnings.replaceChildren(...said.map((message) => h("p", { class: "notice" }, message)));
      }
      const feeds = room.live ? feedsOf(room, now) : [];
      input.hidden = feeds.length === 0;
      if (inputs.childElementCount !== feeds.length) {
        inputs.replaceChildren(...feeds.map(() => h("div", { class: "input" }, h("p", { class: "label" }), h("dl", { class: "figures" }))));
      }
      feeds.forEach((feed, index) => {
        const made = inputs.children[index];
        if (!made) return;
        const title = feeds.length > 1 ? `${feed.participant}: ${feed.title}` : feed.title;
        setText(find("p", made), feed.agent ? `${title} (${feed.agent})` : title);
        setFigures(find("dl", made), feed.facts);
      });
      const list = sessionsOf(room).sort((one, other) => one.direction.localeCompare(other.direction) || one.id - other.id);
      none.hidden = list.length > 0;
      table.hidden = list.length === 0;
      updateSessions(id, sessions, list, now);
    },
  };
}

/**
 * Brings the table's rows up to date in place, so that a button under the pointer stays where it is.
 * @param {string} room
 * @param {HTMLElement} body
 * @param {import("../lib/api.js").Session[]} list
 * @param {number} now
 */
function updateSessions(room, body, list, now) {
  for (const old of [...body.children]) {
    if (!list.some((session) => String(session.id) === /** @type {HTMLElement} */ (old).dataset.session)) old.remove();
  }
  list.forEach((session, index) => {
    let line = /** @type {HTMLElement | null} */ (body.querySelector(`[data-session="${session.id}"]`));
    if (!line) {
      line = sessionLine(room, session);
    }
    if (body.children[index] !== line) body.insertBefore(line, body.children[index] ?? null);
    const { stats } = session;
    const values = [
      session.participant,
      `${doorText(session.door)} ${session.direction === "publish" ? "in" : "out"}`,
      session.state,
      spanText(secondsSince(session.since, now) ?? 0),
      session.remote ?? "–",
      bitrateText(session.direction === "publish" ? stats.bitrate_in : stats.bitrate_out),
      shareText(stats.loss),
      msText(stats.round_trip_ms),
    ];
    values.forEach((value, cell) => setText(find("span", /** @type {Element} */ (line?.children[cell])), value));
    setText(find(".layer", line), [session.transport?.toUpperCase(), stats.rid ? `layer ${stats.rid}` : ""].filter(Boolean).join(", "));
    line.children[6]?.classList.toggle("bad", stats.loss > BAD_LOSS);
  });
}

/**
 * @param {string} room
 * @param {import("../lib/api.js").Session} session
 */
function sessionLine(room, session) {
  const names = ["Participant", "Door", "State", "Since", "From", "Bitrate", "Loss", "Round trip"];
  const cells = names.map((name) => h("td", { "data-name": name }, h("div", {}, h("span"))));
  const agent = h("span", { class: "soft", title: session.user_agent }, session.user_agent ?? "");
  cells[0]?.firstElementChild?.append(agent);
  cells[5]?.firstElementChild?.append(h("span", { class: "soft layer" }));
  const path = roomPath(room);
  return h(
    "tr",
    { "data-session": session.id },
    ...cells,
    h(
      "td",
      { class: "act" },
      h(
        "button",
        {
          class: "button tiny danger",
          type: "button",
          "aria-label": `End session ${session.id} of ${session.participant}`,
          onclick: () => void attempt(() => api(`${path}/sessions/${session.id}`, { method: "DELETE", token }), "Session ended"),
        },
        "End",
      ),
      h(
        "button",
        {
          class: "button tiny danger",
          type: "button",
          "aria-label": `Kick ${session.participant} out of the room`,
          onclick: async () => {
            if (!(await ask(`Kick ${session.participant}?`, "All of their sessions in this room end. They may come back unless their key is withdrawn.", "Kick"))) return;
            await attempt(() => api(`${path}/participants/${encodeURIComponent(session.participant)}`, { method: "DELETE", token }), "Kicked");
          },
        },
        "Kick",
      ),
    ),
  );
}

/**
 * @param {string} room
 * @param {import("../lib/api.js").Key[]} list
 * @param {() => Promise<void>} reload
 */
function keyTable(room, list, reload) {
  const now = Date.now();
  const ago = (/** @type {string | undefined} */ time) => {
    const seconds = secondsSince(time, now);
    return seconds === undefined ? "never" : `${spanText(seconds)} ago`;
  };
  const path = (/** @type {string} */ key) => `${roomPath(room)}/keys/${encodeURIComponent(key)}`;
  return h(
    "div",
    { class: "table" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...["Label", "Key", "Made", "Last used", ""].map((name) => h("th", { scope: "col" }, name)))),
      h(
        "tbody",
        {},
        ...list.map((key) =>
          h(
            "tr",
            {},
            h("td", { "data-name": "Label" }, key.label ?? "–"),
            h("td", { "data-name": "Key" }, key.id),
            h("td", { "data-name": "Made" }, ago(key.created_at)),
            h("td", { "data-name": "Last used" }, ago(key.last_used_at)),
            h(
              "td",
              { class: "act" },
              h(
                "button",
                {
                  class: "button tiny",
                  type: "button",
                  onclick: async () => {
                    if (!(await ask("Make a new secret?", "The old one stops working at once; the encoder needs the new one.", "Make a new one"))) return;
                    await attempt(async () => {
                      showSecret(room, await api(`${path(key.id)}/rotate`, { method: "POST", token }));
                      await reload();
                    });
                  },
                },
                "Rotate",
              ),
              h(
                "button",
                {
                  class: "button tiny danger",
                  type: "button",
                  onclick: async () => {
                    if (!(await ask("Delete this key?", "Who uses it can no longer publish.", "Delete"))) return;
                    await attempt(async () => {
                      await api(path(key.id), { method: "DELETE", token });
                      await reload();
                    }, "Key deleted");
                  },
                },
                "Delete",
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

/** @param {string} id */
async function closeRoom(id) {
  if (!(await ask(`Close ${id}?`, "Everybody in it is sent away, and its settings and keys are forgotten.", "Close room"))) return;
  await attempt(async () => {
    await api(roomPath(id), { method: "DELETE", token });
    await refresh();
  }, "Room closed");
}

/**
 * @param {string} room
 * @param {import("../lib/api.js").CreatedKey} key
 */
function showSecret(room, key) {
  const link = new URL(`publish/${encodeURIComponent(room)}`, BASE);
  link.hash = `key=${encodeURIComponent(key.stream_key)}`;
  find("#secret-stream").replaceChildren(snippet(key.stream_key, "Copy the stream key"));
  find("#secret-link").replaceChildren(snippet(link.href, "Copy the link"));
  const dialog = /** @type {HTMLDialogElement} */ (find("#secret-dialog"));
  dialog.addEventListener(
    "close",
    () => {
      find("#secret-stream").replaceChildren();
      find("#secret-link").replaceChildren();
    },
    { once: true },
  );
  dialog.showModal();
}

/**
 * @param {string} title
 * @param {string} text
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
function ask(title, text, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (find("#ask-dialog"));
  find("#ask-title").textContent = title;
  find("#ask-text").textContent = text;
  find("#ask-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

/**
 * @param {() => Promise<unknown>} action
 * @param {string} [done]
 */
async function attempt(action, done) {
  try {
    await action();
    if (done) toast(done);
    await refresh();
  } catch (cause) {
    toast(cause instanceof Error ? cause.message : String(cause), true);
  }
}

function wire() {
  // The printed link may be opened where the page is open already.
  addEventListener("hashchange", () => {
    const given = takeFromFragment("token");
    if (!given) return;
    token = given;
    void work();
  });
  find("#token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const input = /** @type {HTMLInputElement} */ (find("#token"));
    token = input.value.trim();
    input.value = "";
    if (token) void work();
  });
  find("#sign-out").addEventListener("click", () => {
    token = "";
    tabStore.set(TOKEN, "");
    signIn("");
  });
  find("#filter").addEventListener("input", show);
  const dialog = /** @type {HTMLDialogElement} */ (find("#create-dialog"));
  const id = /** @type {HTMLInputElement} */ (find("#new-id"));
  const error = find("#create-error");
  const say = (/** @type {string} */ problem) => {
    error.hidden = problem === "";
    error.textContent = problem;
    id.setAttribute("aria-invalid", String(problem !== ""));
  };
  find("#create").addEventListener("click", () => {
    /** @type {HTMLFormElement} */ (find("#create-form")).reset();
    say("");
    dialog.showModal();
    id.focus();
  });
  id.addEventListener("input", () => say(id.value ? (roomIdProblem(id.value) ?? "") : ""));
  find("#create-form").addEventListener("submit", async (event) => {
    const { submitter } = /** @type {SubmitEvent} */ (event);
    if (/** @type {HTMLButtonElement | null} */ (submitter)?.value === "cancel") return;
    event.preventDefault();
    const name = id.value.trim();
    if (!isRoomId(name)) {
      say(roomIdProblem(name) ?? "");
      id.focus();
      return;
    }
    const keyed = /** @type {HTMLInputElement} */ (find("#new-keyed")).checked;
    const most = Number(/** @type {HTMLInputElement} */ (find("#new-most")).value);
    try {
      await api("rooms", {
        method: "POST",
        token,
        body: {
          id: name,
          keyed,
          wait_for_publisher: /** @type {HTMLInputElement} */ (find("#new-wait")).checked,
          ...(most > 0 && { max_viewers: Math.floor(most) }),
        },
      });
      dialog.close();
      await refresh();
      if (keyed) showSecret(name, await api(`${roomPath(name)}/keys`, { method: "POST", token, body: {} }));
    } catch (cause) {
      if (dialog.open) say(cause instanceof Error ? cause.message : String(cause));
      else toast(cause instanceof Error ? cause.message : String(cause), true);
    }
  });
}
