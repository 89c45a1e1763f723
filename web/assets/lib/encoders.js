/**
 * Settings and command lines that make encoders publish to a room.
 *
 * Owns: the text, one entry per door. Never touches the document.
 * @module
 */

/** What stands in the lines where a key is needed and none is given. */
export const MISSING_KEY = "YOUR-STREAM-KEY";

/** SRT's bounds of a passphrase, in characters. */
const PASSPHRASE = { least: 10, most: 79 };

/** Signed tokens, which are no part of a stream key: three texts with dots between. */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** The port that FTL clients assume: they cannot be told another. */
const FTL_PORT = 8084;

/**
 * @typedef {object} Target
 * @property {string} room
 * @property {string} host Name or address of the server; an IPv6 address in brackets.
 * @property {string} whip WHIP endpoint of the room.
 * @property {import("./api.js").EncoderPorts} ports Doors beside WHIP; absent ones are off.
 * @property {string} key Stream key, with or without its room, or signed token; empty where none is given.
 * @property {boolean} keyed Whether the room needs one.
 * @property {number} [number] The room's number, where it is known.
 */

/**
 * What to set in one program.
 * @typedef {object} Guide
 * @property {string} title
 * @property {[string, string][]} [fields] Settings to copy; an empty value is one that must stay empty.
 * @property {string[]} [steps] What to do, in order.
 * @property {[string, string][]} [commands] Command lines, each with its name.
 */

/**
 * @typedef {object} DoorGuide
 * @property {string} id Also the door's word in the control API.
 * @property {string} name
 * @property {string} intro
 * @property {string} [missing] Why there is nothing to set; `guides` is empty then.
 * @property {Guide[]} guides
 * @property {string[]} hints
 */

