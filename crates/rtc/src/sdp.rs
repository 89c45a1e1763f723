//! The parts of session descriptions that are ours: checks with clear words, candidates, fragments.
//!
//! The engine parses SDP (RFC 8866) for itself; this module reads the same text line by line to
//! say what is wrong with it before the engine sees it, and rewrites what a server with shared
//! sockets must word differently. Candidates of the other side are left out of what a lite agent
//! sees (RFC 8445, 2.5): it answers checks and makes none, so nobody can aim it at an address.

use std::net::IpAddr;

use inver_media::Kind;

use crate::Candidate;
use crate::payload_types::PayloadTypes;

/// Candidates of a client that are taken at most; more are dropped silently (RFC 9725, 4.3.1).
const MAX_CANDIDATES: usize = 32;

/// Directions of media (RFC 8866, 6.7).
const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// Sections of an offer at most: audio, video and data, with room for a client's extras.
const MAX_SECTIONS: usize = 16;

/// Values of `a=setup` (RFC 4145, 4).
const SETUP_ROLES: [&str; 4] = ["active", "passive", "actpass", "holdconn"];

/// What is wrong with a session description, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The text is not SDP.
    #[error("malformed SDP: {0}")]
    Malformed(String),
    /// The text is SDP but breaks a rule of WHIP, WHEP or JSEP.
    #[error("unusable SDP: {0}")]
    Unusable(String),
}

/// One media section of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaLine {
    /// `a=mid`.
    pub mid: String,
    /// Audio or video; `None` for data channels.
    pub kind: Option<Kind>,
    /// Whether the client sends on it.
    pub sends: bool,
    /// Whether the client receives on it.
    pub receives: bool,
    /// Port 0 outside a bundle: the section is refused by its own side.
    pub disabled: bool,
    /// Simulcast ids that the client sends, in its order.
    pub rids: Vec<String>,
    /// Encoding names of the section, as written, without repeats.
    pub codecs: Vec<String>,
}

/// An offer that was read and found usable in form.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The text as the engine gets it.
    pub(crate) text: String,
    /// Media sections in order.
    pub media: Vec<MediaLine>,
}

