/**
 * The documentation: examples with this server's addresses, and the reference made from its OpenAPI document.
 *
 * Owns: rendering. Never sends a request of the API but for the document itself; readers copy command lines.
 * @module
 */

import { BASE, api } from "../lib/api.js";
import { find, h, setPageState, snippet } from "../lib/dom.js";
import { curlOf, exampleOf, fieldsOf, nameOf, operationsByTag, resolve, typeText } from "../lib/openapi.js";

/** Objects inside objects are opened this deep; beyond it the type's name has to do. */
const NESTED = 4;
const server = BASE.replace(/\/$/, "");

examples(`${server}/whip`, `${server}/whep`);
void about();
void reference();
followContents();

/**
 * @param {string} whip
 * @param {string} whep
 */
function examples(whip, whep) {
  /** @type {Record<string, string>} */
  const texts = {
    whip: `${whip.replace(/\/$/, "")}/{room}\nAuthorization: Bearer {stream key or token}`,
    whep: `${whep.replace(/\/$/, "")}/{room}`,
    frame: `<iframe src="${server}/watch/studio?embed=1" width="960" height="540"\n  allow="autoplay; fullscreen; picture-in-picture" title="studio"></iframe>`,
    element: `<script type="module" src="${server}/sdk/v1/elements.js"></script>\n<inver-player room="studio" autoplay muted controls></inver-player>`,
    player: [
      `import { PlayerEvent, WhepPlayer } from "${server}/sdk/v1/index.js";`,
      "",
      `const player = new WhepPlayer("${whep.replace(/\/$/, "")}/studio", { wait: true });`,
      "player.on(PlayerEvent.StreamChanged, (stream) => (video.srcObject = stream));",
      "player.on(PlayerEvent.StateChanged, ({ state }) => console.log(state));",
      "player.on(PlayerEvent.StatsUpdated, (stats) => console.log(stats.video?.framesPerSecond, stats.latencyMs));",
      "await player.start();",
    ].join("\n"),
    publisher: [
      `import { WhipPublisher, openSource } from "${server}/sdk/v1/index.js";`,
      "",
      'const source = await openSource("camera", { width: 1280, height: 720, frameRate: 30 });',
      `const publisher = new WhipPublisher("${whip.replace(/\/$/, "")}/studio", source.stream, {`,
      '  token, video: { codec: "H264", maxBitrate: 2_500_000, simulcast: true },',
      "});",
      "await publisher.start();",
      "await publisher.close();",
    ].join("\n"),
    token: `curl -X POST '${server}/api/v1/tokens' \\\n  -H "Authorization: Bearer $TOKEN" \\\n  -H 'Content-Type: application/json' \\\n  -d '{"room":"studio","publish":true,"subject":"ada","ttl_seconds":3600}'`,
    events: `curl -N '${server}/api/v1/events?room=studio' \\\n  -H "Authorization: Bearer $TOKEN"`,
  };
  for (const host of document.querySelectorAll("[data-snippet]")) {
    const text = texts[/** @type {HTMLElement} */ (host).dataset.snippet ?? ""];
    if (text) host.replaceChildren(snippet(text, "Copy"));
  }
}

async function about() {
  try {
    /** @type {import("../lib/api.js").ServerInfo} */
    const info = await api("server");
    find("#about").textContent = `Inver ${info.version}`;
    examples(info.whip_url, info.whep_url);
    if (info.open) find("#openness").prepend(h("strong", {}, "This server is open: nothing needs a key here. "));
  } catch {
    // The examples stay with this page's own address.
  }
}

async function reference() {
  const host = find("#reference");
  /** @type {Record<string, any>} */
  let openapi;
  try {
    const response = await fetch(new URL("api/openapi.json", BASE), { headers: { accept: "application/json" } });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    openapi = await response.json();
  } catch (cause) {
    const trouble = find("#trouble");
    trouble.textContent = `The reference cannot be shown: ${cause instanceof Error ? cause.message : cause}.`;
    trouble.hidden = false;
    host.replaceChildren();
    setPageState("error");
    return;
  }
  const groups = [...operationsByTag(openapi)].map(([tag, group]) =>
    h(
      "section",
      { class: "group" },
      h("h3", {}, tag),
      group.description && h("p", { class: "soft small" }, ...prose(group.description)),
      ...group.operations.map((operation) => card(openapi, operation)),
    ),
  );
  host.replaceChildren(...groups);
  const input = /** @type {HTMLInputElement} */ (find("#find"));
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const one of /** @type {NodeListOf<HTMLElement>} */ (host.querySelectorAll(".operation"))) {
      one.hidden = !find("summary", one).textContent?.toLowerCase().includes(wanted);
    }
    for (const group of groups) group.hidden = !group.querySelector(".operation:not([hidden])");
  });
  setPageState("idle");
  // The address may name an operation, which did not exist when the browser looked.
  const target = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}

/**
 * Text with `code` between backquotes.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
function prose(text) {
  return text.split(/`([^`]+)`/).map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/**
 * @param {Record<string, any>} openapi
 * @param {import("../lib/openapi.js").Operation} operation
 */
