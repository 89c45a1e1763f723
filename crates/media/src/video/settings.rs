//! What may be chosen, and what is told.

use std::time::{Duration, Instant};

use super::Error;

/// How many bits a second are spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bitrate {
    /// As many as the source has, as measured, and a quarter more: what comes out lacks the tools
    /// that made the source small.
    FollowSource {
        /// The least, in bits per second.
        least: u32,
        /// The most, in bits per second.
        most: u32,
    },
    /// So many bits per second.
    Fixed(u32),
}

/// How video is coded again.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Bits per second.
    pub bitrate: Bitrate,
    /// Longest time between keyframes. Shorter costs bits, longer costs those viewers time who
    /// come when no keyframe can be asked for.
    pub keyframe_interval: Duration,
    /// Pixels a second beyond which nothing is decoded. The default, 1920x1080 at 30 pictures a
    /// second, takes about three quarters of a core without assembler.
    pub budget: u64,
    /// Tells the time for [`Statistics::decode_time`] and [`Statistics::encode_time`], such as
    /// `Instant::now`; `None` leaves these at zero. Nothing else depends on it.
    pub clock: Option<fn() -> Instant>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bitrate: Bitrate::FollowSource {
                least: 300_000,
                most: 8_000_000,
            },
            keyframe_interval: Duration::from_secs(2),
            budget: 1920 * 1080 * 30,
            clock: None,
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), Error> {
        let (least, most) = match self.bitrate {
            Bitrate::FollowSource { least, most } => (least, most),
            Bitrate::Fixed(bitrate) => (bitrate, bitrate),
        };
        // The library takes no less than 1 bit a second and counts in 31 bits; nobody who watches
        // over WebRTC has a hundred megabits a second for one picture.
        if least < 10_000 || most > 100_000_000 {
            return Err(Error::Settings(
                "a bitrate has to be from 10 kbit/s to 100 Mbit/s",
            ));
        }
        if least > most {
            return Err(Error::Settings("the least bitrate is above the most"));
        }
        if self.keyframe_interval.is_zero() {
            return Err(Error::Settings(
                "the keyframe interval is zero; two seconds are usual",
            ));
        }
        Ok(())
    }
}

/// What has been done so far.
///
/// Every picture that came in has come out, is dropped, or waits inside for those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Frames taken.
    pub pictures_in: u64,
    /// Frames given.
    pub pictures_out: u64,
    /// Frames given that are keyframes.
    pub keyframes_out: u64,
    /// Frames that do not come out: before the first keyframe, corrupt, from a corrupt one to the
    /// next keyframe, refused, or not later than the one before.
    pub dropped: u64,
    /// Frames that could not be decoded.
    pub corrupt: u64,
    /// Time spent in decoding, where there is a clock.
    pub decode_time: Duration,
    /// Time spent in encoding, where there is a clock.
    pub encode_time: Duration,
    /// Bits per second that came in during the last seconds; zero while not known.
    pub source_bitrate: u32,
    /// Bits per second that came out during the last seconds; zero while not known.
    pub bitrate: u32,
    /// Width and height of the last picture given.
    pub size: Option<(u32, u32)>,
}
