import assert from "node:assert/strict";
import { test } from "node:test";
import { encodersOf, maskedEncodersOf } from "../assets/lib/encoders.js";

const PORTS = { rtmp: 1935, rtmps: 1936, rtsp: 8554, srt: 8890, ftl: 8084 };
const KEY = "k3y0123456789abc";

/**
 * @param {object} changes
 * @returns {import("../assets/lib/encoders.js").Target}
 */
const target = (changes = {}) => ({
  room: "my-room",
  host: "live.example.com",
  whip: "https://live.example.com/whip/my-room",
  ports: PORTS,
  key: `my-room-${KEY}`,
  keyed: true,
  number: 1001,
  ...changes,
});

/**
 * @param {import("../assets/lib/encoders.js").DoorGuide[]} doors
 * @param {string} id
 */
const door = (doors, id) => {
  const found = doors.find((one) => one.id === id);
  assert.ok(found, `there is no ${id}`);
  return found;
};

/** @param {import("../assets/lib/encoders.js").DoorGuide} one */
const fields = (one) => one.guides.flatMap((guide) => guide.fields ?? []);

/** @param {import("../assets/lib/encoders.js").DoorGuide} one */
const commands = (one) => one.guides.flatMap((guide) => guide.commands ?? []).map(([, text]) => text);

test("each open door has its settings, and those that are off are not shown", () => {
  assert.deepEqual(encodersOf(target()).map(({ id }) => id), ["whip", "rtmp", "rtsp", "srt", "ftl"]);
  assert.deepEqual(encodersOf(target({ ports: {} })).map(({ id }) => id), ["whip"]);
  assert.deepEqual(encodersOf(target({ ports: { srt: 1 } })).map(({ id }) => id), ["whip", "srt"]);
});

test("a key with its room and without give the same settings", () => {
  for (const key of [KEY, `my-room-${KEY}`]) {
    const doors = encodersOf(target({ key }));
    assert.deepEqual(fields(door(doors, "rtmp")), [
      ["Server", "rtmp://live.example.com:1935/live"],
      ["Server, encrypted", "rtmps://live.example.com:1936/live"],
      ["Stream Key", `my-room-${KEY}`],
    ]);
    const url = `srt://live.example.com:8890?streamid=publish:my-room:${KEY}&passphrase=${KEY}&pbkeylen=16`;
    assert.deepEqual(fields(door(doors, "srt"))[0], ["Server", url]);
    for (const command of commands(door(doors, "srt"))) assert.ok(command.includes(`'${url}'`), command);
    assert.deepEqual(fields(door(doors, "ftl")), [
      ["Host", "live.example.com"],
      ["Room number", "1001"],
      ["Stream Key", `1001-${KEY}`],
    ]);
  }
});

test("an open room takes no key, whatever stands in its field", () => {
  for (const key of ["", "left-over"]) {
    const doors = encodersOf(target({ keyed: false, key, number: undefined }));
    assert.deepEqual(fields(door(doors, "rtmp")).at(-1), ["Stream Key", "my-room"]);
    assert.ok(commands(door(doors, "srt"))[0]?.endsWith("'srt://live.example.com:8890?streamid=publish:my-room'"));
    assert.equal(door(doors, "ftl").guides.length, 0);
    assert.match(door(doors, "ftl").missing ?? "", /open/);
  }
});

test("FTL without a known number says how to get it", () => {
  assert.match(door(encodersOf(target({ number: undefined })), "ftl").missing ?? "", /administrators/);
});

test("only RTMPS is told where plain RTMP is off", () => {
  const rtmp = door(encodersOf(target({ ports: { rtmps: 1936 } })), "rtmp");
  assert.deepEqual(fields(rtmp)[0], ["Server", "rtmps://live.example.com:1936/live"]);
  assert.ok(commands(rtmp).every((command) => command.includes("rtmps://live.example.com:1936/live/my-room-")));
});

test("a key that can be no passphrase is not told as one", () => {
  for (const key of ["short", "x".repeat(80)]) {
    const srt = door(encodersOf(target({ key })), "srt");
    assert.ok(![...fields(srt).flat(), ...commands(srt)].some((text) => /passphrase/i.test(text)));
    assert.match(srt.hints[0] ?? "", new RegExp(`this key has ${key.length}\\.`));
  }
});

test("a signed token goes where each door takes one", () => {
  const token = "eyJ0.eyJy-b29t_Ig.hXuT5D9LJPi_Gw-U";
  for (const doors of [encodersOf(target({ key: token })), maskedEncodersOf(target({ key: token }))]) {
    const stream = fields(door(doors, "rtmp")).at(-1)?.[1];
    assert.match(stream ?? "", /^my-room\?token=/);
    assert.ok(commands(door(doors, "rtmp"))[0]?.endsWith(`'rtmp://live.example.com:1935/live/${stream}'`));
    assert.match(door(doors, "ftl").missing ?? "", /token/);
  }
});

test("a key with a quote cannot leave its place in a command", () => {
  const key = "a'; rm -rf ~";
  const doors = encodersOf(target({ key }));
  assert.ok(commands(door(doors, "whip"))[0]?.includes(`-authorization 'a'\\''; rm -rf ~' https://live.example.com/whip/my-room`));
  assert.ok(commands(door(doors, "rtmp"))[0]?.endsWith(`'rtmp://live.example.com:1935/live/my-room-a'\\''; rm -rf ~'`));
  assert.ok(commands(door(doors, "srt"))[0]?.includes("publish:my-room:a'\\''%3B%20rm%20-rf%20~"));
});

test("no hidden key is on the screen, and nothing else differs", () => {
  for (const key of [KEY, `my-room-${KEY}`, "short", "with spaces & quotes'", "x".repeat(90), "eyJ0.eyJy.hXuT5D9"]) {
    const given = target({ key });
    const bare = key.replace("my-room-", "");
    const real = encodersOf(given);
    const masked = maskedEncodersOf(given);
    const text = JSON.stringify(masked.map(({ guides }) => guides));
    assert.ok(!text.includes(bare) && !text.includes(encodeURIComponent(bare)), key);
    assert.ok(!text.includes("HIDDEN"), key);
    assert.deepEqual(masked.map((one) => fields(one).map(([name]) => name)), real.map((one) => fields(one).map(([name]) => name)));
    assert.deepEqual(masked.map((one) => commands(one).length), real.map((one) => commands(one).length));
    assert.equal(fields(door(masked, "rtmp")).at(-1)?.[1], `my-room${key.includes(".") ? "?token=" : "-"}••••••••`);
  }
});
