// WHIP and WHEP over libdatachannel: a WebRTC stack that shares no code with browsers or with the
// server. It sends the frames of a file and compares what arrives with a file, frame by frame.
//
//   datachannel.mjs publish --url URL --codec vp8|h264 --file FILE [--token T] [--relay HOST:PORT]
//   datachannel.mjs watch   --url URL --codec vp8|h264 --file FILE [--token T] [--relay HOST:PORT]
//
// Commands: {"do":"end"} deletes the session; {"do":"vanish"} stops without a word;
// {"do":"say","text":...} sends on the data channel.
import { post, remove, throughRelay } from './lib/exchange.mjs';
import { depacketize, fingerprint, packetize, readFrames } from './lib/media.mjs';
import { isRtcp, nack, parseRtcp, parseRtp, pli, rtpPacket, senderReport } from './lib/rtp.mjs';
import { emit, fail, obey, options, tool } from './lib/terms.mjs';

const CODECS = {
  vp8: { type: 96, add: (video) => video.addVP8Codec(96) },
  h264: {
    type: 102,
    add: (video) =>
      video.addH264Codec(
        102,
        'profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1',
      ),
  },
};
const OPUS = 111;
const RETRANSMISSION = 97;
const RATE = 30;
/** An Opus frame of 20 ms of silence. */
const SILENCE = Buffer.from([0xf8, 0xff, 0xfe]);
/** Packets kept for retransmission: two seconds at the rates used here. */
const KEPT = 1024;

const option = options(['url', 'codec', 'file', 'token', 'relay', 'channel']);
const codec = CODECS[option.codec] ?? fail(`no codec ${option.codec}`);
const library = tool('node-datachannel');
const sending = option.role === 'publish';
const peer = new library.PeerConnection(option.role, { iceServers: [], disableAutoNegotiation: true });
const session = {};

peer.onStateChange((state) => emit('state', { state }));

const video = new library.Video('0', sending ? 'SendOnly' : 'RecvOnly');
codec.add(video);
const audio = new library.Audio('1', sending ? 'SendOnly' : 'RecvOnly');
audio.addOpusCodec(OPUS, 'minptime=10;useinbandfec=1');
const ssrcs = { video: 1000 + (process.pid & 0xffff), audio: 900000 + (process.pid & 0xffff) };
if (sending) {
  video.addSSRC(ssrcs.video, 'test', 'test', 'video');
  audio.addSSRC(ssrcs.audio, 'test', 'test', 'audio');
} else {
  video.addRTXCodec(RETRANSMISSION, codec.type, 90000);
}
// The references keep the tracks from being collected.
const tracks = { video: peer.addTrack(video), audio: peer.addTrack(audio) };
if (option.channel) {
  tracks.channel = peer.createDataChannel(option.channel);
  tracks.channel.onMessage((text) => emit('message', { text: String(text) }));
  tracks.channel.onOpen(() => emit('channel', { label: option.channel }));
}
peer.onDataChannel((channel) => {
  tracks.channel = channel;
  channel.onMessage((text) => emit('message', { text: String(text) }));
  emit('channel', { label: channel.getLabel() });
});

const timers = [];
if (sending) publish();
else watch();

peer.onGatheringStateChange(async (state) => {
  if (state !== 'complete') return;
  const { sdp } = peer.localDescription();
  const { answer, location } = await post(option.url, sdp, option.token);
  session.location = location;
  peer.setRemoteDescription(throughRelay(answer, option.relay), 'answer');
});
peer.setLocalDescription('offer');

await obey(
  {
    end: async () => {
      const status = await remove(session.location, option.token);
      stop();
      return { status };
    },
    vanish: () => process.kill(process.pid, 'SIGKILL'),
    say: ({ text }) => ({ sent: tracks.channel.sendMessage(text) }),
  },
  stop,
);

/** Sends unless the other side has ended the session, which it may do at any moment. */
function send(track, packet) {
  try {
    track.sendMessageBinary(packet);
  } catch (error) {
    if (track.isOpen()) throw error;
  }
}

function stop() {
  timers.forEach(clearInterval);
  peer.close();
}

