//! Descriptions of what is published or read (RFC 8866, with the parameters of each payload
//! format).

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use inver_media::codec::aac::AudioSpecificConfig;
use inver_media::codec::records;
use inver_media::{Config, Kind};

/// Lines that are looked at, and tracks; publishers have two.
const MAX_LINES: usize = 512;
const MAX_TRACKS: usize = 8;

/// Parameter sets of one kind, and the bytes of one.
const MAX_SETS: usize = 8;
const MAX_SET: usize = 4096;

/// The first payload type that is nobody's by itself.
pub const PAYLOAD_TYPE: u8 = 96;

/// What a track is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Its codec and what its decoder needs.
    pub config: Arc<Config>,
    /// Ticks of its timestamps per second, at least 1.
    pub rate: u32,
    /// Payload type of its packets.
    pub payload_type: u8,
}

/// A track that a publisher announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The URI by which it is set up, whole or the end of one.
    pub control: String,
    /// What it is made of, or why it cannot be taken.
    pub format: Result<Format, String>,
}

/// A description that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not UTF-8.
    #[error("the description is no text")]
    NoText,
    /// No line `m=`.
    #[error("the description has no media")]
    NoMedia,
    /// More than is looked at.
    #[error("the description has more than {MAX_TRACKS} tracks or {MAX_LINES} lines")]
    TooLong,
}

#[derive(Debug, Default)]
struct Section<'a> {
    media: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

/// Reads what a publisher announces.
///
/// # Errors
/// Nothing can be told from it.
pub fn parse(body: &[u8]) -> Result<Vec<Announced>, SdpError> {
    let text = std::str::from_utf8(body).map_err(|_| SdpError::NoText)?;
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if number == MAX_LINES {
            return Err(SdpError::TooLong);
        }
        if let Some(media) = line.strip_prefix("m=") {
            if sections.len() == MAX_TRACKS {
                return Err(SdpError::TooLong);
            }
            sections.push(Section {
                media,
                ..Section::default()
            });
        } else if let Some(attribute) = line.strip_prefix("a=")
            && let Some(section) = sections.last_mut()
        {
            section
                .attributes
                .push(attribute.split_once(':').unwrap_or((attribute, "")));
        }
    }
    if sections.is_empty() {
        return Err(SdpError::NoMedia);
    }
    Ok(sections.iter().map(announced).collect())
}

/// The URI of all tracks together, where a description names one.
pub fn aggregate(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let session = text.lines().take(MAX_LINES);
    let mut session = session.take_while(|line| !line.starts_with("m="));
    let control = session.find_map(|line| line.strip_prefix("a=control:"))?;
    Some(control.trim()).filter(|control| !control.is_empty() && *control != "*")
}

fn announced(section: &Section<'_>) -> Announced {
    let mut attributes = section.attributes.iter();
    let control = attributes.find(|(name, _)| *name == "control");
    Announced {
        control: control.map_or_else(String::new, |(_, value)| value.trim().to_owned()),
        format: format(section),
    }
}

impl<'a> Section<'a> {
    /// The value of an attribute of one payload type.
    fn of(&self, name: &str, payload_type: &str) -> Option<&'a str> {
        let mut named = self.attributes.iter().filter(|(other, _)| *other == name);
        named.find_map(|(_, value)| {
            let (of, value) = value.split_once(' ')?;
            (of == payload_type).then_some(value.trim())
        })
    }
}

fn format(section: &Section<'_>) -> Result<Format, String> {
    let mut words = section.media.split_whitespace();
    let kind = words.next().unwrap_or_default();
    let offered = words.nth(2).unwrap_or_default();
    let payload_type = offered.parse::<u8>().ok().filter(|number| *number < 128);
    let payload_type =
        payload_type.ok_or_else(|| format!("a track of {kind:?} has no payload type"))?;
    let map = section.of("rtpmap", offered).ok_or_else(|| {
        format!("payload type {payload_type} of {kind:?} is none that is carried here")
    })?;
    let mut parts = map.split('/');
    let name = parts.next().unwrap_or_default();
    let rate = parts.next().and_then(|rate| rate.parse().ok());
    let rate: u32 = rate
        .filter(|rate| (8_000..=192_000).contains(rate))
        .ok_or_else(|| format!("{name} has no clock rate between 8000 and 192000"))?;
    let parameters = Parameters(section.of("fmtp", offered).unwrap_or_default());
    let config = config(name, &parameters)?;
    if config.codec().kind() == Kind::Video && rate != config.codec().clock_rate() {
        return Err(format!("{name} has a clock of {rate} Hz instead of 90000"));
    }
    Ok(Format {
        config: Arc::new(config),
        rate,
        payload_type,
    })
}

/// `name=value; name=value`
struct Parameters<'a>(&'a str);

