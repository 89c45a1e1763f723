//! What a client tells about its stream, one attribute to a line.

use inver_media::Codec;

use super::Code;

/// Characters of a vendor's name or version that are kept; more is cut.
const MAX_TEXT: usize = 128;
/// Payload types where the client names none.
const VIDEO_PAYLOAD_TYPE: u8 = 96;
const AUDIO_PAYLOAD_TYPE: u8 = 97;
/// Widest and highest picture that is believed.
const MAX_SIDE: u32 = 16_384;

/// One kind of media of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The codec.
    pub codec: Codec,
    /// RTP payload type.
    pub payload_type: u8,
    /// RTP synchronization source.
    pub ssrc: u32,
}

/// What a client announced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// The program that sends, at most 128 characters without control characters.
    pub vendor_name: Option<String>,
    /// Its version, likewise.
    pub vendor_version: Option<String>,
    /// The picture, where there is one: H.264 or VP8.
    pub video: Option<Stream>,
    /// The sound, where there is any: Opus.
    pub audio: Option<Stream>,
    /// Picture size in pixels as announced; the stream itself decides.
    pub size: Option<(u32, u32)>,
}

/// Attributes as they come in.
#[derive(Debug, Default)]
pub(super) struct Draft {
    version: Option<(u32, u32)>,
    vendor_name: Option<String>,
    vendor_version: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    video: Part,
    audio: Part,
}

#[derive(Debug, Default)]
struct Part {
    wanted: bool,
    codec: Option<Codec>,
    payload_type: Option<u8>,
    ssrc: Option<u32>,
}

/// A refusal: its code, and words for the log and the client.
pub(super) type Refusal = (Code, &'static str);

impl Draft {
    /// Takes an attribute; names that are not known are passed over, for later versions have more.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let bad = |text| (Code::BadRequest, text);
        match name.to_ascii_lowercase().as_str() {
            "protocolversion" => {
                let version = value
                    .split_once('.')
                    .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
                    .ok_or(bad("ProtocolVersion is two numbers, as 0.9"))?;
                self.version = Some(version);
            }
            "vendorname" => self.vendor_name = Some(text(value)),
            "vendorversion" => self.vendor_version = Some(text(value)),
            "video" => self.video.wanted = flag(value).ok_or(bad("Video is true or false"))?,
            "audio" => self.audio.wanted = flag(value).ok_or(bad("Audio is true or false"))?,
            "videocodec" => {
                self.video.codec = Some(match value.to_ascii_uppercase().as_str() {
                    "H264" => Codec::H264,
                    "VP8" => Codec::Vp8,
                    _ => return Err(bad("VideoCodec is not supported: H264 and VP8 are")),
                });
            }
            "audiocodec" => {
                self.audio.codec = Some(match value.to_ascii_uppercase().as_str() {
                    "OPUS" => Codec::Opus,
                    // No line tells the configuration that a decoder of AAC needs.
                    _ => return Err(bad("AudioCodec is not supported: OPUS is")),
                });
            }
            "videowidth" => self.width = value.parse().ok(),
            "videoheight" => self.height = value.parse().ok(),
            "videopayloadtype" => self.video.payload_type = Some(payload_type(value)?),
            "audiopayloadtype" => self.audio.payload_type = Some(payload_type(value)?),
            "videoingestssrc" => self.video.ssrc = Some(ssrc(value)?),
            "audioingestssrc" => self.audio.ssrc = Some(ssrc(value)?),
            _ => {}
        }
        Ok(())
    }

    /// The whole, at the line that ends the attributes.
    pub(super) fn finish(&mut self) -> Result<Attributes, Refusal> {
        let draft = std::mem::take(self);
        if draft.version.is_some_and(|version| version < (0, 9)) {
            return Err((Code::OldVersion, Code::OldVersion.text()));
        }
        let video = draft.video.finish(
            VIDEO_PAYLOAD_TYPE,
            "VideoCodec is missing",
            "VideoIngestSSRC is missing",
        )?;
        let audio = draft.audio.finish(
            AUDIO_PAYLOAD_TYPE,
            "AudioCodec is missing",
            "AudioIngestSSRC is missing",
        )?;
        if video.is_none() && audio.is_none() {
            let text = "neither Video nor Audio is true";
            return Err((Code::BadRequest, text));
        }
        if let (Some(video), Some(audio)) = (video, audio)
            && video.ssrc == audio.ssrc
        {
            let text = "audio and video have the same SSRC";
            return Err((Code::AudioSsrcCollision, text));
        }
        let side = |side: &u32| (1..=MAX_SIDE).contains(side);
        Ok(Attributes {
            vendor_name: draft.vendor_name,
            vendor_version: draft.vendor_version,
            video,
            audio,
            size: draft.width.filter(side).zip(draft.height.filter(side)),
        })
    }
}

impl Part {
    fn finish(
        self,
        payload_type: u8,
        no_codec: &'static str,
        no_ssrc: &'static str,
    ) -> Result<Option<Stream>, Refusal> {
        if !self.wanted {
            return Ok(None);
        }
        Ok(Some(Stream {
            codec: self.codec.ok_or((Code::BadRequest, no_codec))?,
            payload_type: self.payload_type.unwrap_or(payload_type),
            ssrc: self.ssrc.ok_or((Code::BadRequest, no_ssrc))?,
        }))
    }
}

fn flag(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn payload_type(value: &str) -> Result<u8, Refusal> {
    let refusal = (Code::BadRequest, "a payload type is a number from 0 to 127");
    value
        .parse()
        .ok()
        .filter(|number| *number < 128)
        .ok_or(refusal)
}

fn ssrc(value: &str) -> Result<u32, Refusal> {
    value.parse().map_err(|_| {
        (
            Code::BadRequest,
            "an SSRC is a number below two to the 32nd",
        )
    })
}

fn text(value: &str) -> String {
    value
        .chars()
        .filter(|char| !char.is_control())
        .take(MAX_TEXT)
        .collect()
}