/** Sends the file over and over; starts its group of pictures again when asked for a keyframe. */
function publish() {
  const frames = readFrames(option.file, option.codec);
  const groups = frames.flatMap((frame, index) => (frame.key ? [index] : []));
  const kept = new Map();
  const count = { frames: 0, packets: 0, octets: 0, nacked: 0, keyframeRequests: 0 };
  const sound = { sequence: 7000, packets: 0, octets: 0 };
  // Just below the wrap, so that every run crosses it.
  let sequence = 65400;
  let at = 0;
  let wanted = false;
  const started = Date.now();
  const videoTime = () => Math.round(((Date.now() - started) / 1000) * 90000);

  tracks.video.onMessage((message) => {
    if (!isRtcp(message)) return;
    for (const part of parseRtcp(message)) {
      if (part.keyframe) {
        count.keyframeRequests += 1;
        wanted = true;
      }
      for (const number of part.nacks ?? []) {
        count.nacked += 1;
        const packet = kept.get(number);
        if (packet) send(tracks.video, packet);
      }
    }
  });

  const sendFrame = () => {
    if (wanted) {
      at = groups.find((index) => index >= at) ?? groups[0];
      wanted = false;
    }
    const frame = frames[at];
    const delay = frame.shown - at;
    at = (at + 1) % frames.length;
    const payloads = packetize(frame, option.codec);
    const timestamp = videoTime() + delay * (90000 / RATE);
    payloads.forEach((payload, index) => {
      const number = sequence & 0xffff;
      const packet = rtpPacket({
        payloadType: codec.type,
        sequence: number,
        timestamp,
        ssrc: ssrcs.video,
        marker: index === payloads.length - 1,
        payload,
      });
      kept.set(number, packet);
      kept.delete((number - KEPT) & 0xffff);
      sequence += 1;
      count.packets += 1;
      count.octets += payload.length;
      send(tracks.video, packet);
    });
    count.frames += 1;
  };

  const sendSound = () => {
    const payload = SILENCE;
    const timestamp = sound.start.at * 48 + sound.packets * 960;
    const packet = rtpPacket({
      payloadType: OPUS,
      sequence: sound.sequence,
      timestamp,
      ssrc: ssrcs.audio,
      marker: false,
      payload,
    });
    sound.sequence = (sound.sequence + 1) & 0xffff;
    sound.packets += 1;
    sound.octets += payload.length;
    send(tracks.audio, packet);
  };

  const report = () => {
    const now = Date.now();
    const { packets, octets } = count;
    const of = { ssrc: ssrcs.video, timestamp: videoTime(), packets, octets, now };
    send(tracks.video, senderReport(of));
    const heard = { ssrc: ssrcs.audio, timestamp: Math.round((now - started) * 48), now };
    const { packets: sent, octets: bytes } = sound;
    send(tracks.audio, senderReport({ ...heard, packets: sent, octets: bytes }));
    emit('stats', count);
  };

  tracks.video.onOpen(() => {
    emit('open');
    timers.push(setInterval(() => catchUp(started, count, RATE, sendFrame), 10));
    timers.push(setInterval(() => catchUp(started, sound, 50, sendSound), 10));
    timers.push(setInterval(report, 500));
  });
}

/** Calls `send` as often as `rate` a second asks for; timers alone are too coarse. */
function catchUp(started, progress, rate, send) {
  progress.start ??= { at: Date.now() - started, count: 0 };
  const due = Math.floor(((Date.now() - started - progress.start.at) / 1000) * rate);
  while (progress.start.count < due) {
    progress.start.count += 1;
    send();
  }
}

/**
 * Puts the packets in order, asks for lost ones, and compares every frame with the file's:
 * `unknown` counts frames that the file does not have, `breaks` places where a frame follows that
 * is neither the file's next nor a keyframe.
 */
