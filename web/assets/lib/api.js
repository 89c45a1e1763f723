/**
 * The control API as the pages use it.
 *
 * Owns: the base address, requests with the administrator's or publisher's token, the event stream. Never keeps a token
 * longer than the browser tab.
 * @module
 */

/** Address that all pages and interfaces are below; this module is at `assets/lib/`. */
export const BASE = new URL("../../", import.meta.url).href;

/**
 * @typedef {{ version: string, open: boolean, uptime_seconds: number, rooms_live: number, viewers: number,
 *   whip_url: string, whep_url: string, hls?: boolean, encoders?: EncoderPorts, draining: boolean }} ServerInfo
 * @typedef {{ rtmp?: number, rtmps?: number, rtsp?: number, srt?: number, ftl?: number }} EncoderPorts Port of each door; absent where it is off.
 * @typedef {{ rid?: string, width?: number, height?: number, frames_per_second: number, bitrate: number,
 *   keyframe_interval_ms?: number, active: boolean, spatial_layers: number, temporal_layers: number }} Layer
 * @typedef {{ kind: "audio" | "video", codec?: string, loss: number, layers: Layer[] }} Publication
 * @typedef {{ round_trip_ms?: number, bitrate_in: number, bitrate_out: number, loss: number, nacks: number,
 *   keyframe_requests: number, estimate?: number, rid?: string, spatial?: number, temporal?: number }} SessionStats
 * @typedef {{ id: number, participant: string, door: string, direction: "publish" | "subscribe", state: string, since: string,
 *   remote?: string, user_agent?: string, transport?: string, stats: SessionStats }} Session
 * @typedef {{ id: string, publishing: boolean, sessions?: Session[], publications?: Publication[] }} Participant
 * @typedef {{ kind: string, message: string }} Warning
 * @typedef {{ id: string, kind: string, number?: number, keyed?: boolean, configured?: boolean, live: boolean, viewers: number,
 *   created_at?: string, live_since?: string, fallback_since?: string, participants?: Participant[], publications?: Publication[], warnings?: Warning[] }} Room
 * @typedef {{ id: string, label?: string, created_at: string, last_used_at?: string }} Key
 * @typedef {{ id: string, label?: string, key: string, stream_key: string }} CreatedKey
 */

/** A refusal of the API, with the words of its problem document. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where the server could not be reached.
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/**
 * @param {string} path Below `/api/v1/`.
 * @param {{ method?: string, body?: unknown, token?: string, signal?: AbortSignal }} [options]
 * @returns {Promise<any>} The JSON of the answer; `undefined` where it has none.
 */
export async function api(path, { method = "GET", body, token, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const deadline = AbortSignal.timeout(10_000);
  /** @type {Response} */
  let response;
  try {
    response = await fetch(new URL(`api/v1/${path}`, BASE), {
      method,
      headers,
      cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, "The server cannot be reached.");
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => undefined);
    throw new ApiError(response.status, problem?.detail ?? problem?.title ?? `The server answered ${response.status}.`);
  }
  if (response.status === 204) return undefined;
  return response.json().catch(() => {
    throw new ApiError(response.status, "The server's answer is not understood.");
  });
}

/** @param {string} room */
export const roomPath = (room) => `rooms/${encodeURIComponent(room)}`;

/**
 * Publications of a room, whether the answer is the full form or the public one; video first.
 * @param {Room} room
 * @returns {Publication[]}
 */
export function publicationsOf(room) {
  const all = room.publications ?? (room.participants ?? []).flatMap((participant) => participant.publications ?? []);
  return [...all].sort((one, other) => other.kind.localeCompare(one.kind));
}

/** Longest unfinished line that is kept, in characters; the server sends far smaller ones. */
const LIMIT = 64 * 1024;

/**
 * Follows the event stream with a token, which `EventSource` cannot send. Reconnects with growing waits until `signal` aborts.
 * @param {{ room?: string, token?: string, signal: AbortSignal, onEvent: (name: string, data: any) => void,
 *   onState: (connected: boolean, status: number) => void }} options
 */
export async function followEvents({ room, token, signal, onEvent, onState }) {
  let last = "";
  let wait = 1000;
  const url = new URL("api/v1/events", BASE);
  if (room) url.searchParams.set("room", room);
  while (!signal.aborted) {
    let status = 0;
    try {
      /** @type {Record<string, string>} */
      const headers = { accept: "text/event-stream" };
      if (token) headers.authorization = `Bearer ${token}`;
      if (last) headers["last-event-id"] = last;
      const response = await fetch(url, { headers, cache: "no-store", signal });
      status = response.status;
      if (response.ok && response.body) {
        wait = 1000;
        onState(true, status);
        await readEvents(response.body, (event) => {
          if (event.id) last = event.id;
          if (event.name === "reset") last = "";
          onEvent(event.name, parse(event.data));
        });
      }
    } catch {
      // Reported below, then tried again.
    }
    if (signal.aborted) return;
    onState(false, status);
    // Without permission more tries change nothing.
    if (status === 401 || status === 403 || status === 404) return;
    await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
    wait = Math.min(wait * 2, 15_000);
  }
}

/**
 * Reads a stream of server-sent events to its end.
 * @param {ReadableStream<Uint8Array>} body
 * @param {(event: { name: string, data: string, id: string }) => void} onEvent
 */
export async function readEvents(body, onEvent) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = { name: "message", data: "", id: "" };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    if (rest.length > LIMIT) {
      await reader.cancel();
      return;
    }
    // A carriage return at the end may be the first half of a line's end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (event.data !== "" || event.name !== "message") onEvent(event);
        event = { name: "message", data: "", id: "" };
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") event.name = text;
      else if (field === "id") event.id = text;
      else if (field === "data") event.data += event.data === "" ? text : `\n${text}`;
    }
  }
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Takes a secret out of the address (`#name=…`), so that it is neither shared nor kept in the history.
 * @param {string} name
 * @returns {string}
 */
export function takeFromFragment(name) {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const value = parameters.get(name) ?? "";
  if (!value) return "";
  parameters.delete(name);
  const rest = parameters.toString();
  history.replaceState(history.state, "", `${location.pathname}${location.search}${rest ? `#${rest}` : ""}`);
  return value;
}

/** Values that live as long as the tab, and in memory alone where the browser stores nothing. */
export const tabStore = {
  /** @type {Map<string, string>} */
  memory: new Map(),
  /** @param {string} name */
  get(name) {
    try {
      return sessionStorage.getItem(name) ?? this.memory.get(name) ?? "";
    } catch {
      return this.memory.get(name) ?? "";
    }
  },
  /**
   * @param {string} name
   * @param {string} value
   */
  set(name, value) {
    this.memory.set(name, value);
    try {
      if (value) sessionStorage.setItem(name, value);
      else sessionStorage.removeItem(name);
    } catch {
      // Kept in memory.
    }
  },
};
