//! `onMetaData`: what an encoder says about itself and its settings.

use super::amf0::{self, Value};

/// Longest text that is kept of an encoder's name and the like; it ends on pages and in logs.
const MAX_TEXT: usize = 128;

/// What an encoder says. Nothing of it is verified; the media itself decides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// Name and version of the encoder.
    pub encoder: Option<String>,
    /// Width of the picture in pixels.
    pub width: Option<u32>,
    /// Height of the picture in pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Configured bit rate of the picture in kilobits per second.
    pub video_kbps: Option<f64>,
    /// Configured bit rate of the sound in kilobits per second.
    pub audio_kbps: Option<f64>,
    /// Samples of sound per second.
    pub audio_sample_rate: Option<u32>,
    /// Channels of sound, 1 or 2.
    pub audio_channels: Option<u8>,
    /// The codec of the picture: a FLV number, a number that stands for four characters, or text.
    pub video_codec: Option<Value>,
    /// The codec of the sound, likewise.
    pub audio_codec: Option<Value>,
}

impl Metadata {
    /// Reads the body of a script tag; `None` where it is another script message than
    /// `onMetaData` (also inside `@setDataFrame`).
    pub fn parse(body: &[u8]) -> Result<Option<Self>, amf0::Error> {
        let mut reader = amf0::Reader::new(body);
        let mut name = reader.next_value()?;
        if name.as_ref().and_then(Value::as_str) == Some("@setDataFrame") {
            name = reader.next_value()?;
        }
        if name.as_ref().and_then(Value::as_str) != Some("onMetaData") {
            return Ok(None);
        }
        let values = reader.next_value()?.unwrap_or(Value::Null);
        Ok(Some(Self::from_values(&values)))
    }

    fn from_values(values: &Value) -> Self {
        let positive = |name| {
            let number = values.get(name).and_then(Value::as_number);
            number.filter(|number| number.is_finite() && *number > 0.0)
        };
        let rounded = |name| positive(name).and_then(to_u32);
        let whole = |name| rounded(name).filter(|number| *number > 0);
        let channels = whole("audiochannels").and_then(|count| u8::try_from(count).ok());
        let stereo = values.get("stereo").and_then(Value::as_bool);
        let codec = |name| match values.get(name) {
            Some(Value::String(text)) => Some(Value::String(short(text))),
            Some(Value::Number(number)) => Some(Value::Number(*number)),
            _ => None,
        };
        Self {
            encoder: values.get("encoder").and_then(Value::as_str).map(short),
            width: whole("width"),
            height: whole("height"),
            frame_rate: positive("framerate").or_else(|| positive("fps")),
            video_kbps: positive("videodatarate"),
            audio_kbps: positive("audiodatarate"),
            audio_sample_rate: whole("audiosamplerate"),
            audio_channels: channels.or(stereo.map(|stereo| if stereo { 2 } else { 1 })),
            video_codec: codec("videocodecid"),
            audio_codec: codec("audiocodecid"),
        }
    }

    /// The body of a script tag, as servers send it to players and files begin with it.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        amf0::write_all(&mut out, &[Value::from("onMetaData"), self.to_values()]);
        out
    }

    /// The body of a script message with which a publishing client tells its metadata.
    pub fn write_set_data_frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        amf0::write(&mut out, &Value::from("@setDataFrame"));
        out.extend_from_slice(&self.write());
        out
    }

    fn to_values(&self) -> Value {
        let mut properties = Vec::new();
        let mut push = |name: &str, value: Option<Value>| {
            properties.extend(value.map(|value| (name.to_owned(), value)));
        };
        let whole = |number: Option<u32>| number.map(|number| Value::Number(f64::from(number)));
        push("width", whole(self.width));
        push("height", whole(self.height));
        push("framerate", self.frame_rate.map(Value::Number));
        push("videodatarate", self.video_kbps.map(Value::Number));
        push("videocodecid", self.video_codec.clone());
        push("audiodatarate", self.audio_kbps.map(Value::Number));
        push("audiosamplerate", whole(self.audio_sample_rate));
        push("audiochannels", whole(self.audio_channels.map(u32::from)));
        let stereo = self.audio_channels.map(|count| Value::Boolean(count == 2));
        push("stereo", stereo);
        push("audiocodecid", self.audio_codec.clone());
        push("encoder", self.encoder.as_deref().map(Value::from));
        Value::EcmaArray(properties)
    }
}

fn to_u32(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie in the range"
    )]
    (0.0..=f64::from(u32::MAX))
        .contains(&number)
        .then_some(number as u32)
}

fn short(text: &str) -> String {
    text.chars()
        .filter(|char| !char.is_control())
        .take(MAX_TEXT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Metadata {
        Metadata {
            encoder: Some("obs-output module".to_owned()),
            width: Some(1920),
            height: Some(1080),
            frame_rate: Some(59.94),
            video_kbps: Some(6000.0),
            audio_kbps: Some(160.0),
            audio_sample_rate: Some(48_000),
            audio_channels: Some(2),
            video_codec: Some(Value::Number(7.0)),
            audio_codec: Some(Value::from("mp4a")),
        }
    }

    #[test]
    fn both_forms_come_back() {
        assert_eq!(Metadata::parse(&full().write()), Ok(Some(full())));
        let published = full().write_set_data_frame();
        assert_eq!(Metadata::parse(&published), Ok(Some(full())));
    }

    #[test]
    fn nonsense_is_left_out_and_text_is_shortened() {
        let mut body = Vec::new();
        let values = [
            Value::from("onMetaData"),
            Value::object([
                ("width", Value::Number(f64::NAN)),
                ("height", Value::Number(-5.0)),
                ("framerate", Value::Number(f64::INFINITY)),
                ("audiosamplerate", Value::Number(1e300)),
                ("stereo", Value::Boolean(false)),
                ("encoder", Value::String("e\n".repeat(1000))),
            ]),
        ];
        amf0::write_all(&mut body, &values);
        let metadata = Metadata::parse(&body).expect("AMF0").expect("metadata");
        let expected = Metadata {
            encoder: Some("e".repeat(MAX_TEXT)),
            audio_channels: Some(1),
            ..Metadata::default()
        };
        assert_eq!(metadata, expected);
    }

    #[test]
    fn other_scripts_are_not_metadata() {
        let mut body = Vec::new();
        amf0::write_all(&mut body, &[Value::from("onCuePoint"), Value::Null]);
        assert_eq!(Metadata::parse(&body), Ok(None));
        assert_eq!(Metadata::parse(&[]), Ok(None));
    }
}