function card(openapi, operation) {
  const body = h("div", { class: "body" });
  const details = h(
    "details",
    { class: "card operation", id: operation.id },
    h(
      "summary",
      {},
      h("span", { class: `method ${operation.method}` }, operation.method),
      h("span", { class: "path" }, operation.path),
      h("span", { class: "soft" }, ...prose(operation.summary)),
    ),
    body,
  );
  details.addEventListener("toggle", () => {
    if (body.childElementCount === 0) fill(openapi, operation, body);
  });
  return details;
}

/**
 * @param {Record<string, any>} openapi
 * @param {import("../lib/openapi.js").Operation} operation
 * @param {HTMLElement} body
 */
function fill(openapi, operation, body) {
  const { description, parameters, responses } = operation;
  const part = (/** @type {string} */ title, /** @type {(Node | string)[]} */ ...content) => h("div", {}, h("h4", {}, title), ...content);
  if (description) body.append(h("p", {}, ...prose(description)));
  if (parameters.length > 0) {
    body.append(
      part(
        "Parameters",
        table(
          parameters.map((one) =>
            line(one.name, `${typeText(openapi, one.schema)}, ${one.in}`, one.required === true, [...prose(String(one.description ?? ""))]),
          ),
        ),
      ),
    );
  }
  for (const [type, schema] of operation.body?.types ?? []) {
    body.append(part(`Body: ${type}${operation.body?.required ? "" : ", optional"}`, ...schemaView(openapi, schema)));
  }
  body.append(part("Command line", snippet(curlOf(openapi, operation, server), "Copy the command line")));
  body.append(
    part(
      "Answers",
      table(
        responses.map(({ status, description: text, types }) =>
          line(status, types.map(([type, schema]) => nameOf(schema) ?? type).join(", ") || "no body", false, [
            ...prose(text),
            ...types
              .filter(([type]) => /json/.test(type) && Number(status) < 400)
              .map(([, schema]) =>
                nestedView("Fields", () => [
                  ...schemaView(openapi, schema),
                  snippet(JSON.stringify(exampleOf(openapi, schema) ?? {}, null, 2), "Copy the example"),
                ]),
              ),
          ]),
        ),
      ),
    ),
  );
}

/** @param {HTMLTableRowElement[]} rows */
const table = (rows) => h("table", { class: "fields" }, h("tbody", {}, ...rows));

/**
 * @param {string} name
 * @param {string} type
 * @param {boolean} needed
 * @param {(Node | string)[]} text
 */
function line(name, type, needed, text) {
  return h("tr", {}, h("td", {}, h("code", {}, name), needed && h("span", { class: "needed", title: "required" }, " *")), h("td", {}, type), h("td", {}, ...text));
}

/**
 * @param {Record<string, any>} openapi
 * @param {any} schema
 * @param {number} [depth]
 * @returns {HTMLElement[]}
 */
function schemaView(openapi, schema, depth = 0) {
  const meant = resolve(openapi, schema);
  const choices = (meant.oneOf ?? meant.anyOf ?? []).filter((/** @type {any} */ one) => one?.type !== "null");
  const fields = fieldsOf(openapi, schema);
  if (fields.length > 0) {
    return [
      table(
        fields.map((field) => {
          const inner = depth < NESTED && fieldsOf(openapi, objectOf(openapi, field.schema)).length > 0;
          return line(field.name, typeText(openapi, field.schema), field.required, [
            ...prose(field.description),
            ...(inner ? [" ", nestedView("Fields", () => schemaView(openapi, objectOf(openapi, field.schema), depth + 1))] : []),
          ]);
        }),
      ),
    ];
  }
  if (choices.length > 1 && depth < NESTED) {
    return choices.flatMap((/** @type {any} */ one) => [h("p", { class: "soft small" }, typeText(openapi, one)), ...schemaView(openapi, one, depth + 1)]);
  }
  return [h("p", { class: "soft small" }, typeText(openapi, schema))];
}

/**
 * The object that a field holds, also where it may be null.
 * @param {Record<string, any>} openapi
 * @param {any} schema
 */
function objectOf(openapi, schema) {
  const choice = (schema?.oneOf ?? schema?.anyOf)?.find((/** @type {any} */ one) => one?.type !== "null");
  return resolve(openapi, choice ?? schema);
}

/**
 * @param {string} title
 * @param {() => (Node | string)[]} make Called when it is first opened; schemas may contain themselves.
 */
function nestedView(title, make) {
  const inside = h("div", { class: "nested" });
  const details = h("details", {}, h("summary", {}, title), inside);
  details.addEventListener("toggle", (event) => {
    event.stopPropagation();
    if (inside.childElementCount === 0) inside.append(...make());
  });
  return details;
}

/** Marks the section that is read. */
function followContents() {
  const links = [...document.querySelectorAll("#contents a")];
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        for (const link of links) {
          if (link.getAttribute("href") === `#${target.id}`) link.setAttribute("aria-current", "true");
          else link.removeAttribute("aria-current");
        }
      }
    },
    { rootMargin: "-90px 0px -70% 0px" },
  );
  for (const section of document.querySelectorAll("main > section")) observer.observe(section);
}