impl<'a> Parameters<'a> {
    fn value(&self, name: &str) -> Option<&'a str> {
        self.0.split(';').find_map(|parameter| {
            let (found, value) = parameter.trim().split_once('=')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Parameter sets in Base64 with commas between.
    fn sets(&self, name: &str) -> Vec<Vec<u8>> {
        let sets = self.value(name).unwrap_or_default().split(',');
        sets.filter(|set| !set.is_empty() && set.len() <= MAX_SET)
            .filter_map(|set| STANDARD.decode(set).ok())
            .filter(|set| !set.is_empty())
            .take(MAX_SETS)
            .collect()
    }
}

fn config(name: &str, parameters: &Parameters<'_>) -> Result<Config, String> {
    match name.to_ascii_lowercase().as_str() {
        "h264" => {
            if parameters.value("packetization-mode") == Some("2") {
                return Err("H264 comes interleaved (packetization mode 2); use mode 1".to_owned());
            }
            let sets = parameters.sets("sprop-parameter-sets");
            let of = |kind: u8| {
                let chosen = sets
                    .iter()
                    .filter(move |set| set.first().is_some_and(|header| header & 0x1f == kind));
                chosen.cloned().collect::<Vec<_>>()
            };
            Ok(Config::H264 {
                sps: of(7),
                pps: of(8),
            })
        }
        "h265" => {
            let most = parameters.value("sprop-max-don-diff").unwrap_or("0");
            if most != "0" {
                return Err(
                    "H265 comes interleaved (sprop-max-don-diff), which is not taken".to_owned(),
                );
            }
            Ok(Config::H265 {
                vps: parameters.sets("sprop-vps"),
                sps: parameters.sets("sprop-sps"),
                pps: parameters.sets("sprop-pps"),
            })
        }
        "vp8" => Ok(Config::Vp8),
        "vp9" => {
            let profile = parameters
                .value("profile-id")
                .and_then(|id| id.parse().ok());
            Ok(Config::Vp9 {
                profile: profile.filter(|profile| *profile <= 3).unwrap_or(0),
            })
        }
        "av1" => Ok(Config::Av1 {
            sequence_header: Vec::new(),
        }),
        "opus" => Ok(Config::Opus {
            channels: 2,
            pre_skip: 312,
        }),
        "mpeg4-generic" => aac(parameters),
        _ => Err(format!(
            "{name:?} is not carried here; H264, H265, VP8, VP9, AV1, AAC (mpeg4-generic) and Opus are"
        )),
    }
}

fn aac(parameters: &Parameters<'_>) -> Result<Config, String> {
    for (name, wanted) in [
        ("sizelength", "13"),
        ("indexlength", "3"),
        ("indexdeltalength", "3"),
    ] {
        if parameters.value(name) != Some(wanted) {
            return Err(format!(
                "AAC must come in mode AAC-hbr, with {name}={wanted}"
            ));
        }
    }
    let text = parameters.value("config").unwrap_or_default();
    let digits = text.as_bytes().chunks(2).take(64);
    let asc: Option<Vec<u8>> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let asc = asc.filter(|asc| AudioSpecificConfig::parse(asc).is_ok());
    asc.map(|asc| Config::Aac { asc })
        .ok_or_else(|| "AAC must come with its configuration as config=".to_owned())
}

/// What a reader is told of a track.
pub fn format_of(config: &Arc<Config>, payload_type: u8) -> Format {
    let rate = match &**config {
        Config::Aac { asc } => {
            AudioSpecificConfig::parse(asc).map_or(48_000, |asc| asc.sample_rate.max(1))
        }
        other => other.codec().clock_rate(),
    };
    Format {
        config: config.clone(),
        rate,
        payload_type,
    }
}

/// The URI of a track below that of its room.
pub fn control(track: usize) -> String {
    format!("trackID={track}")
}

/// Describes tracks to a reader. `id` tells this description from others.
pub fn write(formats: &[Format], id: u64) -> String {
    let mut out = format!(
        "v=0\r\no=- {id} 1 IN IP4 0.0.0.0\r\ns=Inver\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n"
    );
    for (index, format) in formats.iter().enumerate() {
        let codec = format.config.codec();
        let number = format.payload_type;
        let _ = write!(
            out,
            "m={} 0 RTP/AVP {number}\r\na=rtpmap:{number} {}/{}",
            codec.kind(),
            codec.name(),
            format.rate,
        );
        match &*format.config {
            Config::Aac { asc } => {
                let channels =
                    AudioSpecificConfig::parse(asc).map_or(2, |asc| asc.output_channels());
                let _ = write!(out, "/{channels}");
            }
            Config::Opus { .. } => out.push_str("/2"),
            Config::H264 { .. }
            | Config::H265 { .. }
            | Config::Av1 { .. }
            | Config::Vp8
            | Config::Vp9 { .. } => {}
        }
        out.push_str("\r\n");
        if let Some(parameters) = parameters(&format.config) {
            let _ = write!(out, "a=fmtp:{number} {parameters}\r\n");
        }
        let _ = write!(out, "a=control:{}\r\n", control(index));
    }
    out
}

fn parameters(config: &Config) -> Option<String> {
    let sets = |sets: &[Vec<u8>]| {
        let coded: Vec<String> = sets.iter().map(|set| STANDARD.encode(set)).collect();
        coded.join(",")
    };
    match config {
        Config::H264 { sps, pps } => {
            let mut text = "packetization-mode=1".to_owned();
            if let Some(level) = records::profile_level_id(config) {
                let _ = write!(text, "; profile-level-id={level:06x}");
            }
            if !sps.is_empty() && !pps.is_empty() {
                let both = [sps.as_slice(), pps.as_slice()].concat();
                let _ = write!(text, "; sprop-parameter-sets={}", sets(&both));
            }
            Some(text)
        }
        Config::H265 { vps, sps, pps } if !vps.is_empty() && !sps.is_empty() => Some(format!(
            "sprop-vps={}; sprop-sps={}; sprop-pps={}",
            sets(vps),
            sets(sps),
            sets(pps)
        )),
        Config::Vp9 { profile } => Some(format!("profile-id={profile}")),
        Config::Aac { asc } => {
            let hex = asc.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02X}");
                text
            });
            Some(format!(
                "streamtype=5; profile-level-id=1; mode=AAC-hbr; sizelength=13; indexlength=3; \
                 indexdeltalength=3; config={hex}"
            ))
        }
        Config::Opus { channels, .. } => Some(format!("sprop-stereo={}", u8::from(*channels > 1))),
        Config::H265 { .. } | Config::Av1 { .. } | Config::Vp8 => None,
    }
}
