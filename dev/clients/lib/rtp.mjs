// RTP and RTCP bytes (RFC 3550, 4585, 4588), as far as the test clients need them.

const NTP_EPOCH = 2208988800;

/** One RTP packet. */
export function rtpPacket({ payloadType, sequence, timestamp, ssrc, marker, payload }) {
  const header = Buffer.alloc(12);
  header[0] = 0x80;
  header[1] = payloadType | (marker ? 0x80 : 0);
  header.writeUInt16BE(sequence & 0xffff, 2);
  header.writeUInt32BE(timestamp >>> 0, 4);
  header.writeUInt32BE(ssrc >>> 0, 8);
  return Buffer.concat([header, payload]);
}

/** Fields of an RTP packet; padding and extensions are left out of the payload. */
export function parseRtp(packet) {
  let at = 12 + (packet[0] & 15) * 4;
  if (packet[0] & 0x10) at += 4 + packet.readUInt16BE(at + 2) * 4;
  const end = packet[0] & 0x20 ? packet.length - packet[packet.length - 1] : packet.length;
  return {
    payloadType: packet[1] & 0x7f,
    marker: (packet[1] & 0x80) !== 0,
    sequence: packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4),
    ssrc: packet.readUInt32BE(8),
    payload: packet.subarray(at, Math.max(at, end)),
  };
}

export const isRtcp = (packet) => packet[1] >= 192 && packet[1] <= 223;

/** A sender report with no report blocks. */
export function senderReport({ ssrc, timestamp, packets, octets, now }) {
  const report = Buffer.alloc(28);
  const seconds = now / 1000 + NTP_EPOCH;
  report[0] = 0x80;
  report[1] = 200;
  report.writeUInt16BE(6, 2);
  report.writeUInt32BE(ssrc >>> 0, 4);
  report.writeUInt32BE(Math.floor(seconds), 8);
  report.writeUInt32BE(Math.floor((seconds % 1) * 2 ** 32), 12);
  report.writeUInt32BE(timestamp >>> 0, 16);
  report.writeUInt32BE(packets >>> 0, 20);
  report.writeUInt32BE(octets >>> 0, 24);
  return report;
}

function feedback(type, format, sender, media, rest) {
  const message = Buffer.alloc(12 + rest.length);
  message[0] = 0x80 | format;
  message[1] = type;
  message.writeUInt16BE(message.length / 4 - 1, 2);
  message.writeUInt32BE(sender >>> 0, 4);
  message.writeUInt32BE(media >>> 0, 8);
  rest.copy(message, 12);
  return message;
}

/** Asks for packets again (generic NACK). */
export function nack(sender, media, sequences) {
  const rest = Buffer.alloc(sequences.length * 4);
  sequences.forEach((sequence, index) => rest.writeUInt16BE(sequence, index * 4));
  return feedback(205, 1, sender, media, rest);
}

/** Asks for a keyframe (PLI). */
export const pli = (sender, media) => feedback(206, 1, sender, media, Buffer.alloc(0));

/**
 * What a compound RTCP packet asks of a sender and tells of one:
 * `{media, nacks: [sequence], keyframe, report: {ssrc, timestamp, wallClock}}`, one for each part.
 * `wallClock` is in milliseconds since 1970.
 */
export function parseRtcp(packet) {
  const parts = [];
  for (let at = 0; at + 8 <= packet.length; ) {
    const size = (packet.readUInt16BE(at + 2) + 1) * 4;
    const part = packet.subarray(at, at + size);
    const [format, type] = [part[0] & 31, part[1]];
    if (type === 200 && part.length >= 28) {
      const [ssrc, timestamp] = [part.readUInt32BE(4), part.readUInt32BE(16)];
      const seconds = part.readUInt32BE(8) - NTP_EPOCH + part.readUInt32BE(12) / 2 ** 32;
      parts.push({ report: { ssrc, timestamp, wallClock: seconds * 1000 } });
    } else if (part.length >= 12 && (type === 205 || type === 206)) {
      const media = part.readUInt32BE(8);
      if (type === 205 && format === 1) parts.push({ media, nacks: lost(part) });
      if (type === 206 && format === 1) parts.push({ media, keyframe: true });
      if (type === 206 && format === 4) parts.push({ media: part.readUInt32BE(12), keyframe: true });
    }
    at += size;
  }
  return parts;
}

function lost(part) {
  const sequences = [];
  for (let at = 12; at + 4 <= part.length; at += 4) {
    const first = part.readUInt16BE(at);
    const mask = part.readUInt16BE(at + 2);
    sequences.push(first);
    for (let bit = 0; bit < 16; bit += 1) {
      if (mask & (1 << bit)) sequences.push((first + bit + 1) & 0xffff);
    }
  }
  return sequences;
}