impl Offer {
    /// Reads an offer.
    ///
    /// With `lite` the candidates are left out, since a lite agent has no use for them.
    ///
    /// # Errors
    ///
    /// Says which line is wrong and what would be right.
    pub fn parse(text: &str, lite: bool) -> Result<Self, SdpError> {
        if !text.starts_with("v=0") {
            return Err(SdpError::Malformed("the first line must be `v=0`".into()));
        }
        let mut kept = String::with_capacity(text.len());
        let mut media: Vec<MediaLine> = Vec::new();
        let (mut ufrag, mut pwd, mut fingerprint) = (false, false, false);
        let mut candidates = 0;
        let mut bundled: Vec<String> = Vec::new();
        let mut payload_types = PayloadTypes::default();
        // Without a word on it, media flows both ways (RFC 8866, 6.7); the engine wants the word.
        let mut said = true;
        let mut default = "sendrecv";
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                continue;
            }
            let Some((tag, value)) = line.split_once('=').filter(|(tag, _)| tag.len() == 1) else {
                return Err(SdpError::Malformed(format!(
                    "line {} is not of the form `<letter>=<value>`",
                    number + 1
                )));
            };
            if tag == "m" {
                if media.len() == MAX_SECTIONS {
                    return Err(SdpError::Unusable(format!(
                        "more than {MAX_SECTIONS} media sections"
                    )));
                }
                if !said {
                    say_direction(&mut kept, media.last_mut(), default);
                }
                let section = media_line(value, number)?;
                said = section.kind.is_none();
                media.push(section);
            } else if tag == "a" {
                if let Some(direction) = DIRECTIONS.iter().find(|known| **known == value) {
                    if media.is_empty() {
                        default = direction;
                        continue;
                    }
                    said = true;
                }
                if value.starts_with("candidate:") || value == "end-of-candidates" {
                    candidates += 1;
                    if lite || candidates > MAX_CANDIDATES {
                        continue;
                    }
                } else if let Some(group) = value.strip_prefix("group:BUNDLE") {
                    bundled = group.split_whitespace().map(str::to_owned).collect();
                } else {
                    ufrag |= value.starts_with("ice-ufrag:");
                    pwd |= value.starts_with("ice-pwd:");
                    fingerprint |= value.starts_with("fingerprint:");
                    if let Some(role) = value.strip_prefix("setup:")
                        && !SETUP_ROLES.contains(&role.trim())
                    {
                        return Err(SdpError::Malformed(format!(
                            "line {}: `a=setup` is one of {}",
                            number + 1,
                            SETUP_ROLES.join(", ")
                        )));
                    }
                    if let Some(section) = media.last_mut() {
                        attribute(section, value);
                        payload_types.attribute(media.len(), value)?;
                    }
                }
            }
            kept.push_str(line);
            kept.push_str("\r\n");
        }
        if !said {
            say_direction(&mut kept, media.last_mut(), default);
        }
        if media.is_empty() {
            return Err(SdpError::Unusable("no media section (`m=`)".into()));
        }
        payload_types.check()?;
        for (present, what) in [
            (ufrag, "ice-ufrag"),
            (pwd, "ice-pwd"),
            (fingerprint, "fingerprint"),
        ] {
            if !present {
                return Err(SdpError::Unusable(format!(
                    "`a={what}` is missing: only ICE with DTLS-SRTP is spoken"
                )));
            }
        }
        for (index, section) in media.iter_mut().enumerate() {
            if section.mid.is_empty() {
                return Err(SdpError::Unusable(format!(
                    "media section {} has no `a=mid`",
                    index + 1
                )));
            }
            section.disabled &= !bundled.contains(&section.mid);
        }
        if media.len() > 1
            && media
                .iter()
                .any(|m| !m.disabled && !bundled.contains(&m.mid))
        {
            return Err(SdpError::Unusable(
                "all media sections must be in one `a=group:BUNDLE`".into(),
            ));
        }
        Ok(Self { text: kept, media })
    }

    /// Checks what RFC 9725 (4.2) asks of a publisher's offer.
    ///
    /// # Errors
    ///
    /// Names the rule that is broken.
    pub fn check_publish(&self) -> Result<(), SdpError> {
        self.check(|m| m.sends, "send", "`a=sendonly` or `a=sendrecv`")
    }

    /// Checks what the WHEP draft asks of a viewer's offer.
    ///
    /// # Errors
    ///
    /// Names the rule that is broken.
    pub fn check_subscribe(&self) -> Result<(), SdpError> {
        self.check(|m| m.receives, "receive", "`a=recvonly` or `a=sendrecv`")
    }

    fn check(
        &self,
        wanted: impl Fn(&MediaLine) -> bool,
        verb: &str,
        hint: &str,
    ) -> Result<(), SdpError> {
        let mut any = false;
        for kind in [Kind::Audio, Kind::Video] {
            let mut of_kind = self
                .media
                .iter()
                .filter(|m| m.kind == Some(kind) && !m.disabled);
            let Some(section) = of_kind.next() else {
                continue;
            };
            if of_kind.next().is_some() {
                return Err(SdpError::Unusable(format!(
                    "more than one {kind} section; one {kind} track is taken"
                )));
            }
            if !wanted(section) {
                return Err(SdpError::Unusable(format!(
                    "the {kind} section does not {verb}; it must say {hint}"
                )));
            }
            any = true;
        }
        if any {
            Ok(())
        } else {
            Err(SdpError::Unusable(
                "neither an audio nor a video section".into(),
            ))
        }
    }

    /// The offer with other ICE credentials, for an ICE restart by fragment.
    pub(crate) fn with_credentials(&self, ufrag: &str, pwd: &str) -> String {
        let mut text = String::with_capacity(self.text.len());
        for line in self.text.lines() {
            if line.starts_with("a=ice-ufrag:") {
                text.push_str("a=ice-ufrag:");
                text.push_str(ufrag);
            } else if line.starts_with("a=ice-pwd:") {
                text.push_str("a=ice-pwd:");
                text.push_str(pwd);
            } else {
                text.push_str(line);
            }
            text.push_str("\r\n");
        }
        text
    }
}

/// Leaves out candidates that a full agent would send checks to in vain or to others' harm: all
/// that is not UDP to the address and port of one host.
pub(crate) fn reachable_only(sdp: &str) -> String {
    let mut text = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        let candidate = line.strip_prefix("a=candidate:");
        if candidate.is_none_or(is_reachable) {
            text.push_str(line);
            text.push_str("\r\n");
        }
    }
    text
}

