/**
 * Lines that make encoders publish to a room.
 *
 * Owns: the text. Never touches the document.
 * @module
 */

/**
 * @typedef {object} Target
 * @property {string} url WHIP endpoint of the room.
 * @property {string} key Stream key or token; empty where none is needed.
 */

/** Quotes for a POSIX shell. @param {string} text */
const quoted = (text) => (/^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/**
 * @param {Target} target
 * @returns {{ id: string, name: string, fields?: [string, string][], commands?: [string, string][], hints: string[] }[]}
 */
export function encodersOf({ url, key }) {
  return [
    {
      id: "obs",
      name: "OBS",
      fields: [
        ["Service", "WHIP"],
        ["Server", url],
        ["Bearer Token", key],
      ],
      hints: [
        "OBS 30 or newer: Settings, Stream.",
        "Output, advanced: keyframe interval 2 s, no B-frames (x264: tune zerolatency, profile baseline), rate control CBR.",
      ],
    },
    {
      id: "ffmpeg",
      name: "FFmpeg",
      commands: [
        [
          "A file, at its own speed",
          [
            "ffmpeg -re -stream_loop -1 -i input.mp4 \\",
            "  -c:v libx264 -profile:v baseline -preset veryfast -tune zerolatency -bf 0 -g 60 -b:v 2500k -pix_fmt yuv420p \\",
            "  -c:a libopus -ar 48000 -ac 2 -b:a 128k \\",
            `  -f whip${key ? ` -authorization ${quoted(key)}` : ""} ${quoted(url)}`,
          ].join("\n"),
        ],
        [
          "A test picture with sound",
          [
            "ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 \\",
            "  -c:v libx264 -profile:v baseline -preset veryfast -tune zerolatency -bf 0 -g 60 -b:v 2500k -pix_fmt yuv420p \\",
            "  -c:a libopus -ar 48000 -ac 2 -b:a 128k \\",
            `  -f whip${key ? ` -authorization ${quoted(key)}` : ""} ${quoted(url)}`,
          ].join("\n"),
        ],
      ],
      hints: ["FFmpeg 8 or newer, built with OpenSSL or another DTLS library.", "Keep “-bf 0”: WebRTC cannot play B-frames."],
    },
    {
      id: "gstreamer",
      name: "GStreamer",
      commands: [
        [
          "whipclientsink, which encodes by itself",
          [
            `gst-launch-1.0 whipclientsink name=out signaller::whip-endpoint=${quoted(url)}${key ? ` signaller::auth-token=${quoted(key)}` : ""} \\`,
            "  videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=30/1 ! queue ! out. \\",
            "  audiotestsrc is-live=true wave=ticks ! queue ! out.",
          ].join("\n"),
        ],
        [
          "whipsink, with an encoder of your choice",
          [
            `gst-launch-1.0 whipsink name=out whip-endpoint=${quoted(url)}${key ? ` auth-token=${quoted(key)}` : ""} \\`,
            "  videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=30/1 ! videoconvert ! queue \\",
            "  ! x264enc tune=zerolatency speed-preset=veryfast bitrate=2500 key-int-max=60 ! video/x-h264,profile=constrained-baseline \\",
            "  ! rtph264pay config-interval=-1 aggregate-mode=zero-latency ! application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000 ! out.sink_0 \\",
            "  audiotestsrc is-live=true wave=ticks ! audioconvert ! queue ! opusenc \\",
            "  ! rtpopuspay ! 'application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000,encoding-params=(string)2' ! out.sink_1",
          ].join("\n"),
        ],
      ],
      hints: ["The elements come with gst-plugins-rs (rswebrtc and webrtchttp)."],
    },
  ];
}
