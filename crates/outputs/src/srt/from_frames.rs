//! Frames into the datagrams of a transport stream.

use inver_media::container::mpegts::{Error, TrackConfig, Writer};
use inver_media::{Frame, Kind};

use crate::frames::Opening;

/// Turns the frames of one publication into a transport stream for one reader.
#[derive(Debug)]
pub(crate) struct FromFrames {
    writer: Writer,
    tracks: Vec<TrackConfig>,
}

impl FromFrames {
    /// With the tracks that there are at the start.
    ///
    /// # Errors
    /// The picture or the sound is nothing that a transport stream carries.
    pub(crate) fn new(opening: &Opening) -> Result<Self, Error> {
        let configs = [&opening.video, &opening.audio];
        let tracks: Vec<TrackConfig> = configs
            .into_iter()
            .flatten()
            .map(|config| TrackConfig {
                config: config.clone(),
                language: None,
            })
            .collect();
        Ok(Self {
            writer: Writer::new(&tracks)?,
            tracks,
        })
    }

    /// Takes a frame and gives each datagram that it makes to `send`, until that fails.
    ///
    /// # Errors
    /// The frame is nothing that a transport stream carries; nothing of it is sent.
    pub(crate) fn write(
        &mut self,
        frame: &Frame,
        mut send: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Error> {
        let kind = frame.codec().kind();
        let index = self.track(frame)?;
        self.writer.write(index, frame)?;
        let mut taken = true;
        while let Some(datagram) = self.writer.datagram() {
            taken = taken && send(datagram);
        }
        // A picture is whole: it shall not wait for the next one. Without one, sound shall not.
        let alone = self.tracks.len() == 1;
        if (kind == Kind::Video || alone)
            && let Some(rest) = self.writer.rest()
            && taken
        {
            send(rest);
        }
        Ok(())
    }

    /// The track of a frame; a kind that comes for the first time becomes one.
    fn track(&mut self, frame: &Frame) -> Result<usize, Error> {
        let kind = frame.codec().kind();
        let of_kind = |track: &TrackConfig| track.config.codec().kind() == kind;
        if let Some(index) = self.tracks.iter().position(of_kind) {
            return Ok(index);
        }
        let mut tracks = self.tracks.clone();
        tracks.push(TrackConfig {
            config: frame.config.clone(),
            language: None,
        });
        self.writer.set_tracks(&tracks)?;
        self.tracks = tracks;
        Ok(self.tracks.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use inver_media::container::mpegts::{DATAGRAM, Item, Reader};
    use inver_media::{Codec, Config, MediaTime};

    use super::*;

    fn opus(ms: i64) -> Arc<Frame> {
        let at = MediaTime(ms * 1_000_000);
        Arc::new(Frame {
            config: Arc::new(Config::Opus {
                channels: 2,
                pre_skip: 312,
            }),
            pts: at,
            dts: at,
            keyframe: true,
            data: Arc::from([0xfc, 1, 2, 3]),
        })
    }

    fn opening(frames: &[Arc<Frame>]) -> Opening {
        Opening {
            frames: frames.to_vec(),
            video: None,
            audio: frames.first().map(|frame| frame.config.clone()),
        }
    }

    #[test]
    fn sound_alone_does_not_wait_for_a_full_datagram() {
        let frames: Vec<_> = (0..5).map(|index| opus(index * 20)).collect();
        let mut writer = FromFrames::new(&opening(&frames)).expect("Opus is carried");
        let mut reader = Reader::default();
        let mut found = 0;
        for (index, frame) in frames.iter().enumerate() {
            let mut sent = 0;
            let send = |datagram: &[u8]| {
                assert!(datagram.len() <= DATAGRAM && datagram.len().is_multiple_of(188));
                reader.push(datagram);
                sent += 1;
                true
            };
            writer.write(frame, send).expect("Opus is carried");
            assert!(sent > 0, "frame {index} waits");
        }
        reader.finish();
        while let Some(item) = reader.poll() {
            if let Item::Frame { frame, .. } = item {
                assert_eq!(frame.codec(), Codec::Opus);
                found += 1;
            }
        }
        assert_eq!(found, frames.len());
    }

    #[test]
    fn what_transport_streams_do_not_carry_is_named() {
        let vp9 = Opening {
            video: Some(Arc::new(Config::Vp9 { profile: 0 })),
            ..Opening::default()
        };
        let error = FromFrames::new(&vp9).expect_err("there is no VP9 in TS");
        assert!(error.to_string().contains("VP9"), "{error}");
    }

    #[test]
    fn a_reader_that_takes_nothing_is_given_no_more_of_the_frame() {
        let frame = opus(0);
        let large = Frame {
            data: Arc::from(vec![0xfc; 8000]),
            ..Frame::clone(&frame)
        };
        let mut writer = FromFrames::new(&opening(&[frame])).expect("Opus is carried");
        let mut asked = 0;
        writer
            .write(&large, |_| {
                asked += 1;
                false
            })
            .expect("Opus is carried");
        assert_eq!(asked, 1);
    }
}