/// Whether a candidate (RFC 8839, 5.1) names one host's UDP port; names (mDNS) mean nothing here.
fn is_reachable(candidate: &str) -> bool {
    // The engine parts words at spaces only: a tab could hide another address from us.
    if candidate.contains(|c: char| c != ' ' && (c.is_whitespace() || c.is_control())) {
        return false;
    }
    let words: Vec<&str> = candidate.split(' ').take(6).collect();
    let [_, _, transport, _, address, port] = words[..] else {
        return false;
    };
    let (Ok(ip), Ok(port)) = (address.parse::<IpAddr>(), port.parse::<u16>()) else {
        return false;
    };
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    transport.eq_ignore_ascii_case("udp")
        && port != 0
        && !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

/// Writes the direction of a section that did not say its own.
fn say_direction(kept: &mut String, section: Option<&mut MediaLine>, direction: &str) {
    if let Some(section) = section {
        attribute(section, direction);
        kept.push_str("a=");
        kept.push_str(direction);
        kept.push_str("\r\n");
    }
}

fn media_line(value: &str, number: usize) -> Result<MediaLine, SdpError> {
    let mut words = value.split_whitespace();
    let (Some(kind), Some(port), Some(proto)) = (words.next(), words.next(), words.next()) else {
        return Err(SdpError::Malformed(format!(
            "line {}: a media section is `m=<kind> <port> <protocol> <formats>`",
            number + 1
        )));
    };
    // `<port>/<number of ports>` is allowed by the grammar and means nothing under ICE.
    if port.split('/').any(|part| part.parse::<u16>().is_err()) {
        return Err(SdpError::Malformed(format!(
            "line {}: port {port:?} is not a number from 0 to 65535",
            number + 1
        )));
    }
    let kind = match kind {
        "audio" => Some(Kind::Audio),
        "video" => Some(Kind::Video),
        "application" => None,
        other => {
            return Err(SdpError::Unusable(format!(
                "line {}: media kind {other:?}; audio, video and application are taken",
                number + 1
            )));
        }
    };
    if kind.is_some() && !proto.contains("SAVPF") {
        return Err(SdpError::Unusable(format!(
            "protocol {proto}; `UDP/TLS/RTP/SAVPF` is needed (DTLS-SRTP)"
        )));
    }
    Ok(MediaLine {
        mid: String::new(),
        kind,
        sends: true,
        receives: true,
        disabled: port == "0",
        rids: Vec::new(),
        codecs: Vec::new(),
    })
}

fn attribute(section: &mut MediaLine, value: &str) {
    match value {
        "sendonly" => section.receives = false,
        "recvonly" => section.sends = false,
        "inactive" => (section.sends, section.receives) = (false, false),
        _ => {
            if let Some(mid) = value.strip_prefix("mid:") {
                section.mid = mid.trim().to_owned();
            } else if let Some(map) = value.strip_prefix("rtpmap:") {
                let name = map
                    .split_whitespace()
                    .nth(1)
                    .and_then(|codec| codec.split('/').next());
                if let Some(name) = name
                    && !section.codecs.iter().any(|known| known == name)
                    && section.codecs.len() < 64
                {
                    section.codecs.push(name.to_owned());
                }
            } else if let Some(simulcast) = value.strip_prefix("simulcast:") {
                section.rids = send_rids(simulcast);
            }
        }
    }
}

/// The ids of `a=simulcast:send a;b;c` (RFC 8853); the first alternative of each layer.
fn send_rids(value: &str) -> Vec<String> {
    let mut words = value.split_whitespace();
    while let Some(direction) = words.next() {
        let Some(list) = words.next() else {
            break;
        };
        if direction == "send" {
            return list
                .split(';')
                .filter_map(|layer| layer.split(',').next())
                .map(|rid| rid.trim_start_matches('~').to_owned())
                .filter(|rid| !rid.is_empty())
                .take(8)
                .collect();
        }
    }
    Vec::new()
}

/// A trickle ICE fragment (RFC 8840).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// `a=ice-ufrag`, where present.
    pub ufrag: Option<String>,
    /// `a=ice-pwd`, where present.
    pub pwd: Option<String>,
    /// Candidate attributes without `a=`, at most 32.
    pub candidates: Vec<String>,
}

