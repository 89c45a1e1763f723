import assert from "node:assert/strict";
import { test } from "node:test";
import { curlOf, exampleOf, fieldsOf, operationsByTag, resolve, typeText } from "../assets/lib/openapi.js";

const DOCUMENT = {
  security: [{ bearer: [] }],
  tags: [{ name: "rooms", description: "Rooms." }, { name: "unused" }],
  paths: {
    "/api/v1/rooms/{room}": {
      parameters: [{ $ref: "#/components/parameters/room" }],
      get: { tags: ["rooms"], description: "Tells about a room. With details.", security: [], responses: { 200: { description: "It.", content: { "application/json": { schema: { $ref: "#/components/schemas/Room" } } } } } },
      post: { requestBody: { required: true, content: { "application/json": { schema: { $ref: "#/components/schemas/Room" } } } }, responses: {} },
    },
  },
  components: {
    parameters: { room: { name: "room", in: "path", required: true, schema: { type: "string" } } },
    schemas: {
      Room: {
        type: "object",
        required: ["id"],
        properties: {
          id: { type: "string", description: "Its id." },
          kind: { $ref: "#/components/schemas/Kind" },
          since: { type: ["string", "null"], format: "date-time" },
          inside: { type: "array", items: { $ref: "#/components/schemas/Room" } },
          maybe: { oneOf: [{ type: "null" }, { $ref: "#/components/schemas/Room" }] },
        },
      },
      Kind: { type: "string", enum: ["broadcast", "call"] },
      Loop: { $ref: "#/components/schemas/Loop" },
    },
  },
};
const ROOM = { $ref: "#/components/schemas/Room" };

test("operations stand under their tags, with what the path shares", () => {
  const groups = operationsByTag(DOCUMENT);
  assert.deepEqual([...groups.keys()], ["rooms", "other"]);
  const [get] = groups.get("rooms")?.operations ?? [];
  assert.equal(get?.summary, "Tells about a room.");
  assert.equal(get?.secured, false);
  assert.equal(get?.parameters[0]?.name, "room");
  assert.equal(groups.get("other")?.operations[0]?.secured, true);
});

test("types in words", () => {
  assert.deepEqual(
    fieldsOf(DOCUMENT, ROOM).map((field) => [field.name, typeText(DOCUMENT, field.schema), field.required]),
    [
      ["id", "string", true],
      ["kind", '"broadcast" | "call"', false],
      ["since", "string (date-time) | null", false],
      ["inside", "Room[]", false],
      ["maybe", "null | Room", false],
    ],
  );
  assert.equal(typeText(DOCUMENT, { allOf: [ROOM, { type: "object" }] }), "Room & object");
});

test("examples end although schemas contain themselves", () => {
  const example = /** @type {any} */ (exampleOf(DOCUMENT, ROOM));
  assert.equal(example.kind, "broadcast");
  assert.equal(example.inside[0].id, "text");
  assert.deepEqual(resolve(DOCUMENT, { $ref: "#/components/schemas/Loop" }), { $ref: "#/components/schemas/Loop" });
  assert.deepEqual(resolve(DOCUMENT, { $ref: "#/nowhere/at/all" }), {});
  assert.deepEqual(resolve(DOCUMENT, { $ref: "https://example.com/x" }), {});
});

test("a command line carries method, token and body", () => {
  const [post] = operationsByTag(DOCUMENT).get("other")?.operations ?? [];
  assert.ok(post);
  const line = curlOf(DOCUMENT, post, "https://example.com");
  assert.ok(line.startsWith("curl -X POST 'https://example.com/api/v1/rooms/studio'"));
  assert.ok(line.includes("Authorization: Bearer $TOKEN"));
  assert.ok(line.includes("-d '{"));
});

test("a document without anything is no error", () => {
  assert.equal(operationsByTag({}).size, 0);
});