/** Quotes for a POSIX shell. @param {string} text */
const quoted = (text) => (/^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Escapes a value of a query; stream ids keep their colons, which every client reads. @param {string} text */
const escaped = (text) => encodeURIComponent(text).replaceAll("%3A", ":");

/** Lines joined as one command. @param {string[]} lines */
const command = (...lines) => lines.join(" \\\n  ");

const FILE = "-re -stream_loop -1 -i input.mp4";
const TEST_PICTURE = "-re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000";
const VIDEO = "-c:v libx264 -preset veryfast -tune zerolatency -bf 0 -g 60 -b:v 2500k -maxrate 2500k -bufsize 2500k -pix_fmt yuv420p";
const AAC = "-c:a aac -ar 48000 -ac 2 -b:a 160k";
const OPUS = "-c:a libopus -ar 48000 -ac 2 -b:a 128k";

const GST_PICTURE = "videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=30/1 ! videoconvert ! queue";
const GST_H264 = "! x264enc tune=zerolatency speed-preset=veryfast bitrate=2500 key-int-max=60";
const GST_AAC = "audiotestsrc is-live=true wave=ticks ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2 ! queue ! voaacenc bitrate=160000 ! aacparse";

const OBS_OUTPUT = "Settings, Output, advanced mode: rate control CBR, keyframe interval 2 s, B-frames 0 (x264: tune zerolatency).";

/**
 * FFmpeg's lines: a file and a test picture.
 * @param {string[]} coding Options of the encoders.
 * @param {string} output
 * @returns {Guide}
 */
const ffmpeg = (coding, output) => ({
  title: "FFmpeg",
  commands: [
    ["A file, at its own speed", command(`ffmpeg ${FILE}`, ...coding, output)],
    ["A test picture with sound", command(`ffmpeg ${TEST_PICTURE}`, ...coding, output)],
  ],
});

/**
 * Doors that are open, WHIP first.
 * @param {Target} target
 * @returns {DoorGuide[]}
 */
export function encodersOf(target) {
  const { room, ports, keyed } = target;
  const given = target.key || (keyed ? MISSING_KEY : "");
  // The stream key that administrators hand out begins with the room; some doors want the rest alone.
  const key = keyed ? (given.startsWith(`${room}-`) ? given.slice(room.length + 1) : given) : "";
  return [
    whip(target, given),
    ...(ports.rtmp === undefined && ports.rtmps === undefined ? [] : [rtmp(target, key)]),
    ...(ports.rtsp === undefined ? [] : [rtsp(target, ports.rtsp, key)]),
    ...(ports.srt === undefined ? [] : [srt(target, ports.srt, key)]),
    ...(ports.ftl === undefined ? [] : [ftl(target, ports.ftl, key)]),
  ];
}

/** Stands for a hidden key while the text is made: plain letters, so that no door quotes or escapes it. */
const HIDDEN = "HIDDENKEY";

/**
 * The same with the key as dots, for screens that others see.
 * @param {Target} target
 * @returns {DoorGuide[]}
 */
export function maskedEncodersOf(target) {
  if (target.key === "") return encodersOf(target);
  const prefix = target.key.startsWith(`${target.room}-`) ? `${target.room}-` : "";
  // As long as the key, since length decides whether it can be a passphrase, and of its form, which some doors go by.
  const bare = target.key.slice(prefix.length);
  const hidden = TOKEN.test(bare) ? `${HIDDEN}.A.${"0".repeat(bare.length)}` : HIDDEN.padEnd(bare.length, "0");
  const dots = (/** @type {string} */ text) => text.replaceAll(hidden, "••••••••");
  return encodersOf({ ...target, key: `${prefix}${hidden}` }).map((door) => ({
    ...door,
    guides: door.guides.map((guide) => ({
      ...guide,
      fields: guide.fields?.map(([name, value]) => [name, dots(value)]),
      commands: guide.commands?.map(([name, value]) => [name, dots(value)]),
    })),
  }));
}

/**
 * @param {Target} target
 * @param {string} key
 * @returns {DoorGuide}
 */
function whip({ whip: url }, key) {
  const output = `-f whip${key ? ` -authorization ${quoted(key)}` : ""} ${quoted(url)}`;
  return {
    id: "whip",
    name: "OBS/WHIP",
    intro: "WebRTC all the way: the least delay, and sound without conversion.",
    guides: [
      {
        title: "OBS Studio 30 or newer",
        fields: [
          ["Service", "WHIP"],
          ["Server", url],
          ["Bearer Token", key],
        ],
        steps: ["Settings, Stream: set what stands above.", `${OBS_OUTPUT} Profile baseline.`, "Start Streaming."],
      },
      ffmpeg([VIDEO.replace("-preset", "-profile:v baseline -preset"), OPUS], output),
      {
        title: "GStreamer",
        commands: [
          [
            "whipclientsink, which encodes by itself",
            command(
              `gst-launch-1.0 whipclientsink name=out signaller::whip-endpoint=${quoted(url)}${key ? ` signaller::auth-token=${quoted(key)}` : ""}`,
              "videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=30/1 ! queue ! out.",
              "audiotestsrc is-live=true wave=ticks ! queue ! out.",
            ),
          ],
          [
            "whipsink, with an encoder of your choice",
            command(
              `gst-launch-1.0 whipsink name=out whip-endpoint=${quoted(url)}${key ? ` auth-token=${quoted(key)}` : ""}`,
              GST_PICTURE,
              `${GST_H264} ! video/x-h264,profile=constrained-baseline`,
              "! rtph264pay config-interval=-1 aggregate-mode=zero-latency ! application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000 ! out.sink_0",
              "audiotestsrc is-live=true wave=ticks ! audioconvert ! queue ! opusenc",
              "! rtpopuspay ! 'application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000,encoding-params=(string)2' ! out.sink_1",
            ),
          ],
        ],
      },
    ],
    hints: [
      "FFmpeg 8 or newer, built with OpenSSL or another DTLS library.",
      "GStreamer’s elements come with gst-plugins-rs (rswebrtc and webrtchttp).",
      "Keep B-frames off: WebRTC cannot play them.",
    ],
  };
}

/**
 * @param {Target} target
 * @param {string} key
 * @returns {DoorGuide}
 */
function rtmp({ room, host, ports, keyed }, key) {
  const plain = ports.rtmp === undefined ? undefined : `rtmp://${host}:${ports.rtmp}/live`;
  const secure = ports.rtmps === undefined ? undefined : `rtmps://${host}:${ports.rtmps}/live`;
  const stream = key === "" ? room : TOKEN.test(key) ? `${room}?token=${key}` : `${room}-${key}`;
  const address = `${plain ?? secure}/${stream}`;
  /** @type {[string, string][]} */
  const fields = [];
  if (plain) fields.push(["Server", plain]);
  if (secure) fields.push([plain ? "Server, encrypted" : "Server", secure]);
  fields.push(["Stream Key", stream]);
  return {
    id: "rtmp",
    name: "RTMP",
    intro: "Every encoder speaks it. H264, H265, AV1 or VP9 with AAC or Opus; sound becomes Opus for viewers by itself.",
    guides: [
      {
        title: "OBS Studio and other encoders",
        fields,
        steps: ["Settings, Stream: service “Custom…”, then what stands above.", OBS_OUTPUT, "Start Streaming."],
      },
      ffmpeg([VIDEO, AAC], `-f flv ${quoted(address)}`),
      {
        title: "GStreamer",
        commands: [
          [
            "A test picture with sound",
            command(
              `gst-launch-1.0 flvmux name=mux streamable=true ! rtmp2sink location=${quoted(address)}`,
              GST_PICTURE,
              `${GST_H264} ! h264parse ! mux.`,
              `${GST_AAC} ! mux.`,
            ),
          ],
        ],
      },
    ],
    hints: [
      ...(keyed ? ["Where an encoder has one field only, it takes server and stream key together, with “/” between them."] : []),
      ...(plain && secure ? ["RTMP sends the stream key readable by everybody on the way; RTMPS does not."] : []),
      "Pictures with B-frames cost viewers over WebRTC quality or do not play at all: set them to 0.",
    ],
  };
}

/**
 * @param {Target} target
 * @param {number} port
 * @param {string} key
 * @returns {DoorGuide}
 */
function rtsp({ room, host }, port, key) {
  const stream = key === "" ? room : TOKEN.test(key) ? `${room}?token=${key}` : `${room}-${key}`;
  const address = `rtsp://${host}:${port}/${stream}`;
  return {
    id: "rtsp",
    name: "RTSP",
    intro: "What cameras, recorders and media tools speak. H264, H265, VP8, VP9 or AV1 with AAC or Opus, over TCP or UDP.",
    guides: [
      {
        title: "Cameras and encoders that push",
        fields: [["Address", address]],
      },
      ffmpeg([VIDEO, AAC], `-f rtsp -rtsp_transport tcp ${quoted(address)}`),
      {
        title: "GStreamer",
        commands: [
          [
            "A test picture with sound",
            command(
              `gst-launch-1.0 rtspclientsink name=out protocols=tcp location=${quoted(address)}`,
              GST_PICTURE,
              `${GST_H264} ! h264parse ! out.`,
              `${GST_AAC} ! out.`,
            ),
          ],
        ],
      },
    ],
    hints: [
      "Without -rtsp_transport tcp media goes over UDP, where what is lost stays lost.",
      "Pictures with B-frames cost viewers over WebRTC quality or do not play at all: set them to 0.",
    ],
  };
}

/**
 * @param {Target} target
 * @param {number} port
 * @param {string} key
 * @returns {DoorGuide}
 */
function srt({ room, host, keyed }, port, key) {
  const streamId = key ? `publish:${room}:${key}` : `publish:${room}`;
  const encrypts = key.length >= PASSPHRASE.least && key.length <= PASSPHRASE.most;
  const base = `srt://${host}:${port}`;
  const secret = encrypts ? `&passphrase=${encodeURIComponent(key)}&pbkeylen=16` : "";
  const url = `${base}?streamid=${escaped(streamId)}${secret}`;
  return {
    id: "srt",
    name: "SRT",
    intro: "Repairs losses, so it holds on bad connections: for drones, phones and far contributions. MPEG-TS with H264 or H265, and AAC or Opus.",
    guides: [
      {
        title: "OBS Studio",
        fields: [
          ["Server", url],
          ["Stream Key", ""],
        ],
        steps: ["Settings, Stream: service “Custom…”, then what stands above.", OBS_OUTPUT, "Start Streaming."],
      },
      {
        title: "Hardware encoders and apps",
        fields: [
          ["Address", `${host}:${port}`],
          ["Mode", "caller"],
          ["Stream ID", streamId],
          .../** @type {[string, string][]} */ (
            encrypts
              ? [
                  ["Passphrase", key],
                  ["Key length", "16 bytes (AES-128)"],
                ]
              : []
          ),
        ],
      },
      ffmpeg([VIDEO, AAC], `-f mpegts ${quoted(url)}`),
      {
        title: "GStreamer",
        commands: [
          [
            "A test picture with sound",
            command(
              `gst-launch-1.0 mpegtsmux name=mux alignment=7 ! srtsink uri=${quoted(url)}`,
              GST_PICTURE,
              `${GST_H264} ! h264parse config-interval=-1 ! mux.`,
              `${GST_AAC} ! mux.`,
            ),
          ],
        ],
      },
    ],
    hints: [
      keyed
        ? encrypts
          ? "The stream key is the passphrase, too. Leave out passphrase and key length to send without encryption; a key length of 24 or 32 works as well."
          : `No passphrase: it has ${PASSPHRASE.least} to ${PASSPHRASE.most} characters, while this key has ${key.length}.`
        : "This room needs no key, so there is nothing to encrypt with.",
      "The latency is the server’s or the caller’s, whichever is longer; FFmpeg and OBS take “&latency=” in microseconds.",
    ],
  };
}

/**
 * @param {Target} target
 * @param {number} port
 * @param {string} key
 * @returns {DoorGuide}
 */
function ftl({ host, keyed, number }, port, key) {
  const door = { id: "ftl", name: "FTL", intro: "For encoders that still speak it, such as older versions of OBS. H264 or VP8 with Opus." };
  const token = TOKEN.test(key);
  if (number === undefined || token) {
    return {
      ...door,
      missing: token
        ? "FTL proves a stream key and cannot carry a token: give one of the room’s stream keys above."
        : keyed
          ? "FTL names rooms by number. This room’s number is shown to administrators: open this page from the admin page, or ask for it."
          : "FTL names rooms by number and always proves a stream key. This room is open and has neither: make one that needs a key on the admin page.",
      guides: [],
      hints: ["FFmpeg and GStreamer do not speak FTL."],
    };
  }
  const bare = host.replace(/^\[|\]$/g, "");
  const stream = `${number}-${key}`;
  return {
    ...door,
    guides: [
      {
        title: "Encoders",
        fields: [
          ["Host", bare],
          ["Room number", String(number)],
          ["Stream Key", stream],
        ],
        steps: [
          "OBS knows FTL servers by its list of services: add one with this host to services.json of the rtmp-services plugin, choose it and set the stream key.",
          "Settings, Output: keyframe interval 2 s, B-frames 0, CBR.",
        ],
      },
      {
        title: "ftl_app, of the FTL library",
        commands: [["A file of H264 and one of Opus", command(`ftl_app -i ${quoted(bare)} -s ${quoted(stream)}`, "-v video.h264 -a audio.opus -f 30")]],
      },
    ],
    hints: [
      ...(port === FTL_PORT ? [] : [`This server has FTL on port ${port}, and clients know ${FTL_PORT} only: forward that one to it.`]),
      "FFmpeg and GStreamer do not speak FTL: use RTMP or SRT with them.",
    ],
  };
}