impl Fragment {
    /// Reads a fragment; unknown attributes are passed over.
    ///
    /// # Errors
    ///
    /// A line that is not of the form `<letter>=<value>` is named.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        let mut fragment = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let Some((tag, value)) = line.split_once('=').filter(|(tag, _)| tag.len() == 1) else {
                return Err(SdpError::Malformed(format!(
                    "line {} is not of the form `<letter>=<value>`",
                    number + 1
                )));
            };
            if tag != "a" {
                continue;
            }
            if let Some(ufrag) = value.strip_prefix("ice-ufrag:") {
                fragment.ufrag = Some(ice_chars(ufrag, 4)?);
            } else if let Some(pwd) = value.strip_prefix("ice-pwd:") {
                fragment.pwd = Some(ice_chars(pwd, 22)?);
            } else if value.starts_with("candidate:") && fragment.candidates.len() < MAX_CANDIDATES
            {
                fragment.candidates.push(value.to_owned());
            }
        }
        Ok(fragment)
    }
}

/// Checks the alphabet and length of ICE credentials (RFC 8839, 5.4).
fn ice_chars(value: &str, least: usize) -> Result<String, SdpError> {
    let value = value.trim();
    let fits = (least..=256).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    if fits {
        Ok(value.to_owned())
    } else {
        Err(SdpError::Malformed(format!(
            "ICE credentials have {least} to 256 characters of letters, digits, `+` and `/`"
        )))
    }
}

/// Puts all that we send into one stream (RFC 8830): browsers play sound and picture in step only
/// when they belong to the same one, and the engine gives each section of an answer its own.
pub(crate) fn with_one_stream(sdp: &str, stream: &str) -> String {
    let mut out = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        let track = if line.starts_with("a=msid:") || line.starts_with("a=ssrc:") {
            line.split_once("msid:")
                .and_then(|(head, value)| Some((head, value.split_once(' ')?.1)))
        } else {
            None
        };
        if line.starts_with("a=msid-semantic:") {
            out.push_str("a=msid-semantic: WMS ");
            out.push_str(stream);
        } else if let Some((head, track)) = track {
            out.push_str(head);
            out.push_str("msid:");
            out.push_str(stream);
            out.push(' ');
            out.push_str(track);
        } else {
            out.push_str(line);
        }
        out.push_str("\r\n");
    }
    out
}

