/**
 * Reading an OpenAPI 3.1 document.
 *
 * Owns: references, groups of operations, types as text, examples. Pure; never touches the document object model.
 * @module
 */

/**
 * @typedef {Record<string, any>} Json
 * @typedef {{ method: string, path: string, id: string, summary: string, description: string, parameters: Json[],
 *   body: { required: boolean, types: [string, Json][] } | undefined, responses: { status: string, description: string, types: [string, Json][] }[],
 *   secured: boolean }} Operation
 */

/** Deeper than this nothing is shown; it also ends cycles. */
const DEPTH = 6;
const METHODS = ["get", "post", "put", "patch", "delete", "options", "head"];

/**
 * Follows references to a value inside the document.
 * @param {Json} document
 * @param {any} value
 * @returns {Json} Empty where the reference leads nowhere.
 */
export function resolve(document, value) {
  let now = value;
  for (let hops = 0; hops < 16 && typeof now?.$ref === "string"; hops += 1) {
    if (!now.$ref.startsWith("#/")) return {};
    now = now.$ref
      .slice(2)
      .split("/")
      .reduce((/** @type {any} */ at, /** @type {string} */ part) => at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], document);
  }
  return now !== null && typeof now === "object" ? now : {};
}

/**
 * @param {any} schema
 * @returns {string | undefined} Name of a referenced schema.
 */
export function nameOf(schema) {
  return typeof schema?.$ref === "string" ? schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1) : undefined;
}

/**
 * Operations by tag, in the order of the document.
 * @param {Json} document
 * @returns {Map<string, { description: string, operations: Operation[] }>}
 */
export function operationsByTag(document) {
  /** @type {Map<string, { description: string, operations: Operation[] }>} */
  const groups = new Map();
  for (const tag of document.tags ?? []) groups.set(tag.name, { description: tag.description ?? "", operations: [] });
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const method of METHODS) {
      const operation = /** @type {Json} */ (item)[method];
      if (!operation) continue;
      const tag = operation.tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, { description: "", operations: [] });
      groups.get(tag)?.operations.push(operationOf(document, path, method, operation, /** @type {Json} */ (item)));
    }
  }
  for (const [tag, group] of groups) if (group.operations.length === 0) groups.delete(tag);
  return groups;
}

/**
 * @param {Json} document
 * @param {string} path
 * @param {string} method
 * @param {Json} operation
 * @param {Json} item
 * @returns {Operation}
 */
