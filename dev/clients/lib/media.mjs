// Encoded video files as lists of frames, and their way into and out of RTP payloads.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** RTP payload bytes of one packet: leaves room for headers, extensions and SRTP in 1200. */
const LARGEST = 1100;

/** Whether an H264 unit is a slice; the others may be repeated or left out on the way. */
const isSlice = (unit) => [1, 5].includes(unit[0] & 31);

/** Names a frame by its content. */
export function fingerprint(parts, codec) {
  const hash = createHash('sha256');
  for (const part of codec === 'h264' ? parts.filter(isSlice) : parts) hash.update(part);
  return hash.digest('hex').slice(0, 16);
}

/**
 * Frames `{parts, key, shown}` of a file: IVF for vp8, an Annex B stream with delimiters for h264.
 * `shown` is the frame's place in the order of presentation.
 */
export function readFrames(file, codec) {
  const bytes = readFileSync(file);
  const frames = codec === 'vp8' ? readIvf(bytes) : readAnnexB(bytes);
  orderOfPresentation(frames, codec);
  return frames;
}

/** A frame that others refer to is shown after the unreferenced ones that follow it. */
function orderOfPresentation(frames, codec) {
  const unreferenced = ({ parts }) =>
    codec === 'h264' && (parts.find(isSlice)[0] & 0x60) === 0;
  for (let at = 0, place = 0; at < frames.length; ) {
    let next = at + 1;
    while (next < frames.length && unreferenced(frames[next])) {
      frames[next].shown = place;
      place += 1;
      next += 1;
    }
    frames[at].shown = place;
    place += 1;
    at = next;
  }
}

function readIvf(bytes) {
  const frames = [];
  let at = bytes.readUInt16LE(6);
  while (at + 12 <= bytes.length) {
    const size = bytes.readUInt32LE(at);
    const data = bytes.subarray(at + 12, at + 12 + size);
    frames.push({ parts: [data], key: (data[0] & 1) === 0 });
    at += 12 + size;
  }
  return frames;
}

function readAnnexB(bytes) {
  const units = [];
  for (let at = bytes.indexOf('000001', 0, 'hex'); at >= 0; ) {
    const next = bytes.indexOf('000001', at + 3, 'hex');
    let end = next < 0 ? bytes.length : next;
    while (end > at + 3 && bytes[end - 1] === 0) end -= 1;
    units.push(bytes.subarray(at + 3, end));
    at = next;
  }
  const frames = [];
  for (const unit of units) {
    const type = unit[0] & 31;
    if (type === 9) {
      frames.push({ parts: [], key: false });
    } else if (type !== 6) {
      const frame = frames.at(-1);
      frame.parts.push(unit);
      frame.key ||= type === 5;
    }
  }
  return frames.filter((frame) => frame.parts.length > 0);
}

/** RTP payloads of a frame, in order; the last one gets the marker bit. */
export function packetize(frame, codec) {
  return codec === 'vp8' ? packetizeVp8(frame.parts[0]) : frame.parts.flatMap(packetizeH264);
}

// RFC 7741, the one-byte payload descriptor.
function packetizeVp8(data) {
  const payloads = [];
  for (let at = 0; at < data.length; at += LARGEST) {
    const descriptor = Buffer.from([at === 0 ? 0x10 : 0x00]);
    payloads.push(Buffer.concat([descriptor, data.subarray(at, at + LARGEST)]));
  }
  return payloads;
}

// RFC 6184, single NAL unit packets and FU-A.
function packetizeH264(unit) {
  if (unit.length <= LARGEST) return [unit];
  const payloads = [];
  for (let at = 1; at < unit.length; at += LARGEST) {
    const end = Math.min(at + LARGEST, unit.length);
    const edge = (at === 1 ? 0x80 : 0) | (end === unit.length ? 0x40 : 0);
    const head = Buffer.from([(unit[0] & 0xe0) | 28, edge | (unit[0] & 31)]);
    payloads.push(Buffer.concat([head, unit.subarray(at, end)]));
  }
  return payloads;
}

/** The parts of a frame from its RTP payloads in order, or null where they make no frame. */
export function depacketize(payloads, codec) {
  return codec === 'vp8' ? depacketizeVp8(payloads) : depacketizeH264(payloads);
}

function depacketizeVp8(payloads) {
  const data = payloads.map((payload) => payload.subarray(vp8DescriptorLength(payload)));
  const starts = (payloads[0][0] & 0x17) === 0x10;
  return starts ? [Buffer.concat(data)] : null;
}

function vp8DescriptorLength(payload) {
  if (!(payload[0] & 0x80)) return 1;
  const extensions = payload[1];
  let length = 2;
  if (extensions & 0x80) length += payload[length] & 0x80 ? 2 : 1;
  if (extensions & 0x40) length += 1;
  if (extensions & 0x30) length += 1;
  return length;
}

function depacketizeH264(payloads) {
  const units = [];
  let fragments = null;
  for (const payload of payloads) {
    const type = payload[0] & 31;
    if (type === 24) {
      for (let at = 1; at + 2 <= payload.length; ) {
        const size = payload.readUInt16BE(at);
        units.push(payload.subarray(at + 2, at + 2 + size));
        at += 2 + size;
      }
    } else if (type === 28) {
      if (payload[1] & 0x80) {
        fragments = [Buffer.from([(payload[0] & 0xe0) | (payload[1] & 31)])];
      }
      if (!fragments) return null;
      fragments.push(payload.subarray(2));
      if (payload[1] & 0x40) {
        units.push(Buffer.concat(fragments));
        fragments = null;
      }
    } else {
      units.push(payload);
    }
  }
  return fragments ? null : units;
}