/// Replaces the candidates of a description of ours by `candidates`, in that order, in the first
/// media section (RFC 8843, 10.2: the others share its transport).
pub(crate) fn with_candidates(sdp: &str, candidates: &[Candidate]) -> String {
    let mut out = String::with_capacity(sdp.len() + candidates.len() * 96);
    let mut sections = 0;
    let mut written = false;
    for line in sdp.lines() {
        if line.starts_with("a=candidate:") || line == "a=end-of-candidates" {
            continue;
        }
        if line.starts_with("m=") {
            if sections == 1 && !written {
                push_candidates(&mut out, candidates);
                written = true;
            }
            sections += 1;
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    if !written {
        push_candidates(&mut out, candidates);
    }
    out
}

fn push_candidates(out: &mut String, candidates: &[Candidate]) {
    for (rank, candidate) in candidates.iter().enumerate() {
        out.push_str("a=");
        out.push_str(&candidate.to_sdp(rank));
        out.push_str("\r\n");
    }
    out.push_str("a=end-of-candidates\r\n");
}

/// The fragment that answers an ICE restart (RFC 9725, 4.3.2).
pub(crate) fn restart_fragment(
    mid: &str,
    ufrag: &str,
    pwd: &str,
    candidates: &[Candidate],
) -> String {
    let mut out = format!(
        "a=ice-lite\r\na=ice-options:trickle ice2\r\na=group:BUNDLE {mid}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n\
         a=mid:{mid}\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n"
    );
    push_candidates(&mut out, candidates);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_go_to_one_hosts_udp_port_alone() {
        let line = |rest: &str| format!("a=candidate:1 1 {rest} typ host\r\n");
        let kept = [
            line("udp 2130706431 192.0.2.1 7000"),
            line("UDP 1 2001:db8::1 7000"),
            line("udp 1 127.0.0.1 7000"),
        ];
        let dropped = [
            line("tcp 1 192.0.2.1 9"),
            line("udp 1 192.0.2.1 0"),
            line("udp 1 192.0.2.1 70000"),
            line("udp 1 0.0.0.0 7000"),
            line("udp 1 255.255.255.255 7000"),
            line("udp 1 239.0.0.1 7000"),
            line("udp 1 ff02::1 7000"),
            line("udp 1 4f6a.local 7000"),
            "a=candidate:1 1 udp\r\n".to_owned(),
        ];
        let sdp = format!("v=0\r\n{}{}a=mid:0\r\n", kept.concat(), dropped.concat());
        let expected = format!("v=0\r\n{}a=mid:0\r\n", kept.concat());
        assert_eq!(reachable_only(&sdp), expected);
    }

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
        a=fingerprint:sha-256 AA\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n\
        a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n\
        a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;~l\r\n";

    #[test]
    fn all_tracks_belong_to_one_stream() {
        let sdp = "v=0\r\na=msid-semantic: WMS one two\r\nm=audio 9 X 111\r\na=msid:one sound\r\n\
            m=video 9 X 96\r\na=msid:two picture\r\na=ssrc:7 cname:c\r\na=ssrc:7 msid:two picture\r\n";
        let expected = "v=0\r\na=msid-semantic: WMS s\r\nm=audio 9 X 111\r\na=msid:s sound\r\n\
            m=video 9 X 96\r\na=msid:s picture\r\na=ssrc:7 cname:c\r\na=ssrc:7 msid:s picture\r\n";
        assert_eq!(with_one_stream(sdp, "s"), expected);
    }

    #[test]
    fn an_offer_is_read() {
        let offer = Offer::parse(OFFER, true).expect("parses");
        assert_eq!(offer.media.len(), 2);
        assert_eq!(offer.media[1].rids, ["h", "l"]);
        assert_eq!(offer.media[0].codecs, ["opus"]);
        assert!(!offer.text.contains("candidate"));
        offer.check_publish().expect("a publisher's offer");
        let refused = offer.check_subscribe().expect_err("it sends only");
        assert!(refused.to_string().contains("recvonly"), "{refused}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |text: &str| Offer::parse(text, true).expect_err("refused").to_string();
        assert!(refused("hello").contains("v=0"));
        assert!(refused("v=0\r\nnonsense\r\n").contains("line 2"));
        assert!(refused("v=0\r\ns=-\r\n").contains("m="));
        assert!(
            refused(&OFFER.replace("a=fingerprint:sha-256 AA\r\n", "")).contains("fingerprint")
        );
        assert!(refused(&OFFER.replace("SAVPF", "AVP")).contains("SAVPF"));
        assert!(refused(&OFFER.replace("BUNDLE 0 1", "BUNDLE 0")).contains("BUNDLE"));
        let twice = OFFER.replace("m=audio", "m=video");
        let twice = Offer::parse(&twice, true)
            .expect("parses")
            .check_publish()
            .expect_err("two videos");
        assert!(twice.to_string().contains("more than one video"), "{twice}");
    }

    #[test]
    fn a_missing_direction_is_the_session_s_or_both_ways() {
        let silent = OFFER.replace("a=sendonly\r\n", "");
        let offer = Offer::parse(&silent, true).expect("parses");
        assert_eq!(offer.text.matches("a=sendrecv\r\n").count(), 2);
        offer.check_publish().expect("it sends");
        offer.check_subscribe().expect("and receives");
        let session = silent.replace("t=0 0\r\n", "t=0 0\r\na=recvonly\r\n");
        let offer = Offer::parse(&session, true).expect("parses");
        assert_eq!(offer.text.matches("a=recvonly\r\n").count(), 2);
        offer.check_publish().expect_err("it only receives");
    }

    #[test]
    fn our_candidates_take_the_place_of_the_engine_s() {
        let candidates = [Candidate {
            transport: crate::Transport::Udp,
            addr: "203.0.113.9:7000".parse().expect("an address"),
        }];
        let sdp = with_candidates(OFFER, &candidates);
        assert_eq!(sdp.matches("a=candidate:").count(), 1);
        let at = sdp.find("a=candidate:").expect("there");
        assert!(
            at > sdp.find("m=audio").expect("audio") && at < sdp.find("m=video").expect("video")
        );
    }

    #[test]
    fn a_fragment_is_read() {
        let fragment = Fragment::parse(
            "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
             a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n",
        )
        .expect("parses");
        assert_eq!(fragment.ufrag.as_deref(), Some("EsAw"));
        assert_eq!(fragment.candidates.len(), 1);
        assert!(Fragment::parse("a=ice-ufrag:a b\r\n").is_err());
        assert!(Fragment::parse("rubbish").is_err());
    }
}
