//! Whether each payload type of a session description means one thing.
//!
//! Bundled sections share a transport, so a payload type that several of them use must stand for
//! the same codec with the same parameters in all (RFC 8843, 9.1). The engine relies on that and
//! panics where it does not hold, so nothing else may reach it.

use crate::SdpError;

/// Parameters (`a=fmtp`) that tell one payload format from another; others only tune it.
const TELLING: [&str; 9] = [
    "apt",
    "level-id",
    "level-idx",
    "packetization-mode",
    "profile",
    "profile-id",
    "profile-level-id",
    "tier",
    "tier-flag",
];

/// What sections say about payload types; at most one entry for each section and type.
#[derive(Debug, Default)]
pub(crate) struct PayloadTypes(Vec<Meaning>);

#[derive(Debug)]
struct Meaning {
    section: usize,
    payload_type: u8,
    codec: Option<String>,
    /// Values of [`TELLING`], as they are or were first written.
    parameters: [Option<String>; TELLING.len()],
}

impl PayloadTypes {
    /// Notes an attribute (without `a=`) of a section.
    ///
    /// # Errors
    ///
    /// The attribute contradicts another one of the section.
    pub(crate) fn attribute(&mut self, section: usize, value: &str) -> Result<(), SdpError> {
        if let Some((payload_type, codec)) = split(value, "rtpmap:") {
            let meaning = self.entry(section, payload_type);
            return note(&mut meaning.codec, codec, payload_type);
        }
        let Some((payload_type, parameters)) = split(value, "fmtp:") else {
            return Ok(());
        };
        let meaning = self.entry(section, payload_type);
        for parameter in parameters.split(';') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let known = TELLING
                .iter()
                .position(|telling| telling.eq_ignore_ascii_case(name.trim()));
            if let Some(known) = known {
                note(&mut meaning.parameters[known], value, payload_type)?;
            }
        }
        Ok(())
    }

    /// Compares the sections.
    ///
    /// # Errors
    ///
    /// Two sections contradict each other.
    pub(crate) fn check(&self) -> Result<(), SdpError> {
        let mut first: [Option<&Meaning>; 128] = [None; 128];
        for meaning in &self.0 {
            let known = first[usize::from(meaning.payload_type)].get_or_insert(meaning);
            if known.codec != meaning.codec || known.parameters != meaning.parameters {
                return Err(ambiguous(meaning.payload_type));
            }
        }
        Ok(())
    }

    fn entry(&mut self, section: usize, payload_type: u8) -> &mut Meaning {
        let found = self
            .0
            .iter()
            .position(|meaning| (meaning.section, meaning.payload_type) == (section, payload_type));
        let at = found.unwrap_or_else(|| {
            self.0.push(Meaning {
                section,
                payload_type,
                codec: None,
                parameters: Default::default(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

/// Payload type and the rest of an attribute; `None` for other attributes and for numbers that
/// are no payload type, which the engine refuses.
fn split<'a>(value: &'a str, name: &str) -> Option<(u8, &'a str)> {
    let (number, rest) = value.strip_prefix(name)?.split_once(' ')?;
    let payload_type = number.parse().ok().filter(|number| *number < 128)?;
    Some((payload_type, rest))
}

fn note(known: &mut Option<String>, found: &str, payload_type: u8) -> Result<(), SdpError> {
    let found = found.trim().to_ascii_lowercase();
    match known {
        Some(known) if *known != found => Err(ambiguous(payload_type)),
        _ => {
            *known = Some(found);
            Ok(())
        }
    }
}

fn ambiguous(payload_type: u8) -> SdpError {
    SdpError::Unusable(format!(
        "payload type {payload_type} stands for two different formats; in one description each \
         payload type must stand for one codec with one set of parameters"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[(usize, &str)]) -> Result<(), SdpError> {
        let mut types = PayloadTypes::default();
        for (section, line) in lines {
            types.attribute(*section, line)?;
        }
        types.check()
    }

    #[test]
    fn sections_may_repeat_a_payload_type() {
        let lines = |section| {
            [
                (section, "rtpmap:96 H264/90000"),
                (
                    section,
                    "fmtp:96 packetization-mode=1;profile-level-id=42E01F",
                ),
                (section, "rtpmap:97 rtx/90000"),
                (section, "fmtp:97 apt=96"),
            ]
        };
        assert_eq!(check(&[lines(0), lines(1)].concat()), Ok(()));
        let tuned = [
            (0, "rtpmap:111 opus/48000/2"),
            (0, "fmtp:111 minptime=10; stereo=1"),
            (1, "rtpmap:111 OPUS/48000/2"),
        ];
        assert_eq!(check(&tuned), Ok(()));
    }

    #[test]
    fn one_payload_type_for_two_formats_is_refused() {
        for lines in [
            [(0, "rtpmap:96 opus/48000/2"), (1, "rtpmap:96 VP8/90000")],
            [(0, "rtpmap:96 VP9/90000"), (0, "rtpmap:96 VP8/90000")],
            [(0, "fmtp:97 apt=96"), (0, "fmtp:97 apt=98")],
            [(0, "fmtp:97 apt=96;apt=98"), (0, "rtpmap:98 VP8/90000")],
            [
                (0, "rtpmap:102 H264/90000"),
                (1, "fmtp:102 profile-level-id=42e01f"),
            ],
        ] {
            let error = check(&lines).expect_err("two formats");
            assert!(error.to_string().contains("payload type"), "{error}");
        }
    }

    #[test]
    fn what_is_no_payload_type_is_left_to_the_engine() {
        assert_eq!(
            check(&[(0, "rtpmap:128 VP8/90000"), (0, "rtpmap:x VP8/90000")]),
            Ok(())
        );
        assert_eq!(check(&[(0, "fmtp:"), (0, "rtpmap:96")]), Ok(()));
    }
}
