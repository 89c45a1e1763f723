//! Signatures in paths: what a player of a private room was once granted, its later requests show.
//! And names of players, by which they are counted.
//!
//! Players ask for playlists and parts without credentials; URIs relative to the one that carries
//! the signature inherit it.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use inver_proto::RoomId;

/// How long a player may go on without asking anew. With less, long shows break; with more, a
/// right that was withdrawn lasts.
const LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);

/// Bytes of the authentication tag that are kept.
const TAG: usize = 16;

/// The same of a player's name: who guesses one is counted as one, no more.
const NAME_TAG: usize = 8;

/// Why a signature is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It is not one of this server for this room.
    #[error("the signature in the path is not one of this server for this room")]
    Forged,
    /// It was one.
    #[error("the signature in the path has expired; ask for index.m3u8 with your token again")]
    Expired,
}

/// Makes and checks signatures. The key lives as long as the server runs.
pub(super) struct Signer(hmac::Key);

impl Signer {
    /// A signer with a new key.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub(super) fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        hmac::Key::generate(hmac::HMAC_SHA256, &random).map(Self)
    }

    fn tag(&self, room: &RoomId, expires: [u8; 8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&expires);
        context.update(room.as_str().as_bytes());
        context.sign()
    }

    fn name_tag(&self, room: &RoomId, name: [u8; 8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        // A signature's text begins with a time, which is never this far off.
        context.update(&[u8::MAX]);
        context.update(&name);
        context.update(room.as_str().as_bytes());
        context.sign()
    }

    /// A name for a player of a room, which nobody else makes.
    pub(super) fn name(&self, room: &RoomId) -> String {
        let name = fastrand::u64(..).to_be_bytes();
        let mut bytes = name.to_vec();
        bytes.extend_from_slice(&self.name_tag(room, name).as_ref()[..NAME_TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The number in a name that was made here for a room.
    pub(super) fn named(&self, text: &str, room: &RoomId) -> Option<u64> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (name, tag) = bytes.split_first_chunk::<8>()?;
        let wanted = self.name_tag(room, *name);
        let wanted = wanted.as_ref().get(..NAME_TAG)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(tag, wanted).ok()?;
        Some(u64::from_be_bytes(*name))
    }

    /// The signature for a room, at `now` since 1970.
    pub(super) fn sign(&self, room: &RoomId, now: Duration) -> String {
        let expires = (now + LIFETIME).as_secs().to_be_bytes();
        let mut bytes = expires.to_vec();
        bytes.extend_from_slice(&self.tag(room, expires).as_ref()[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether a signature is good for a room, at `now` since 1970.
    pub(super) fn check(&self, text: &str, room: &RoomId, now: Duration) -> Result<(), Refused> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Forged)?;
        let (expires, tag) = bytes.split_first_chunk::<8>().ok_or(Refused::Forged)?;
        let wanted = self.tag(room, *expires);
        let wanted = wanted.as_ref().get(..TAG).unwrap_or_default();
        if aws_lc_rs::constant_time::verify_slices_are_equal(tag, wanted).is_err() {
            return Err(Refused::Forged);
        }
        if u64::from_be_bytes(*expires) < now.as_secs() {
            return Err(Refused::Expired);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomId {
        name.parse().expect("a name")
    }

    #[test]
    fn a_signature_is_good_for_its_room_and_its_time() {
        let signer = Signer::new().expect("randomness");
        let now = Duration::from_secs(1_000_000);
        let signed = signer.sign(&room("show"), now);
        assert_eq!(signer.check(&signed, &room("show"), now), Ok(()));
        assert_eq!(signer.check(&signed, &room("show"), now + LIFETIME), Ok(()));
        let late = now + LIFETIME + Duration::from_secs(1);
        assert_eq!(
            signer.check(&signed, &room("show"), late),
            Err(Refused::Expired)
        );
        assert_eq!(
            signer.check(&signed, &room("shows"), now),
            Err(Refused::Forged)
        );
        let other = Signer::new().expect("randomness");
        assert_eq!(
            other.check(&signed, &room("show"), now),
            Err(Refused::Forged)
        );
    }

    #[test]
    fn players_have_names_that_only_we_give() {
        let signer = Signer::new().expect("randomness");
        let (one, other) = (signer.name(&room("show")), signer.name(&room("show")));
        let number = |name: &str| signer.named(name, &room("show"));
        assert!(number(&one).is_some());
        assert_ne!(number(&one), number(&other));
        assert_eq!(signer.named(&one, &room("shows")), None);
        for forged in ["", "AAAA", "not base64!", &format!("{one}A"), &one[1..]] {
            assert_eq!(number(forged), None, "{forged}");
        }
        let signed = signer.sign(&room("show"), Duration::from_secs(1_000_000));
        assert_eq!(number(&signed), None);
    }

    #[test]
    fn what_was_changed_or_cut_is_forged() {
        let signer = Signer::new().expect("randomness");
        let now = Duration::from_secs(1_000_000);
        let signed = signer.sign(&room("show"), now);
        for cut in 0..signed.len() {
            let refused = signer.check(&signed[..cut], &room("show"), now);
            assert_eq!(refused, Err(Refused::Forged), "{cut}");
        }
        let later = format!("_{}", &signed[1..]);
        assert_eq!(
            signer.check(&later, &room("show"), now),
            Err(Refused::Forged)
        );
        assert_eq!(
            signer.check("not base64!", &room("show"), now),
            Err(Refused::Forged)
        );
    }
}
