import assert from "node:assert/strict";
import { test } from "node:test";
import { applyIceFragment, iceCredentialsOf, iceFragment, mediaSectionsOf, withFormatParameters } from "../sdk/sdp.js";

const OFFER = [
  "v=0",
  "o=- 1 2 IN IP4 127.0.0.1",
  "s=-",
  "t=0 0",
  "a=group:BUNDLE 0 1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
  "c=IN IP4 0.0.0.0",
  "a=ice-ufrag:abcd",
  "a=ice-pwd:0123456789012345678901",
  "a=mid:0",
  "a=rtpmap:111 opus/48000/2",
  "a=fmtp:111 minptime=10;useinbandfec=1",
  "a=rtpmap:63 red/48000/2",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=ice-ufrag:abcd",
  "a=ice-pwd:0123456789012345678901",
  "a=mid:1",
  "a=rtpmap:96 VP8/90000",
  "",
].join("\r\n");

test("a trickle fragment names the bundle, the first section and the credentials", () => {
  const fragment = iceFragment(OFFER, [{ candidate: "candidate:1 1 udp 2 192.0.2.1 5000 typ host" }], true);
  assert.equal(
    fragment,
    [
      "a=group:BUNDLE 0 1",
      "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
      "a=mid:0",
      "a=ice-ufrag:abcd",
      "a=ice-pwd:0123456789012345678901",
      "a=candidate:1 1 udp 2 192.0.2.1 5000 typ host",
      "a=end-of-candidates",
      "",
    ].join("\r\n"),
  );
});

test("a description without credentials or media makes no fragment", () => {
  assert.equal(iceFragment("v=0\r\n", [], true), undefined);
  assert.equal(iceFragment(OFFER.replaceAll("a=ice-pwd", "a=x"), [], true), undefined);
});

test("what is no candidate does not reach a fragment", () => {
  const fragment = iceFragment(OFFER, [{ candidate: "x\r\na=evil" }], false);
  assert.ok(fragment && !fragment.includes("evil"));
});

test("a restart replaces credentials everywhere and candidates in the first section", () => {
  const before = OFFER.replace("a=mid:0", "a=mid:0\r\na=candidate:old 1 udp 1 192.0.2.9 7000 typ host\r\na=end-of-candidates");
  const after = applyIceFragment(
    before,
    "a=ice-lite\r\na=ice-ufrag:new1\r\na=ice-pwd:newpwdnewpwdnewpwdnewp\r\na=candidate:new 1 udp 1 192.0.2.9 7001 typ host\r\na=end-of-candidates\r\n",
  );
  assert.ok(after);
  assert.deepEqual(iceCredentialsOf(after), { ufrag: "new1", pwd: "newpwdnewpwdnewpwdnewp" });
  assert.equal(after.match(/a=ice-ufrag:new1/g)?.length, 2);
  assert.ok(!after.includes("candidate:old"));
  const [audio, video] = after.split("m=video");
  assert.ok(audio?.includes("candidate:new"));
  assert.ok(!video?.includes("candidate:new"));
  assert.equal(mediaSectionsOf(after).length, 2);
});

test("a restart of a single section, and a fragment without credentials", () => {
  const one = OFFER.slice(0, OFFER.indexOf("m=video"));
  assert.ok(applyIceFragment(one, "a=ice-ufrag:x\r\na=ice-pwd:y\r\na=candidate:z 1\r\n")?.endsWith("a=candidate:z 1\r\n"));
  assert.equal(applyIceFragment(OFFER, "a=candidate:z\r\n"), undefined);
});

test("format parameters are added, replaced and made where there were none", () => {
  const stereo = withFormatParameters(OFFER, "opus", { stereo: 1, minptime: 20 });
  assert.ok(stereo.includes("a=fmtp:111 minptime=20;useinbandfec=1;stereo=1\r\n"));
  assert.ok(!stereo.includes("a=fmtp:63"));
  assert.ok(withFormatParameters(OFFER, "VP8", { x: 2 }).includes("a=rtpmap:96 VP8/90000\r\na=fmtp:96 x=2\r\n"));
  assert.equal(withFormatParameters(OFFER, "H264", { x: 2 }), OFFER);
});
