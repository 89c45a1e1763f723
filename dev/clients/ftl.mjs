// An FTL client to the wire description: HMAC-SHA512 for the challenge, attributes line by line,
// then RTP over UDP with pings and sender reports. It sends an H264 file over and over, and Opus.
//
//   ftl.mjs publish --address HOST:PORT --channel NUMBER --key KEY --file FILE [--withhold N]
//
// Every Nth packet of the picture is withheld until the server asks for it (generic NACK).
// Events: `reply` for every line of the server, `stats` twice a second.
import { createHmac } from 'node:crypto';
import dgram from 'node:dgram';
import net from 'node:net';
import { setInterval } from 'node:timers';

import { packetize, readFrames } from './lib/media.mjs';
import { isRtcp, parseRtcp, rtpPacket, senderReport } from './lib/rtp.mjs';
import { emit, fail, obey, options } from './lib/terms.mjs';

const RATE = 30;
const VIDEO = 96;
const AUDIO = 97;
/** Payload type of a ping, which the server sends back as it is. */
const PING = 250;
/** An Opus frame of 20 ms of silence. */
const SILENCE = Buffer.from([0xf8, 0xff, 0xfe]);
/** Packets kept for retransmission: two seconds at the rates used here. */
const KEPT = 1024;

const option = options(['address', 'channel', 'key', 'file', 'withhold']);
const [host, port] = option.address.split(':');
const channel = Number(option.channel);
// As FTL's own library numbers them.
const ssrcs = { audio: channel, video: channel + 1 };
const count = { frames: 0, packets: 0, withheld: 0, answered: 0, nacked: 0, pongs: 0, replies: 0 };
const timers = [];

const control = net.connect(Number(port), host);
const datagrams = dgram.createSocket('udp4');
const replies = [];
const readers = [];
let unread = '';
control.setEncoding('latin1');
control.on('data', (text) => {
  unread += text;
  for (let end = unread.indexOf('\n'); end >= 0; end = unread.indexOf('\n')) {
    const line = unread.slice(0, end).trim();
    unread = unread.slice(end + 1);
    // The challenge is of no use to a reader of the log.
    emit('reply', { line: line.slice(0, 60) });
    count.replies += 1;
    const reader = readers.shift();
    if (reader) reader(line);
    else replies.push(line);
  }
});
control.on('error', (error) => emit('error', { message: String(error) }));
control.on('close', () => emit('closed'));

const say = (line) => control.write(`${line}\r\n\r\n`, 'latin1');
const reply = () =>
  replies.length > 0 ? Promise.resolve(replies.shift()) : new Promise((read) => readers.push(read));

async function ask(line, code) {
  say(line);
  const answer = await reply();
  if (!answer.startsWith(code)) {
    emit('refused', { line: answer, after: line.split(' ')[0] });
    stop();
    // Whoever waits for the refusal has it; nothing more comes.
    return null;
  }
  return answer;
}

begin();
await obey({ disconnect: () => say('DISCONNECT') }, stop);

async function begin() {
  const challenge = await ask('HMAC', '200 ');
  if (challenge === null) return;
  const random = Buffer.from(challenge.slice(4), 'hex');
  if (random.length !== 128) fail(`a challenge of ${random.length} bytes`);
  const answer = createHmac('sha512', option.key).update(random).digest('hex');
  if ((await ask(`CONNECT ${channel} $${answer}`, '200')) === null) return;
  for (const line of [
    'ProtocolVersion: 0.9',
    'VendorName: test-client',
    'VendorVersion: 1.2.3',
    'Video: true',
    'VideoCodec: H264',
    'VideoHeight: 360',
    'VideoWidth: 640',
    `VideoPayloadType: ${VIDEO}`,
    `VideoIngestSSRC: ${ssrcs.video}`,
    'Audio: true',
    'AudioCodec: OPUS',
    `AudioPayloadType: ${AUDIO}`,
    `AudioIngestSSRC: ${ssrcs.audio}`,
  ]) {
    say(line);
  }
  const ready = await ask('.', '200');
  if (ready === null) return;
  const media = /^200[^.]*\. Use UDP port (\d+)/.exec(ready);
  if (!media) fail(`no port for media in ${ready}`);
  datagrams.connect(Number(media[1]), host, () => {
    emit('streaming');
    stream();
  });
}

/** Sends the file over and over until the end. */
function stream() {
  const frames = readFrames(option.file, 'h264');
  const withhold = Number(option.withhold ?? 0);
  const kept = new Map();
  const held = new Set();
  // Just below the wrap, so that every run crosses it.
  let sequence = 65400;
  let sound = 7000;
  let at = 0;
  let pieces = 0;
  const octets = { video: 0, audio: 0 };
  const started = Date.now();

  datagrams.on('message', (message) => {
    if (message[1] === PING) {
      count.pongs += 1;
    } else if (isRtcp(message)) {
      for (const number of parseRtcp(message).flatMap((part) => part.nacks ?? [])) {
        count.nacked += 1;
        const packet = kept.get(number);
        if (!packet) continue;
        if (held.delete(number)) count.answered += 1;
        datagrams.send(packet);
      }
    }
  });

  const sendFrame = () => {
    const frame = frames[at];
    at = (at + 1) % frames.length;
    const payloads = packetize(frame, 'h264');
    const timestamp = (count.frames * 90000) / RATE;
    payloads.forEach((payload, index) => {
      const number = sequence & 0xffff;
      const marker = index === payloads.length - 1;
      const packet = rtpPacket({ payloadType: VIDEO, sequence: number, timestamp, ssrc: ssrcs.video, marker, payload });
      kept.set(number, packet);
      kept.delete((number - KEPT) & 0xffff);
      sequence += 1;
      count.packets += 1;
      octets.video += payload.length;
      if (withhold > 0 && count.packets % withhold === 0) {
        held.add(number);
        count.withheld += 1;
      } else {
        datagrams.send(packet);
      }
    });
    count.frames += 1;
  };

  const sendSound = () => {
    const timestamp = pieces * 960;
    const of = { payloadType: AUDIO, sequence: sound, timestamp, ssrc: ssrcs.audio, marker: false };
    datagrams.send(rtpPacket({ ...of, payload: SILENCE }));
    sound = (sound + 1) & 0xffff;
    pieces += 1;
    octets.audio += SILENCE.length;
  };

  const report = () => {
    const now = Date.now();
    const elapsed = now - started;
    const { packets } = count;
    datagrams.send(senderReport({ ssrc: ssrcs.video, timestamp: elapsed * 90, packets, octets: octets.video, now }));
    datagrams.send(
      senderReport({ ssrc: ssrcs.audio, timestamp: elapsed * 48, packets: pieces, octets: octets.audio, now }),
    );
    const ping = Buffer.alloc(24);
    ping[0] = 0x80;
    ping[1] = PING;
    datagrams.send(ping);
    emit('stats', count);
  };

  const due = (rate) => Math.floor(((Date.now() - started) / 1000) * rate);
  timers.push(
    setInterval(() => {
      while (count.frames < due(RATE)) sendFrame();
      while (pieces < due(50)) sendSound();
    }, 10),
    setInterval(report, 500),
    setInterval(() => say(`PING ${channel}`), 1000),
  );
}

function stop() {
  timers.forEach(clearInterval);
  control.destroy();
  datagrams.close();
}
