// WHEP over libdatachannel: how far apart the server says that picture and sound are, exactly.
//
//   sync.mjs watch --url WHEP
//
// The picture has a keyframe where it turns white, at the beginning of every second, and a tone
// begins there. RTP timestamps of keyframes and of the tone's first sample go to wall-clock time by
// the sender reports. The event `stats` has `lags`: how many milliseconds later than its keyframe
// each tone began.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { setInterval } from 'node:timers';

import { post, remove } from './lib/exchange.mjs';
import { oggOpus } from './lib/ogg.mjs';
import { isRtcp, parseRtcp, parseRtp } from './lib/rtp.mjs';
import { emit, fail, obey, options, tool } from './lib/terms.mjs';

const H264 = 102;
const OPUS = 111;
/** Seconds of sound that are decoded: several tones. */
const SECONDS = 7;
/** A tone is further than this from the one before, in samples. */
const APART = 24000;

const option = options(['url']);
const library = tool('node-datachannel');
const peer = new library.PeerConnection('watch', { iceServers: [], disableAutoNegotiation: true });
const video = new library.Video('0', 'RecvOnly');
video.addH264Codec(H264, 'profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1');
const audio = new library.Audio('1', 'RecvOnly');
audio.addOpusCodec(OPUS, 'minptime=10;useinbandfec=1;stereo=1');
const tracks = { video: peer.addTrack(video), audio: peer.addTrack(audio) };
const session = {};

const seen = { reports: { video: [], audio: [] }, keyframes: [], sound: new Map() };
let decoding = false;

peer.onStateChange((state) => emit('state', { state }));
for (const kind of ['video', 'audio']) {
  tracks[kind].onMessage((message) => {
    if (isRtcp(message)) {
      seen.reports[kind].push(...parseRtcp(message).flatMap((part) => part.report ?? []));
    } else {
      take(kind, parseRtp(message));
    }
  });
}
peer.onGatheringStateChange(async (state) => {
  if (state !== 'complete') return;
  const { answer, location } = await post(option.url, peer.localDescription().sdp);
  session.location = location;
  peer.setRemoteDescription(answer, 'answer');
});
peer.setLocalDescription('offer');

const timer = setInterval(async () => {
  if (decoding || seen.sound.size < SECONDS * 50) return;
  if (seen.reports.video.length < 1 || seen.reports.audio.length < 1) return;
  decoding = true;
  emit('stats', { lags: await lags(), reports: seen.reports });
}, 250);

await obey({ end: async () => ({ status: await remove(session.location) }) }, () => {
  clearInterval(timer);
  peer.close();
});

function take(kind, { payloadType, payload, timestamp, sequence }) {
  if (kind === 'audio') {
    if (payloadType === OPUS && payload.length > 0) seen.sound.set(sequence, { payload, timestamp });
    return;
  }
  if (payloadType === H264 && isKeyframe(payload) && seen.keyframes.at(-1) !== timestamp) {
    seen.keyframes.push(timestamp);
  }
}

/** Whether a payload has a slice of an IDR picture or begins one (RFC 6184). */
function isKeyframe(payload) {
  const type = (payload[0] ?? 0) & 31;
  if (type === 28) return payload.length > 1 && (payload[1] & 0x9f) === 0x85;
  if (type !== 24) return type === 5;
  for (let at = 1; at + 3 <= payload.length; at += 2 + payload.readUInt16BE(at)) {
    if ((payload[at + 2] & 31) === 5) return true;
  }
  return false;
}

/** The wall-clock time of an RTP timestamp, by the report that is nearest to it. */
function wallClock(timestamp, reports, rate) {
  const near = (report) => Math.abs((timestamp - report.timestamp) | 0);
  const report = reports.reduce((best, other) => (near(other) < near(best) ? other : best));
  return report.wallClock + (((timestamp - report.timestamp) | 0) * 1000) / rate;
}

async function lags() {
  const tones = (await onsets()).map((timestamp) => wallClock(timestamp, seen.reports.audio, 48000));
  const flashes = seen.keyframes.map((timestamp) => wallClock(timestamp, seen.reports.video, 90000));
  return tones.map((tone) =>
    flashes
      .map((flash) => tone - flash)
      .reduce((best, lag) => (Math.abs(lag) < Math.abs(best) ? lag : best)),
  );
}

/** RTP timestamps of the samples with which tones begin. */
async function onsets() {
  const packets = [...seen.sound.entries()].sort(([one], [other]) => ((one - other) << 16) >> 16);
  const first = packets[0][1].timestamp;
  const whole = packets.map(([, { payload, timestamp }], index) => {
    const next = packets[index + 1]?.[1].timestamp ?? timestamp + 960;
    const samples = (next - timestamp) | 0;
    if (samples <= 0 || samples > 5760) fail(`a gap of ${samples} samples in the sound`);
    return { payload, samples };
  });
  const samples = await decode(oggOpus(whole));
  const loud = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0) / 2;
  const found = [];
  let last = -APART;
  samples.forEach((sample, index) => {
    if (Math.abs(sample) < loud) return;
    // The first tone may have been cut by the beginning.
    if (index - last > APART && index > APART) found.push((first + index) >>> 0);
    last = index;
  });
  return found;
}

/** Samples of one channel at 48 kHz. */
async function decode(file) {
  const folder = path.join(process.env.INVER_TOOLS, 'python', 'imageio_ffmpeg', 'binaries');
  const name = readdirSync(folder).find((entry) => entry.startsWith('ffmpeg-'));
  if (!name) fail('imageio-ffmpeg is missing: run `cargo xtask setup`');
  const words = '-v error -c:a libopus -i pipe:0 -f s16le -ac 1 -ar 48000 pipe:1'.split(' ');
  const decoder = spawn(path.join(folder, name), words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const parts = [];
  decoder.stdout.on('data', (part) => parts.push(part));
  decoder.stdin.end(file);
  const code = await new Promise((ended) => decoder.on('close', ended));
  if (code !== 0) fail(`the decoder ended with ${code}`);
  const bytes = Buffer.concat(parts);
  return Array.from({ length: bytes.length >> 1 }, (_, index) => bytes.readInt16LE(index * 2));
}
