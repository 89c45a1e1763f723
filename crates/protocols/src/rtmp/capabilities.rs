//! What the ends of a connection tell each other about Enhanced RTMP.

use inver_media::Codec;
use inver_media::container::flv::FourCc;
use inver_media::container::flv::amf0::Value;

/// Codecs that are kept of a list. There are about twelve names.
const MAX_CODECS: usize = 32;

/// The server takes the codec and passes it on.
const CAN_FORWARD: u32 = 4;

/// Which extensions and codecs the other end knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `fourCcList`: names of codecs; `*` stands for all.
    pub four_ccs: Vec<String>,
    /// `videoFourCcInfoMap`: names and what the other end can do: 1 decode, 2 encode, 4 forward.
    pub video: Vec<(String, u32)>,
    /// `audioFourCcInfoMap`, likewise.
    pub audio: Vec<(String, u32)>,
    /// `capsEx`: the sum of 1 reconnect, 2 multitrack, 4 extensions before packets (ModEx),
    /// 8 nanoseconds.
    pub extensions: u32,
}

impl Capabilities {
    /// The other end can be asked to reconnect elsewhere.
    pub const RECONNECT: u32 = 1;
    /// It knows tags of several tracks.
    pub const MULTITRACK: u32 = 2;
    const MOD_EX: u32 = 4;
    const NANOSECONDS: u32 = 8;

    /// Everything that is supported here.
    pub fn ours() -> Self {
        let names = |kind| {
            FourCc::KNOWN
                .iter()
                .filter(move |(_, codec)| codec.kind() == kind)
                .map(|(fourcc, _)| (fourcc.as_str().to_owned(), CAN_FORWARD))
                .collect()
        };
        Self {
            four_ccs: FourCc::KNOWN
                .iter()
                .map(|(fourcc, _)| fourcc.as_str().to_owned())
                .collect(),
            video: names(inver_media::Kind::Video),
            audio: names(inver_media::Kind::Audio),
            extensions: Self::RECONNECT | Self::MULTITRACK | Self::MOD_EX | Self::NANOSECONDS,
        }
    }

    /// Nothing was said: the other end knows plain RTMP only, or does not tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The other end takes this codec in the form that `TagWriter` gives it. H.264 and AAC it
    /// takes in any case.
    pub fn supports(&self, codec: Codec) -> bool {
        if matches!(codec, Codec::H264 | Codec::Aac) {
            return true;
        }
        let fourcc = FourCc::of(codec);
        let named = |name: &str| name == "*" || name.eq_ignore_ascii_case(fourcc.as_str());
        self.four_ccs.iter().any(|name| named(name))
            || [&self.video, &self.audio]
                .into_iter()
                .flatten()
                .any(|(name, what)| named(name) && *what != 0)
    }

    /// Reads the properties of a `connect` command or of its answer.
    pub(super) fn read(object: &Value) -> Self {
        let list = match object.get("fourCcList") {
            Some(Value::StrictArray(values)) => values
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| is_name(name))
                .take(MAX_CODECS)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        let map = |name| {
            object
                .get(name)
                .and_then(Value::properties)
                .unwrap_or_default()
                .iter()
                .filter(|(name, _)| is_name(name))
                .filter_map(|(name, what)| Some((name.clone(), bits(what.as_number()?))))
                .take(MAX_CODECS)
                .collect()
        };
        Self {
            four_ccs: list,
            video: map("videoFourCcInfoMap"),
            audio: map("audioFourCcInfoMap"),
            extensions: object
                .get("capsEx")
                .and_then(Value::as_number)
                .map_or(0, bits),
        }
    }

    /// The properties that tell all this.
    pub(super) fn properties(&self) -> [(String, Value); 4] {
        let list = self.four_ccs.iter().map(|name| Value::from(name.as_str()));
        let map = |entries: &[(String, u32)]| {
            Value::Object(
                entries
                    .iter()
                    .map(|(name, what)| (name.clone(), Value::Number(f64::from(*what))))
                    .collect(),
            )
        };
        [
            ("fourCcList".to_owned(), Value::StrictArray(list.collect())),
            ("videoFourCcInfoMap".to_owned(), map(&self.video)),
            ("audioFourCcInfoMap".to_owned(), map(&self.audio)),
            (
                "capsEx".to_owned(),
                Value::Number(f64::from(self.extensions)),
            ),
        ]
    }
}

fn is_name(name: &str) -> bool {
    name == "*" || (name.len() == 4 && name.is_ascii())
}

fn bits(number: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie in the range"
    )]
    if (0.0..=f64::from(u32::MAX)).contains(&number) {
        number as u32
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let object = Value::Object(Capabilities::ours().properties().to_vec());
        assert_eq!(Capabilities::read(&object), Capabilities::ours());
        assert!(Capabilities::ours().supports(Codec::Opus));
    }

    #[test]
    fn lists_maps_and_stars_all_count() {
        let listed = Value::object([(
            "fourCcList",
            Value::StrictArray(vec![
                Value::from("hvc1"),
                Value::Number(1.0),
                Value::from("much too long"),
            ]),
        )]);
        let listed = Capabilities::read(&listed);
        assert_eq!(listed.four_ccs, ["hvc1"]);
        assert!(listed.supports(Codec::H265) && !listed.supports(Codec::Av1));
        let star = Value::object([(
            "audioFourCcInfoMap",
            Value::object([("*", Value::Number(1.0))]),
        )]);
        assert!(Capabilities::read(&star).supports(Codec::Opus));
        let none = Capabilities::read(&Value::Null);
        assert!(none.is_empty() && none.supports(Codec::Aac) && !none.supports(Codec::Opus));
    }
}
