"""WHIP and WHEP over GStreamer's webrtcbin, whose DTLS brings an RSA certificate.

    gstreamer.py publish --url URL --codec vp8|h264 [--token T]
    gstreamer.py watch   --url URL --codec vp8|h264 [--token T]

Events leave as JSON lines on standard output; commands come as JSON lines on standard input:
{"do":"end"} deletes the session. The end of standard input ends the client.
"""

import argparse
import json
import sys
import threading
import urllib.error
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

VIDEO = {
    "vp8": "vp8enc deadline=1 target-bitrate=800000 keyframe-max-dist=60 ! rtpvp8pay pt=96"
    " picture-id-mode=2",
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max=60 threads=1"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay pt=96 config-interval=-1"
    " aggregate-mode=zero-latency",
}
NAMES = {"vp8": "VP8", "h264": "H264"}
DECODERS = {
    "VP8": "rtpvp8depay ! vp8dec ! videoconvert",
    "H264": "rtph264depay ! h264parse ! openh264dec ! videoconvert",
    "OPUS": "rtpopusdepay ! opusdec",
}


def emit(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class Client:
    """One session; everything but the HTTP exchange happens on GLib's main loop."""

    def __init__(self, options):
        self.options = options
        self.loop = GLib.MainLoop()
        self.location = None
        self.offered = False
        self.counts = {}
        self.failed = False

    def run(self):
        if self.options.role == "publish":
            self.pipeline = Gst.parse_launch(
                "webrtcbin name=rtc bundle-policy=max-bundle "
                "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,"
                f"framerate=30/1 ! videoconvert ! queue ! {VIDEO[self.options.codec]}"
                " ! application/x-rtp,media=video,payload=96,clock-rate=90000,"
                f"encoding-name={NAMES[self.options.codec]} ! rtc. "
                "audiotestsrc is-live=true wave=sine ! audioconvert ! audioresample ! queue"
                " ! opusenc ! rtpopuspay pt=97 ! application/x-rtp,media=audio,payload=97,"
                "clock-rate=48000,encoding-name=OPUS,encoding-params=(string)2 ! rtc."
            )
        else:
            self.pipeline = Gst.Pipeline.new()
            rtc = Gst.ElementFactory.make("webrtcbin", "rtc")
            rtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
            self.pipeline.add(rtc)
        self.rtc = self.pipeline.get_by_name("rtc")
        if self.options.role == "watch":
            self.receive()
        self.rtc.connect("on-negotiation-needed", self.negotiate)
        self.rtc.connect("notify::ice-gathering-state", self.gathered)
        self.rtc.connect("notify::connection-state", self.connected)
        self.rtc.connect("pad-added", self.pad_added)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.error)
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add(250, self.report)
        threading.Thread(target=self.obey, daemon=True).start()
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        return 1 if self.failed else 0

    def receive(self):
        only = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        video = f"application/x-rtp,media=video,encoding-name={NAMES[self.options.codec]}"
        video += ",payload=96,clock-rate=90000,rtcp-fb-nack=true,rtcp-fb-nack-pli=true"
        if self.options.codec == "h264":
            video += ",packetization-mode=(string)1,profile-level-id=(string)42e01f"
            video += ",level-asymmetry-allowed=(string)1"
        audio = "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000"
        audio += ",encoding-params=(string)2"
        for caps in (video, audio):
            transceiver = self.rtc.emit("add-transceiver", only, Gst.Caps.from_string(caps))
            if "video" in caps:
                transceiver.set_property("do-nack", True)

    def negotiate(self, rtc):
        def created(promise):
            # The reply owns the offer: it has to live until the offer is used.
            reply = promise.get_reply()
            offer = reply.get_value("offer")
            rtc.emit("set-local-description", offer, Gst.Promise.new())

        rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(created))

    def gathered(self, rtc, _):
        complete = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        if rtc.get_property("ice-gathering-state") == complete and not self.offered:
            self.offered = True
            offer = rtc.get_property("local-description").sdp.as_text()
            # Not on this thread: it is the one that webrtcbin needs meanwhile.
            threading.Thread(target=self.exchange, args=(offer,), daemon=True).start()

    def exchange(self, offer):
        try:
            with self.request("POST", self.options.url, offer) as response:
                answer = response.read().decode()
                self.location = response.headers["Location"]
        except urllib.error.HTTPError as error:
            return self.fail(f"answered {error.code}: {error.read().decode()}")
        except OSError as error:
            return self.fail(str(error))
        emit("answered", location=self.location)
        result, message = GstSdp.SDPMessage.new_from_text(answer)
        if result != GstSdp.SDPResult.OK:
            return self.fail("the answer does not parse")
        kind = GstWebRTC.WebRTCSDPType.ANSWER
        description = GstWebRTC.WebRTCSessionDescription.new(kind, message)
        self.rtc.emit("set-remote-description", description, Gst.Promise.new())

    def request(self, method, url, body=None):
        data = body.encode() if body else None
        request = urllib.request.Request(url, data=data, method=method)
        if body:
            request.add_header("Content-Type", "application/sdp")
        if self.options.token:
            request.add_header("Authorization", f"Bearer {self.options.token}")
        return urllib.request.urlopen(request, timeout=10)

    def connected(self, rtc, _):
        state = rtc.get_property("connection-state")
        emit("state", state=state.value_nick)

    def pad_added(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
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
        emit("stats", decoded=self.counts)
        return True

    def error(self, _, message):
        self.fail(message.parse_error()[0].message)

    def fail(self, message):
        emit("failed", message=message)
        self.failed = True
        self.loop.quit()

    def obey(self):
        for line in sys.stdin:
            command = json.loads(line)
            if command["do"] == "end":
                with self.request("DELETE", self.location) as response:
                    emit("done", do="end", status=response.status)
        self.loop.quit()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["publish", "watch"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--codec", choices=sorted(VIDEO), required=True)
    parser.add_argument("--token")
    Gst.init(None)
    sys.exit(Client(parser.parse_args()).run())


main()
