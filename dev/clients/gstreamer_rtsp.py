"""RTSP over GStreamer: a publisher, a reader, and a camera that wants a password.

    gstreamer_rtsp.py publish --url URL [--transport tcp|udp]
    gstreamer_rtsp.py watch   --url URL [--transport tcp|udp]
    gstreamer_rtsp.py serve   --user U --password P [--transport tcp|udp]

Events leave as JSON lines on standard output; `serve` tells its port first. The end of standard
input ends the client.
"""

import argparse
import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PICTURE = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1"
    " ! videoconvert ! queue ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=800"
    " key-int-max=30 threads=1 ! video/x-h264,profile=constrained-baseline"
)
SOUND = (
    "audiotestsrc is-live=true wave=sine ! audioconvert ! audioresample"
    " ! audio/x-raw,rate=48000,channels=2 ! queue"
)
DECODERS = {
    "H264": "rtph264depay ! h264parse ! openh264dec ! videoconvert",
    "OPUS": "rtpopusdepay ! opusdec",
    "MPEG4-GENERIC": "rtpmp4gdepay ! aacparse",
}


def emit(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class Client:
    """One session; everything happens on GLib's main loop."""

    def __init__(self, options):
        self.options = options
        self.loop = GLib.MainLoop()
        self.counts = {}
        self.failed = False

    def run(self):
        {"publish": self.publish, "watch": self.watch, "serve": self.serve}[self.options.role]()
        GLib.timeout_add(250, self.report)
        threading.Thread(target=self.obey, daemon=True).start()
        self.loop.run()
        if self.options.role != "serve":
            self.pipeline.set_state(Gst.State.NULL)
        return 1 if self.failed else 0

    def publish(self):
        url, transport = self.options.url, self.options.transport
        self.play(
            Gst.parse_launch(
                f"rtspclientsink name=out protocols={transport} location={url} "
                f"{PICTURE} ! h264parse ! out. {SOUND} ! opusenc ! out."
            )
        )

    def watch(self):
        pipeline = Gst.Pipeline.new()
        source = Gst.ElementFactory.make("rtspsrc", "source")
        source.set_property("location", self.options.url)
        source.set_property("latency", 200)
        Gst.util_set_object_arg(source, "protocols", self.options.transport)
        source.connect("pad-added", self.pad_added)
        pipeline.add(source)
        self.play(pipeline)

    def play(self, pipeline):
        self.pipeline = pipeline
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.error)
        bus.connect("message::eos", lambda *_: self.fail("the stream ended"))
        pipeline.set_state(Gst.State.PLAYING)

    def serve(self):
        self.server = GstRtspServer.RTSPServer.new()
        self.server.set_address("127.0.0.1")
        self.server.set_service("0")
        factory = GstRtspServer.RTSPMediaFactory.new()
        factory.set_launch(
            f"( {PICTURE} ! rtph264pay name=pay0 pt=96 config-interval=-1"
            f" {SOUND} ! opusenc ! rtpopuspay name=pay1 pt=97 )"
        )
        factory.set_shared(True)
        lower = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
        factory.set_protocols(lower[self.options.transport])
        auth = GstRtspServer.RTSPAuth.new()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken.new()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
        auth.add_digest(self.options.user, self.options.password, token)
        self.server.set_auth(auth)
        factory.add_role_from_structure(
            Gst.Structure.from_string(
                "viewer, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
            )[0]
        )
        self.server.get_mount_points().add_factory("/camera", factory)
        self.server.connect("client-connected", self.client_connected)
        self.server.attach(None)
        emit("address", port=self.server.get_bound_port())

    def client_connected(self, _, client):
        self.counts["clients"] = self.counts.get("clients", 0) + 1

        def closed(*_):
            self.counts["clients"] -= 1

        client.connect("closed", closed)

    def pad_added(self, _, pad):
        name = pad.get_current_caps().get_structure(0).get_string("encoding-name").upper()
        chain = Gst.parse_bin_from_description(
            f"queue ! {DECODERS[name]} ! fakesink name=sink sync=false signal-handoffs=true", True
        )
        self.counts[name] = 0

        def arrived(*_):
            self.counts[name] += 1

        chain.get_by_name("sink").connect("handoff", arrived)
        self.pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))

    def report(self):
        emit("stats", counts=self.counts)
        return True

    def error(self, _, message):
        self.fail(message.parse_error()[0].message)

    def fail(self, message):
        emit("failed", message=message)
        self.failed = True
        self.loop.quit()

    def obey(self):
        for _ in sys.stdin:
            pass
        self.loop.quit()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["publish", "watch", "serve"])
    parser.add_argument("--url")
    parser.add_argument("--transport", choices=["tcp", "udp"], default="tcp")
    parser.add_argument("--user")
    parser.add_argument("--password")
    Gst.init(None)
    sys.exit(Client(parser.parse_args()).run())


main()
