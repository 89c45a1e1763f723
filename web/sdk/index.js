/**
 * Inver's SDK: publish and watch live video over WHIP, WHEP and HLS.
 *
 * A table of contents; the custom elements are defined by importing `elements.js`.
 * @module
 */

export { VideoCodec, encodingsOf, preferCodec, sendableCodecs } from "./codecs.js";
export { Emitter } from "./emitter.js";
export { ConnectionError, ErrorCode, InverError, MediaError, SignallingError } from "./errors.js";
export { HlsPlayer } from "./hls.js";
export { layerName } from "./layers.js";
export { PlayerEvent, PlayerState, WhepPlayer } from "./player.js";
export { PublisherEvent, PublisherState, WhipPublisher } from "./publisher.js";
export { endpointOf, isRoomId, roomIdProblem, serverOf, suggestRoomId } from "./room.js";
export { SourceKind, listDevices, openSource } from "./sources.js";
export { Transport, playlistOf } from "./transport.js";

/**
 * @typedef {import("./errors.js").ErrorCodeValue} ErrorCodeValue
 * @typedef {import("./hls.js").HlsStats} HlsStats
 * @typedef {import("./layers.js").Layer} Layer
 * @typedef {import("./player.js").PlayerOptions} PlayerOptions
 * @typedef {import("./player.js").PlayerStateValue} PlayerStateValue
 * @typedef {import("./publisher.js").PublisherOptions} PublisherOptions
 * @typedef {import("./publisher.js").PublisherStateValue} PublisherStateValue
 * @typedef {import("./sources.js").Source} Source
 * @typedef {import("./sources.js").SourceKindValue} SourceKindValue
 * @typedef {import("./sources.js").SourceOptions} SourceOptions
 * @typedef {import("./stats.js").PlayerStats} PlayerStats
 * @typedef {import("./stats.js").PublisherStats} PublisherStats
 * @typedef {import("./transport.js").TransportValue} TransportValue
 */
