//! Which session a datagram is for (RFC 7983, RFC 8489).

/// What a datagram's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class<'a> {
    /// A STUN binding request with the fragment of ours that its user name begins with.
    Request(&'a str),
    /// Any other STUN message.
    Stun,
    /// DTLS, RTP or RTCP.
    Secured,
    /// Nothing that belongs on this port.
    Unknown,
}

const HEADER: usize = 20;
const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;

/// Attributes that are looked through at most; a binding request of ICE has fewer than ten.
const MAX_ATTRIBUTES: usize = 32;

pub(crate) fn classify(datagram: &[u8]) -> Class<'_> {
    match datagram.first() {
        Some(0..=3) => stun(datagram),
        Some(20..=63 | 128..=191) => Class::Secured,
        _ => Class::Unknown,
    }
}

fn stun(datagram: &[u8]) -> Class<'_> {
    if datagram.len() < HEADER || datagram[4..8] != MAGIC {
        return Class::Unknown;
    }
    if datagram[..2] != [0x00, 0x01] {
        return Class::Stun;
    }
    let mut rest = &datagram[HEADER..];
    for _ in 0..MAX_ATTRIBUTES {
        let [t0, t1, l0, l1, tail @ ..] = rest else {
            break;
        };
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some(value) = tail.get(..len) else {
            break;
        };
        if u16::from_be_bytes([*t0, *t1]) == USERNAME {
            let ufrag = std::str::from_utf8(value)
                .ok()
                .and_then(|name| name.split(':').next());
            return ufrag.map_or(Class::Unknown, Class::Request);
        }
        let Some(next) = tail.get(len.next_multiple_of(4)..) else {
            break;
        };
        rest = next;
    }
    Class::Unknown
}

/// Feeds the demultiplexer; for fuzzing.
#[doc(hidden)]
pub fn fuzz_classify(datagram: &[u8]) -> bool {
    matches!(classify(datagram), Class::Request(_))
}

/// Whether a datagram that leaves is a success response: the engine makes one only for a request
/// whose integrity it has checked, so its destination is a proven address.
pub(crate) fn proves_address(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[..2] == [0x01, 0x01] && datagram[4..8] == MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0x00, 0x01, 0, attributes.len() as u8];
        datagram.extend_from_slice(&MAGIC);
        datagram.extend_from_slice(&[7; 12]);
        datagram.extend_from_slice(attributes);
        datagram
    }

    #[test]
    fn the_user_name_is_found_behind_other_attributes() {
        let mut attributes = vec![0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        attributes.extend_from_slice(&[0, 6, 0, 9]);
        attributes.extend_from_slice(b"ours:them\0\0\0");
        assert_eq!(classify(&request(&attributes)), Class::Request("ours"));
    }

    #[test]
    fn hostile_lengths_are_not_followed() {
        assert_eq!(
            classify(&request(&[0, 6, 0xff, 0xff, b'a'])),
            Class::Unknown
        );
        assert_eq!(classify(&request(&[])), Class::Unknown);
        assert_eq!(classify(&[0, 1, 0]), Class::Unknown);
        assert_eq!(classify(&[]), Class::Unknown);
        assert_eq!(classify(&[0x16, 0xfe]), Class::Secured);
        assert_eq!(classify(&[0x80, 0x60]), Class::Secured);
        assert_eq!(classify(&[0x47]), Class::Unknown);
    }
}