function operationOf(document, path, method, operation, item) {
  const body = operation.requestBody && resolve(document, operation.requestBody);
  const description = String(operation.description ?? "");
  // Without a summary the first sentence does.
  const summary = String(operation.summary ?? description.split(/(?<=\.)\s/)[0] ?? "");
  return {
    method,
    path,
    id: operation.operationId ?? `${method}-${path}`.replaceAll(/[^A-Za-z0-9]+/g, "-"),
    summary,
    description: description === summary ? "" : description,
    parameters: [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((one) => resolve(document, one)),
    body: body && { required: body.required === true, types: typesOf(body) },
    responses: Object.entries(operation.responses ?? {}).map(([status, value]) => {
      const response = resolve(document, value);
      return { status, description: String(response.description ?? ""), types: typesOf(response) };
    }),
    secured: (operation.security ?? document.security ?? []).some((/** @type {Json} */ one) => Object.keys(one).length > 0),
  };
}

/**
 * @param {Json} holder
 * @returns {[string, Json][]} Media types with their schemas.
 */
function typesOf(holder) {
  return Object.entries(holder.content ?? {}).map(([type, value]) => [type, value?.schema ?? {}]);
}

/**
 * The type of a schema in a few words.
 * @param {Json} document
 * @param {any} schema
 * @param {number} [depth]
 * @returns {string}
 */
export function typeText(document, schema, depth = 0) {
  if (depth > DEPTH || schema === null || typeof schema !== "object") return "any";
  const name = nameOf(schema);
  if (name) {
    const meant = resolve(document, schema);
    // A name says more than "object", and less than a string's or a list of words' own type.
    return meant.type === "object" || meant.properties || meant.oneOf ? name : typeText(document, meant, depth + 1);
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (Array.isArray(schema.enum)) return schema.enum.map((/** @type {unknown} */ one) => JSON.stringify(one)).join(" | ");
  for (const word of ["oneOf", "anyOf"]) {
    if (Array.isArray(schema[word])) {
      return [...new Set(schema[word].map((/** @type {any} */ one) => typeText(document, one, depth + 1)))].join(" | ");
    }
  }
  if (Array.isArray(schema.allOf)) return schema.allOf.map((/** @type {any} */ one) => typeText(document, one, depth + 1)).join(" & ");
  const types = Array.isArray(schema.type) ? schema.type : [schema.type ?? (schema.properties ? "object" : "any")];
  return types
    .map((/** @type {string} */ type) => {
      if (type === "array") return `${typeText(document, schema.items ?? {}, depth + 1)}[]`;
      return schema.format && type !== "null" ? `${type} (${schema.format})` : type;
    })
    .join(" | ");
}

/**
 * Fields of an object schema, those of `allOf` included.
 * @param {Json} document
 * @param {any} schema
 * @param {number} [depth]
 * @returns {{ name: string, schema: Json, required: boolean, description: string }[]}
 */
export function fieldsOf(document, schema, depth = 0) {
  if (depth > DEPTH) return [];
  const meant = resolve(document, schema);
  if (meant.type === "array" || meant.items) return fieldsOf(document, meant.items, depth + 1);
  const own = Object.entries(meant.properties ?? {}).map(([name, value]) => ({
    name,
    schema: /** @type {Json} */ (value),
    required: (meant.required ?? []).includes(name),
    description: String(/** @type {Json} */ (value).description ?? resolve(document, value).description ?? ""),
  }));
  const parts = [...(meant.allOf ?? []), ...(meant.oneOf?.length === 1 ? meant.oneOf : [])];
  return [...parts.flatMap((/** @type {any} */ one) => fieldsOf(document, one, depth + 1)), ...own];
}

/**
 * An example value.
 * @param {Json} document
 * @param {any} schema
 * @param {number} [depth]
 * @returns {unknown} `undefined` where none can be made.
 */
export function exampleOf(document, schema, depth = 0) {
  const meant = resolve(document, schema);
  if (depth > DEPTH) return undefined;
  if (meant.example !== undefined) return meant.example;
  if (Array.isArray(meant.examples) && meant.examples.length > 0) return meant.examples[0];
  if (meant.default !== undefined && meant.default !== null) return meant.default;
  if (meant.const !== undefined) return meant.const;
  if (Array.isArray(meant.enum)) return meant.enum[0];
  for (const word of ["oneOf", "anyOf"]) {
    const choice = meant[word]?.find((/** @type {any} */ one) => one?.type !== "null");
    if (choice) return exampleOf(document, choice, depth + 1);
  }
  const fields = fieldsOf(document, meant, depth);
  const types = [meant.type].flat();
  if (types.includes("array")) {
    const item = exampleOf(document, meant.items ?? {}, depth + 1);
    return item === undefined ? [] : [item];
  }
  if (fields.length > 0) {
    return Object.fromEntries(
      fields.map(({ name, schema: field }) => [name, exampleOf(document, field, depth + 1)]).filter(([, value]) => value !== undefined),
    );
  }
  if (types.includes("object")) return {};
  if (types.includes("boolean")) return true;
  if (types.includes("integer") || types.includes("number")) return meant.minimum ?? 1;
  if (types.includes("string")) return meant.format === "date-time" ? "2026-01-31T12:00:00Z" : "text";
  return undefined;
}

/**
 * A command line for an operation.
 * @param {Json} document
 * @param {Operation} operation
 * @param {string} base Address of the server, without a slash at its end.
 * @returns {string}
 */
export function curlOf(document, operation, base) {
  const path = operation.path.replaceAll(/\{([^}]+)\}/g, (_, name) => (name === "room" ? "studio" : name.toUpperCase()));
  const parts = [`curl${operation.method === "get" ? "" : ` -X ${operation.method.toUpperCase()}`} '${base}${path}'`];
  if (operation.secured) parts.push(`-H "Authorization: Bearer $TOKEN"`);
  const json = operation.body?.types.find(([type]) => /json/.test(type));
  if (json) {
    const value = JSON.stringify(exampleOf(document, json[1]) ?? {}).replaceAll("'", "'\\''");
    parts.push(`-H 'Content-Type: ${json[0]}'`, `-d '${value}'`);
  } else if (operation.body?.types[0]) {
    parts.push(`-H 'Content-Type: ${operation.body.types[0][0]}'`, "--data-binary @offer.sdp");
  }
  return parts.join(" \\\n  ");
}
