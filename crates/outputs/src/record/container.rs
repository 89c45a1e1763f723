//! Which container a file has, by its codecs.

use std::path::Path;

use inver_media::Codec;
use inver_media::container::fmp4::{self, Run, Sample, Track, Unsupported};
use inver_media::container::webm;

/// The container of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// Fragmented MP4.
    Mp4,
    /// WebM: what browsers expect of VP8 and VP9.
    Webm,
}

impl Container {
    /// What tracks go into: VP8 or VP9, alone or with Opus, into WebM, all else into MP4.
    pub(super) fn of(tracks: &[Track]) -> Self {
        let mut codecs = tracks.iter().map(|track| track.config.codec());
        let pictures = |codec| matches!(codec, Codec::Vp8 | Codec::Vp9);
        let fits = codecs
            .clone()
            .all(|codec| pictures(codec) || codec == Codec::Opus);
        if fits && codecs.any(pictures) {
            Self::Webm
        } else {
            Self::Mp4
        }
    }

    /// What a file is, by how its name ends.
    pub(super) fn of_name(path: &Path) -> Self {
        let ending = path.extension();
        if ending.is_some_and(|ending| ending == Self::Webm.ending()) {
            Self::Webm
        } else {
            Self::Mp4
        }
    }

    /// How names of files end.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Webm => "webm",
        }
    }

    /// What a file begins with.
    pub(super) fn header(self, tracks: &[Track]) -> Result<Vec<u8>, Unsupported> {
        match self {
            Self::Mp4 => fmp4::file_header(tracks),
            Self::Webm => webm::file_header(tracks),
        }
    }

    /// Samples as they are appended; `sequence` counts from 1.
    pub(super) fn fragment(self, sequence: u32, runs: &[(&Track, &[Sample])]) -> Vec<u8> {
        match self {
            Self::Mp4 => {
                let runs = runs.iter().map(|(track, samples)| Run {
                    track: track.id,
                    samples,
                });
                fmp4::fragment(sequence, &runs.collect::<Vec<_>>())
            }
            Self::Webm => webm::cluster(runs),
        }
    }
}
