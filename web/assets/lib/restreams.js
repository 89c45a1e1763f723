/**
 * Pushes and pulls of a room, on the administration page.
 *
 * Owns: their lists, the forms that make them. Addresses hold keys: they travel to the server and are never shown again.
 * @module
 */

import { api, roomPath } from "./api.js";
import { h, setText } from "./dom.js";
import { secondsSince, spanText } from "./format.js";

/**
 * @typedef {{ state: "waiting" | "connecting" | "live" | "retrying", since: string, reason?: string, retry_at?: string }} Status
 * @typedef {{ id: string, url: string, configured: boolean, participant?: string, on_demand?: boolean, status: Status }} Restream
 */

/** How often an opened list asks anew. */
const POLL_MS = 2_000;

/**
 * How one fares, in words.
 * @param {Restream} restream
 * @param {"pushes" | "pulls"} what
 * @param {number} now Milliseconds since 1970.
 * @returns {string}
 */
export function statusText({ status, on_demand }, what, now) {
  const span = spanText(secondsSince(status.since, now) ?? 0);
  switch (status.state) {
    case "live":
      return status.reason ? `live for ${span}, but ${status.reason}` : `live for ${span}`;
    case "connecting":
      return status.reason ? `connecting again; before: ${status.reason}` : "connecting";
    case "retrying": {
      const left = status.retry_at ? Math.max(0, Math.round((Date.parse(status.retry_at) - now) / 1000)) : 0;
      return `${status.reason ?? "failed"}; next try in ${left} s`;
    }
    default:
      return what === "pushes" ? "waits for a publisher" : on_demand ? "waits for a viewer" : "begins";
  }
}

/**
 * The section of a room.
 * @param {string} room
 * @param {{ token: () => string, attempt: (action: () => Promise<unknown>, done?: string) => Promise<void>,
 *   ask: (title: string, text: string, yes: string) => Promise<boolean>, shown: () => boolean }} page
 */
export function restreams(room, page) {
  const pushes = list(room, "pushes", page);
  const pulls = list(room, "pulls", page);
  const load = () => void Promise.all([pushes.load(), pulls.load()]);
  setInterval(() => page.shown() && document.visibilityState === "visible" && load(), POLL_MS);
  return { root: h("section", { class: "restreams" }, pushes.root, pulls.root), load };
}

/**
 * @param {string} room
 * @param {"pushes" | "pulls"} what
 * @param {Parameters<typeof restreams>[1]} page
 */
function list(room, what, page) {
  const push = what === "pushes";
  const path = `${roomPath(room)}/${what}`;
  const rows = h("tbody");
  const table = h(
    "div",
    { class: "table", hidden: true },
    h("table", {}, h("thead", {}, h("tr", {}, ...[push ? "Target" : "Source", "State", ""].map((name) => h("th", { scope: "col" }, name)))), rows),
  );
  const none = h("p", { class: "soft small" }, push ? "This room is sent nowhere else." : "Nothing is brought into this room.");
  const url = h("input", {
    type: "text",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: push ? "rtmps://host/app/stream-key or srt://host:port?streamid=…" : "rtsp://user:password@camera/path, https://host/whep/room, rtmp://host/app/stream, srt://host:port or file:loop.ts",
    "aria-label": push ? "Address of the new target" : "Address of the new source",
  });
  const demand = h("input", { type: "checkbox" });
  const form = h(
    "form",
    { class: "key-form" },
    url,
    !push && h("label", { class: "soft small" }, demand, "only while watched"),
    h("button", { class: "button slim", type: "submit" }, push ? "Push there" : "Pull from there"),
  );
  const load = async () => {
    try {
      const found = await api(path, { token: page.token() || undefined });
      show(/** @type {Restream[]} */ (found[what]));
    } catch (cause) {
      table.hidden = true;
      none.hidden = false;
      setText(none, cause instanceof Error ? cause.message : String(cause));
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void page.attempt(async () => {
      const body = { url: url.value.trim(), ...(!push && { on_demand: demand.checked }) };
      await api(path, { method: "POST", token: page.token() || undefined, body });
      form.reset();
      await load();
    });
  });

  /** @param {Restream[]} found */
  function show(found) {
    table.hidden = found.length === 0;
    none.hidden = found.length > 0;
    for (const old of [...rows.children]) {
      if (!found.some((one) => one.id === /** @type {HTMLElement} */ (old).dataset.restream)) old.remove();
    }
    found.forEach((one, index) => {
      let row = /** @type {HTMLElement | null} */ (rows.querySelector(`[data-restream="${one.id}"]`));
      if (!row) row = line(one);
      if (rows.children[index] !== row) rows.insertBefore(row, rows.children[index] ?? null);
      const state = row.children[1];
      if (state) {
        setText(state, statusText(one, what, Date.now()));
        state.classList.toggle("bad", one.status.state === "retrying" || Boolean(one.status.state === "live" && one.status.reason));
      }
    });
  }

  /** @param {Restream} one */
  function line(one) {
    const remove = h(
      "button",
      {
        class: "button tiny danger",
        type: "button",
        "aria-label": `Remove ${one.url}`,
        onclick: async () => {
          const text = push ? "The room is no longer sent there." : "The stream is no longer brought here.";
          if (!(await page.ask(`Remove ${one.url}?`, text, "Remove"))) return;
          await page.attempt(async () => {
            await api(`${path}/${one.id}`, { method: "DELETE", token: page.token() || undefined });
            await load();
          }, "Removed");
        },
      },
      "Remove",
    );
    const more = [one.on_demand && "only while watched", one.configured && "from the configuration file"].filter(Boolean).join(", ");
    return h(
      "tr",
      { "data-restream": one.id },
      h("td", { "data-name": push ? "Target" : "Source" }, h("div", {}, h("span", {}, one.url), more && h("span", { class: "soft" }, more))),
      h("td", { "data-name": "State" }),
      h("td", { class: "act" }, !one.configured && remove),
    );
  }

  return { root: h("section", {}, h("h3", {}, push ? "Sent to" : "Brought from"), none, table, form), load };
}
