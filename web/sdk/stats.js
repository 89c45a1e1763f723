/**
 * Figures of a connection, made from two successive `RTCStatsReport`s.
 *
 * Owns: the arithmetic. Never polls; `WhipPublisher` and `WhepPlayer` feed it. Bitrates are bits per second, times are
 * milliseconds, loss is a share from 0 to 1 of the packets since the sample before.
 * @module
 */

/**
 * @typedef {object} TransportStats
 * @property {number} [roundTripMs]
 * @property {"udp" | "tcp"} [protocol]
 * @property {string} [localType] `host`, `srflx`, `prflx` or `relay`.
 * @property {string} [remoteAddress] Address and port of the server's media socket, where the browser tells it.
 * @property {number} [available] Bandwidth that the browser estimates it can send with.
 */

/**
 * @typedef {object} InboundVideo
 * @property {string} [codec]
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} framesPerSecond
 * @property {number} bitrate
 * @property {number} loss
 * @property {number} [jitterMs]
 * @property {number} [bufferMs] Mean time that a frame waited in the jitter buffer.
 * @property {number} [decodeMs] Mean time that decoding a frame took.
 * @property {number} framesDecoded Since the start.
 * @property {number} framesDropped Since the start.
 * @property {number} freezes Since the start.
 * @property {number} keyframes Decoded since the start.
 * @property {number} nacks Sent since the start.
 * @property {number} keyframeRequests Sent since the start (PLI and FIR).
 * @property {string} [decoder]
 */

/**
 * @typedef {object} InboundAudio
 * @property {string} [codec]
 * @property {number} bitrate
 * @property {number} loss
 * @property {number} [jitterMs]
 * @property {number} [bufferMs]
 * @property {number} concealed Share of samples since the sample before that had to be made up, 0 to 1.
 * @property {number} [level] Loudness, 0 to 1.
 * @property {number} samples Received since the start.
 */

/**
 * @typedef {object} PlayerStats
 * @property {number} at Milliseconds since the epoch.
 * @property {TransportStats} transport
 * @property {InboundVideo} [video]
 * @property {InboundAudio} [audio]
 * @property {number} bitrate
 * @property {number} bytesReceived Since the connection began.
 * @property {number} [latencyMs] Estimate from the server to the screen: half a round trip, jitter buffer and decoding.
 */

/**
 * @typedef {object} OutboundLayer
 * @property {string} [rid]
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} framesPerSecond
 * @property {number} bitrate
 * @property {number} [target] Bitrate that the encoder aims at.
 * @property {boolean} active
 * @property {string} [limitedBy] `bandwidth`, `cpu` or `other` where the picture is below what was asked for.
 * @property {string} [encoder]
 * @property {number} framesEncoded Since the start.
 * @property {number} [encodeMs] Mean time that encoding a frame took.
 * @property {number} nacks Received since the start.
 * @property {number} keyframeRequests Received since the start (PLI and FIR).
 * @property {number} keyframes Encoded since the start.
 */

/**
 * @typedef {object} PublisherStats
 * @property {number} at
 * @property {TransportStats} transport
 * @property {{ codec?: string, layers: OutboundLayer[], bitrate: number, loss: number } | undefined} video Layers from the lowest up.
 * @property {{ codec?: string, bitrate: number, loss: number, level?: number } | undefined} audio
 * @property {number} bitrate
 * @property {number} bytesSent Since the connection began.
 */

/** @typedef {Record<string, any> & { id: string, type: string }} Entry */

/** Remembers the report before, so that sums become rates. */
export class StatsReader {
  /** @type {Map<string, Entry>} */
  #before = new Map();
  /** @type {Map<string, Entry>} */
  #now = new Map();
  #at = 0;

