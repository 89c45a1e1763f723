import assert from "node:assert/strict";
import { test } from "node:test";
import { Relation, iceServersOf, linksOf, parseLinks } from "../sdk/link.js";

test("ICE servers of several headers, joined by the browser", () => {
  const links = parseLinks(
    '<stun:stun.example.net>; rel="ice-server", ' +
      '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="a,b;c\\"d"; credential-type="password"',
  );
  assert.deepEqual(iceServersOf(links), [
    { urls: "stun:stun.example.net" },
    { urls: "turn:turn.example.net?transport=udp", username: "user", credential: 'a,b;c"d' },
  ]);
});

test("an extension's events, with and without the semicolon before them", () => {
  for (const between of ["; ", " "]) {
    const links = parseLinks(`</whep/session/x/events>; rel="${Relation.ServerSentEvents}"${between}events="active,layers"`);
    const [link] = linksOf(links, Relation.ServerSentEvents);
    assert.equal(link?.target, "/whep/session/x/events");
    assert.equal(link?.parameters.events, "active,layers");
  }
});

test("a relation among several, unquoted values, names in any case", () => {
  const [link] = linksOf(parseLinks('<a>; REL="next ice-server"; Title=x'), "ice-server");
  assert.deepEqual({ ...link?.parameters }, { rel: "next ice-server", title: "x" });
});

test("what is no link ends the list and keeps what came before", () => {
  assert.deepEqual(parseLinks(null), []);
  assert.deepEqual(parseLinks(""), []);
  assert.deepEqual(parseLinks("<unclosed"), []);
  assert.equal(parseLinks('<a>; rel="x", nonsense').length, 1);
  assert.equal(parseLinks('<a>; rel="x').length, 1);
  assert.equal(parseLinks("<a>; =;, <b>").length, 0);
});

test("servers of other schemes are not ICE servers", () => {
  assert.deepEqual(iceServersOf(parseLinks('<https://example.net>; rel="ice-server"')), []);
});

test("a parameter cannot reach the prototype", () => {
  const [link] = parseLinks('<a>; __proto__="x"; rel=y');
  assert.equal(link?.parameters.rel, "y");
  assert.equal(/** @type {any} */ ({}).x, undefined);
});
