// Opus packets as an Ogg file (RFC 3533, 7845), so that any decoder can be asked what they hold.

const TABLE = Array.from({ length: 256 }, (_, index) => {
  let value = index << 24;
  for (let bit = 0; bit < 8; bit += 1) value = value & 0x80000000 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value >>> 0;
});

function checksum(page) {
  let value = 0;
  for (const byte of page) value = ((value << 8) ^ TABLE[(value >>> 24) ^ byte]) >>> 0;
  return value;
}

function page({ packet, sequence, granule, flags }) {
  const segments = Math.floor(packet.length / 255) + 1;
  const head = Buffer.alloc(27 + segments, 255);
  head.write('OggS', 0, 'latin1');
  head[4] = 0;
  head[5] = flags;
  head.writeBigUInt64LE(BigInt(granule), 6);
  head.writeUInt32LE(1, 14);
  head.writeUInt32LE(sequence, 18);
  head.writeUInt32LE(0, 22);
  head[26] = segments;
  head[26 + segments] = packet.length % 255;
  const whole = Buffer.concat([head, packet]);
  whole.writeUInt32LE(checksum(whole), 22);
  return whole;
}

/** A file of stereo packets `{payload, samples}`, of which a decoder leaves nothing out. */
export function oggOpus(packets) {
  const head = Buffer.alloc(19);
  head.write('OpusHead', 0, 'latin1');
  head[8] = 1;
  head[9] = 2;
  head.writeUInt32LE(48000, 12);
  const tags = Buffer.alloc(16);
  tags.write('OpusTags', 0, 'latin1');
  let granule = 0;
  return Buffer.concat([
    page({ packet: head, sequence: 0, granule, flags: 2 }),
    page({ packet: tags, sequence: 1, granule, flags: 0 }),
    ...packets.map(({ payload, samples }, index) => {
      granule += samples;
      return page({ packet: payload, sequence: index + 2, granule, flags: 0 });
    }),
  ]);
}