function watch() {
  const frames = readFrames(option.file, option.codec);
  const positions = new Map(frames.map((frame, index) => [fingerprint(frame.parts, option.codec), index]));
  const count = {
    packets: 0,
    frames: 0,
    keyframes: 0,
    unknown: 0,
    breaks: 0,
    recovered: 0,
    nacks: 0,
    audioPackets: 0,
    reports: 0,
    retransmitted: 0,
    firstIsKey: null,
  };
  const waiting = new Map();
  const asked = new Map();
  let next = null;
  let open = [];
  let last = null;
  let ssrc = null;
  let newest = null;
  let broken = null;

  const complete = (payloads) => {
    const parts = depacketize(payloads, option.codec);
    const index = parts && positions.get(fingerprint(parts, option.codec));
    if (index === undefined || index === null) {
      count.unknown += 1;
      emit('unknown', { last, sizes: payloads.map((payload) => payload.length) });
      last = null;
      return;
    }
    const { key } = frames[index];
    count.firstIsKey ??= key;
    count.frames += 1;
    if (key) {
      count.keyframes += 1;
    } else if (last === null || index !== last + 1) {
      count.breaks += 1;
      emit('break', { last, index });
    }
    last = index;
  };

  const advance = () => {
    for (let packet = waiting.get(next); packet; packet = waiting.get(next)) {
      waiting.delete(next);
      asked.delete(next);
      next = (next + 1) & 0xffff;
      if (open.length > 0 && open[0].timestamp !== packet.timestamp) {
        complete(open.map((part) => part.payload));
        open = [];
      }
      if (packet.timestamp === broken) continue;
      if (packet.payload.length > 0) open.push(packet);
      if (packet.marker && open.length > 0) {
        complete(open.map((part) => part.payload));
        open = [];
      }
    }
  };

  const take = (packet) => {
    count.packets += 1;
    if (next === null) {
      next = packet.sequence;
      newest = next;
    }
    const ahead = (packet.sequence - next) & 0xffff;
    if (ahead >= 0x8000) return;
    if (((packet.sequence - newest) & 0xffff) < 0x8000) newest = packet.sequence;
    if (asked.has(packet.sequence) && !waiting.has(packet.sequence)) count.recovered += 1;
    waiting.set(packet.sequence, packet);
    advance();
  };

  tracks.video.onMessage((message) => {
    if (isRtcp(message)) {
      count.reports += parseRtcp(message).filter((part) => part.report).length;
      return;
    }
    const packet = parseRtp(message);
    if (packet.payloadType === RETRANSMISSION) {
      if (packet.payload.length < 2) return;
      count.retransmitted += 1;
      const original = packet.payload.readUInt16BE(0);
      take({ ...packet, sequence: original, payload: packet.payload.subarray(2) });
    } else {
      ssrc = packet.ssrc;
      take(packet);
    }
  });
  tracks.audio.onMessage((message) => {
    if (!isRtcp(message)) count.audioPackets += 1;
  });

  /** Asks for what is missing, again every 100 ms; gives a gap up after a second. */
  const ask = () => {
    if (next === null || ssrc === null) return;
    const missing = [];
    const now = Date.now();
    const behind = (newest - next) & 0xffff;
    if (behind >= 0x8000) return;
    for (let ahead = 0; ahead < behind && missing.length < 64; ahead += 1) {
      const number = (next + ahead) & 0xffff;
      if (waiting.has(number)) continue;
      const since = asked.get(number) ?? { first: now, last: 0 };
      if (now - since.first > 1000) {
        skip();
        send(tracks.video, pli(1, ssrc));
        return;
      }
      if (now - since.last >= 100) {
        missing.push(number);
        asked.set(number, { first: since.first, last: now });
      }
    }
    if (missing.length > 0) {
      count.nacks += missing.length;
      send(tracks.video, nack(1, ssrc, missing));
    }
  };

  // What is left of a frame that the gap cut through is no frame.
  const skip = () => {
    broken = open[0]?.timestamp ?? null;
    open = [];
    last = null;
    const first = next;
    while (!waiting.has(next) && next !== newest) {
      asked.delete(next);
      next = (next + 1) & 0xffff;
    }
    emit('gap', { first, next, newest });
    advance();
  };

  timers.push(setInterval(ask, 20));
  timers.push(setInterval(() => emit('stats', count), 250));
}
