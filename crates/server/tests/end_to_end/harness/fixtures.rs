//! Test files, encoded once by FFmpeg.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::client::{ENCODING, ffmpeg};

/// A test file: four seconds of a moving picture, a keyframe every two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fixture {
    /// VP8 in IVF.
    Vp8,
    /// H264 constrained baseline as Annex B, with access unit delimiters.
    H264,
    /// H264 main with two B-frames between its other frames, as Annex B.
    BFrames,
    /// The frames of [`Fixture::H264`] with Opus, in Matroska.
    H264Opus,
}

impl Fixture {
    fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "picture.ivf",
            Self::H264 => "picture.h264",
            Self::BFrames => "b-frames.h264",
            Self::H264Opus => "picture.mkv",
        }
    }

    fn arguments(self, folder: &Path) -> Vec<String> {
        let picture = "-f lavfi -i testsrc2=size=640x360:rate=30 -t 4 -pix_fmt yuv420p";
        let h264 = "-c:v libx264 -preset veryfast -b:v 800k -g 60 -f h264";
        let text = match self {
            Self::Vp8 => format!("{picture} -c:v libvpx -deadline realtime -b:v 800k -g 60"),
            Self::H264 => format!(
                "{picture} {h264} -profile:v baseline \
                 -x264-params aud=1:keyint=60:min-keyint=60:scenecut=0"
            ),
            Self::BFrames => format!(
                "{picture} {h264} -profile:v main -x264-params aud=1:keyint=60:min-keyint=60:\
                 scenecut=0:bframes=2:b-adapt=0:b-pyramid=0:open-gop=0"
            ),
            Self::H264Opus => {
                let video = folder.join(Self::H264.name());
                let video = video.display();
                format!(
                    "-r 30 -i {video} -f lavfi -i sine=frequency=440 -t 4 \
                     -c:v copy -c:a libopus -ar 48000 -ac 2"
                )
            }
        };
        text.split_whitespace().map(str::to_owned).collect()
    }
}

/// Path of a test file. The first call makes all of them.
pub(crate) async fn fixture(fixture: Fixture) -> String {
    static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();
    let folder = FOLDER.get_or_init(make).await;
    folder.join(fixture.name()).to_string_lossy().into_owned()
}

async fn make() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    std::fs::create_dir_all(&folder).expect("cargo's temporary folder is writable");
    for fixture in [
        Fixture::Vp8,
        Fixture::H264,
        Fixture::BFrames,
        Fixture::H264Opus,
    ] {
        let running = Command::new(ffmpeg())
            .args(["-v", "error", "-y"])
            .args(fixture.arguments(&folder))
            .arg(folder.join(fixture.name()))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(ENCODING, running)
            .await
            .expect("FFmpeg writes a short file in time")
            .expect("FFmpeg starts");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{fixture:?}: {messages}");
    }
    folder
}
