/**
 * The page of recordings.
 *
 * Owns: the list, playing a file, stopping and deleting. The token stays in this tab and travels in a header only; files are
 * fetched by links that the server signs for a while.
 * @module
 */

import { ApiError, BASE, api, roomPath, tabStore, takeFromFragment } from "../lib/api.js";
import { find, h, setPageState, setText, toast } from "../lib/dom.js";
import { clockText, countText, sizeText } from "../lib/format.js";

/**
 * @typedef {{ name: string, participant: string, codecs: string[], offset_ms: number, duration_ms: number, size_bytes: number,
 *   gaps: number, finished: boolean, place: "disk" | "both" | "storage", url: string }} RecordedFile
 * @typedef {{ location: string, state: "waiting" | "uploading" | "failing" | "complete", trouble?: string }} Stored
 * @typedef {{ id: string, room: string, state: "recording" | "finishing" | "finished", started_at: string, duration_ms: number,
 *   size_bytes: number, participants: string[], warnings: string[], files: RecordedFile[], storage?: Stored,
 *   preview?: { name: string, width: number, height: number, url: string } }} Recording
 */

/** The administration page keeps it under the same name. */
const TOKEN = "inver.admin";
const POLL_MS = 3_000;

let token = takeFromFragment("token") || tabStore.get(TOKEN);
/** What is shown, as text: the list is built anew only when something changed. */
let shown = "";
/** @type {ReturnType<typeof setInterval> | undefined} */
let polling;

wire();
void work();

function wire() {
  find("#token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token = /** @type {HTMLInputElement} */ (find("#token")).value.trim();
    void work();
  });
}

/** @param {string} problem */
function signIn(problem) {
  clearInterval(polling);
  find("#desk").hidden = true;
  find("#sign-in").hidden = false;
  const error = find("#token-error");
  error.hidden = problem === "";
  error.textContent = problem;
  setPageState("idle");
  find("#token").focus();
}

async function work() {
  const shownBefore = token;
  if (!(await refresh())) {
    const asked = shownBefore ? "This token does not administer this server." : "";
    token = "";
    tabStore.set(TOKEN, "");
    signIn(asked);
    return;
  }
  tabStore.set(TOKEN, token);
  find("#sign-in").hidden = true;
  find("#desk").hidden = false;
  setPageState("live");
  clearInterval(polling);
  polling = setInterval(() => document.visibilityState === "visible" && void refresh(), POLL_MS);
}

/** @returns {Promise<boolean>} Whether the token is good. */
async function refresh() {
  const trouble = find("#trouble");
  try {
    /** @type {{ recordings: Recording[] }} */
    const { recordings } = await api("recordings", { token: token || undefined });
    trouble.hidden = true;
    show(recordings);
  } catch (cause) {
    if (cause instanceof ApiError && (cause.status === 401 || cause.status === 403)) return false;
    setText(trouble, cause instanceof Error ? cause.message : String(cause));
    trouble.hidden = false;
  }
  return true;
}

/** @param {Recording[]} recordings */
function show(recordings) {
  // Links differ at every answer; they alone are no change.
  const text = JSON.stringify(recordings, (name, value) => (name === "url" ? undefined : value));
  if (text === shown) return;
  shown = text;
  find("#recordings").replaceChildren(...recordings.map(row));
  find("#empty").hidden = recordings.length > 0;
}

/** @param {Recording} recording */
function row(recording) {
  const goesOn = recording.state !== "finished";
  const act = goesOn
    ? h("button", { class: "button slim", type: "button", onclick: () => void stop(recording) }, "Stop")
    : h("button", { class: "button slim quiet", type: "button", onclick: () => void remove(recording) }, "Delete");
  const facts = [
    new Date(recording.started_at).toLocaleString(),
    clockText(Math.round(recording.duration_ms / 1000)),
    sizeText(recording.size_bytes),
    countText(recording.participants.length, "participant", "participants"),
  ].join(" · ");
  return h(
    "li",
    { class: "card recording" },
    ...previewOf(recording),
    h("div", { class: "head" }, h("h2", {}, recording.room), goesOn ? h("span", { class: "badge live" }, "Recording") : "", act),
    h("p", { class: "soft num" }, facts),
    ...recording.warnings.map((warning) => h("p", { class: "notice bad" }, warning)),
    ...(recording.storage ? [storageLine(recording.storage)] : []),
    h("ul", {}, ...recording.files.map((file) => fileRow(file, recording))),
  );
}

/** @param {Recording} recording */
function previewOf(recording) {
  const { preview } = recording;
  if (!preview) return [];
  const src = linkTo(recording.id, preview);
  return [h("img", { class: "preview", src, alt: "", width: String(preview.width), height: String(preview.height), loading: "lazy" })];
}

/**
 * The signed query on this page's own address: a proxy may show the server under another one.
 * @param {string} id
 * @param {{ name: string, url: string }} file
 */
function linkTo(id, file) {
  return new URL(`api/v1/recordings/${id}/files/${file.name}${new URL(file.url).search}`, BASE).href;
}

/** @param {Stored} storage How the recording's way into object storage stands. */
function storageLine(storage) {
  if (storage.trouble) return h("p", { class: "notice bad" }, `Not in ${storage.location} yet: ${storage.trouble}`);
  const said = {
    waiting: "Finished files wait for their upload to",
    uploading: "Is being uploaded to",
    failing: "Not yet in",
    complete: "Uploaded to",
  }[storage.state];
  return h("p", { class: "soft" }, `${said} ${storage.location}`);
}

/**
 * @param {RecordedFile} file
 * @param {Recording} recording
 */
function fileRow(file, recording) {
  const facts = [file.participant, file.codecs.join(", "), `at ${clockText(Math.round(file.offset_ms / 1000))}`,
    clockText(Math.round(file.duration_ms / 1000)), sizeText(file.size_bytes)];
  if (file.gaps > 0) facts.push(countText(file.gaps, "gap", "gaps"));
  const link = linkTo(recording.id, file);
  const name = `${recording.id}-${file.participant}-${file.name}`;
  return h(
    "li",
    {},
    h("span", { class: "soft num" }, facts.join(" · ")),
    h("button", { class: "button slim primary", type: "button", onclick: () => play(link) }, "Play"),
    h("a", { class: "button slim quiet", href: link, download: name }, "Download"),
  );
}

/** @param {string} url */
function play(url) {
  const player = /** @type {HTMLVideoElement} */ (find("#player"));
  player.hidden = false;
  player.src = url;
  player.play().catch(() => toast("This browser cannot play the file; download it instead.", true));
  player.scrollIntoView({ block: "nearest" });
}

/** @param {Recording} recording */
async function stop(recording) {
  await change(`${roomPath(recording.room)}/recordings/${recording.id}`);
}

/** @param {Recording} recording */
async function remove(recording) {
  const dialog = /** @type {HTMLDialogElement} */ (find("#ask-dialog"));
  setText(find("#ask-text"), `${recording.id} with ${countText(recording.files.length, "file", "files")} is gone then.`);
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue === "yes") await change(`recordings/${recording.id}`);
}

/** @param {string} path What is deleted. */
async function change(path) {
  try {
    await api(path, { method: "DELETE", token: token || undefined });
  } catch (cause) {
    toast(cause instanceof Error ? cause.message : String(cause), true);
  }
  await refresh();
}