  /**
   * @param {Iterable<any>} entries Values of an `RTCStatsReport`.
   * @param {number} at
   */
  #load(entries, at) {
    this.#before = this.#now;
    this.#now = new Map();
    for (const entry of entries) this.#now.set(entry.id, entry);
    this.#at = at;
  }

  /**
   * Growth of a counter since the report before; from zero where the entry is new.
   * @param {Entry} entry
   * @param {string} name
   * @returns {number}
   */
  #growth(entry, name) {
    return Math.max(0, (entry[name] ?? 0) - (this.#before.get(entry.id)?.[name] ?? 0));
  }

  /**
   * @param {Entry} entry
   * @param {string} name Name of a counter of bytes.
   * @returns {number}
   */
  #bitrate(entry, name) {
    const before = this.#before.get(entry.id);
    if (!before) return 0;
    const seconds = (entry.timestamp - before.timestamp) / 1000;
    return seconds > 0 ? Math.round((this.#growth(entry, name) * 8) / seconds) : 0;
  }

  /**
   * Mean of a sum in seconds over a count since the report before, in milliseconds.
   * @param {Entry} entry
   * @param {string} sum
   * @param {string} count
   * @returns {number | undefined}
   */
  #mean(entry, sum, count) {
    if (entry[sum] === undefined) return undefined;
    const n = this.#growth(entry, count);
    return n > 0 ? (this.#growth(entry, sum) / n) * 1000 : undefined;
  }

  /**
   * @param {Entry} entry
   * @returns {string | undefined}
   */
  #codec(entry) {
    const name = this.#now.get(entry.codecId ?? "")?.mimeType;
    return typeof name === "string" ? name.slice(name.indexOf("/") + 1) : undefined;
  }

  /** @returns {TransportStats} */
  #transport() {
    const entries = [...this.#now.values()];
    const selected = entries.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
    const pair =
      this.#now.get(selected?.selectedCandidatePairId ?? "") ??
      entries.find((entry) => entry.type === "candidate-pair" && entry.state === "succeeded" && (entry.nominated || entry.selected));
    if (!pair) return {};
    const local = this.#now.get(pair.localCandidateId);
    const remote = this.#now.get(pair.remoteCandidateId);
    const address = remote?.address;
    return {
      roundTripMs: pair.currentRoundTripTime === undefined ? undefined : pair.currentRoundTripTime * 1000,
      protocol: local?.protocol,
      localType: local?.candidateType,
      remoteAddress: address ? `${address.includes(":") ? `[${address}]` : address}:${remote?.port}` : undefined,
      available: pair.availableOutgoingBitrate,
    };
  }

  /**
   * @param {Entry} entry
   * @returns {number}
   */
  #inboundLoss(entry) {
    const lost = this.#growth(entry, "packetsLost");
    const all = lost + this.#growth(entry, "packetsReceived");
    return all > 0 ? lost / all : 0;
  }

  /**
   * @param {Iterable<any>} entries Values of an `RTCStatsReport`.
   * @param {number} at Milliseconds since the epoch.
   * @returns {PlayerStats}
   */
  readInbound(entries, at) {
    this.#load(entries, at);
    const transport = this.#transport();
    /** @type {PlayerStats} */
    const stats = { at: this.#at, transport, bitrate: 0, bytesReceived: 0 };
    for (const entry of this.#now.values()) {
      if (entry.type !== "inbound-rtp") continue;
      const bitrate = this.#bitrate(entry, "bytesReceived");
      stats.bitrate += bitrate;
      stats.bytesReceived += entry.bytesReceived ?? 0;
      const common = {
        codec: this.#codec(entry),
        bitrate,
        loss: this.#inboundLoss(entry),
        jitterMs: entry.jitter === undefined ? undefined : entry.jitter * 1000,
        bufferMs: this.#mean(entry, "jitterBufferDelay", "jitterBufferEmittedCount"),
      };
      if (entry.kind === "video") {
        stats.video = {
          ...common,
          width: entry.frameWidth,
          height: entry.frameHeight,
          framesPerSecond: entry.framesPerSecond ?? 0,
          decodeMs: this.#mean(entry, "totalDecodeTime", "framesDecoded"),
          framesDecoded: entry.framesDecoded ?? 0,
          framesDropped: entry.framesDropped ?? 0,
          freezes: entry.freezeCount ?? 0,
          keyframes: entry.keyFramesDecoded ?? 0,
          nacks: entry.nackCount ?? 0,
          keyframeRequests: (entry.pliCount ?? 0) + (entry.firCount ?? 0),
          decoder: entry.decoderImplementation,
        };
      } else if (entry.kind === "audio") {
        const samples = this.#growth(entry, "totalSamplesReceived");
        stats.audio = {
          ...common,
          concealed: samples > 0 ? this.#growth(entry, "concealedSamples") / samples : 0,
          level: entry.audioLevel,
          samples: entry.totalSamplesReceived ?? 0,
        };
      }
    }
    const media = stats.video ?? stats.audio;
    if (media?.bufferMs !== undefined) {
      stats.latencyMs = (transport.roundTripMs ?? 0) / 2 + media.bufferMs + (stats.video?.decodeMs ?? 0);
    }
    return stats;
  }

  /**
   * @param {Iterable<any>} entries Values of an `RTCStatsReport`.
   * @param {number} at Milliseconds since the epoch.
   * @returns {PublisherStats}
   */
  readOutbound(entries, at) {
    this.#load(entries, at);
    /** @type {PublisherStats} */
    const stats = { at: this.#at, transport: this.#transport(), video: undefined, audio: undefined, bitrate: 0, bytesSent: 0 };
    /** @type {Record<string, number>} */
    const losses = {};
    for (const entry of this.#now.values()) {
      if (entry.type !== "remote-inbound-rtp") continue;
      losses[entry.kind] = Math.max(losses[entry.kind] ?? 0, entry.fractionLost ?? 0);
      if (stats.transport.roundTripMs === undefined && entry.roundTripTime) stats.transport.roundTripMs = entry.roundTripTime * 1000;
    }
    for (const entry of this.#now.values()) {
      if (entry.type !== "outbound-rtp") continue;
      const bitrate = this.#bitrate(entry, "bytesSent");
      stats.bitrate += bitrate;
      stats.bytesSent += entry.bytesSent ?? 0;
      if (entry.kind === "audio") {
        const level = this.#now.get(entry.mediaSourceId ?? "")?.audioLevel;
        stats.audio = { codec: this.#codec(entry), bitrate, loss: losses.audio ?? 0, level };
        continue;
      }
      stats.video ??= { codec: this.#codec(entry), layers: [], bitrate: 0, loss: losses.video ?? 0 };
      stats.video.codec ??= this.#codec(entry);
      stats.video.bitrate += bitrate;
      const limit = entry.qualityLimitationReason;
      stats.video.layers.push({
        rid: entry.rid,
        width: entry.frameWidth,
        height: entry.frameHeight,
        framesPerSecond: entry.framesPerSecond ?? 0,
        bitrate,
        target: entry.targetBitrate,
        active: entry.active ?? true,
        limitedBy: limit === "none" ? undefined : limit,
        encoder: entry.encoderImplementation,
        framesEncoded: entry.framesEncoded ?? 0,
        encodeMs: this.#mean(entry, "totalEncodeTime", "framesEncoded"),
        nacks: entry.nackCount ?? 0,
        keyframeRequests: (entry.pliCount ?? 0) + (entry.firCount ?? 0),
        keyframes: entry.keyFramesEncoded ?? 0,
      });
    }
    // A layer without a picture is paused, and what is paused first is the highest.
    stats.video?.layers.sort((one, other) => (one.width ?? Infinity) - (other.width ?? Infinity) || 0);
    return stats;
  }
}
