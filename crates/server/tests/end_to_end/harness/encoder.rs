//! FFmpeg as an encoder of the broadcast protocols, and as a player of what is read out again.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;
use super::client::ffmpeg;

/// Lines kept for the report of a failure.
const LOG_LINES: usize = 80;

/// A moving picture that holds nothing costly to encode.
pub(crate) const PICTURE: &str = "-re -f lavfi -i testsrc2=size=640x360:rate=30";
/// A tone of 440 Hz with the sample rate that most encoders default to.
pub(crate) const TONE: &str = "-re -f lavfi -i sine=frequency=440:sample_rate=44100";
/// H264 as encoders send it live: no B-frames, a keyframe each second.
pub(crate) const H264: &str =
    "-c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -b:v 800k -g 30";
/// H264 with two B-frames between its other frames, a keyframe every two seconds.
pub(crate) const H264_WITH_B_FRAMES: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p \
     -b:v 800k -g 60 -x264-params bframes=2:b-adapt=0:b-pyramid=0:scenecut=0:open-gop=0";
/// H265 without B-frames, a keyframe each second.
pub(crate) const H265: &str = "-c:v libx265 -preset ultrafast -tune zerolatency -pix_fmt yuv420p \
     -b:v 400k -x265-params keyint=30:bframes=0:log-level=warning";
/// AAC in stereo.
pub(crate) const AAC: &str = "-c:a aac -b:a 96k -ac 2";

type Log = Arc<Mutex<VecDeque<String>>>;

/// A running FFmpeg; killed when dropped.
#[derive(Debug)]
pub(crate) struct Ffmpeg {
    child: Child,
    log: Log,
    reading: JoinHandle<()>,
}

impl Ffmpeg {
    /// Starts it with words that spaces divide.
    pub(crate) fn start(words: &[&str]) -> Self {
        let mut command = Command::new(ffmpeg());
        command.args(["-hide_banner", "-nostats", "-v", "info"]);
        for part in words {
            command.args(part.split_whitespace());
        }
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("FFmpeg starts");
        let log = Log::default();
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let kept = Arc::clone(&log);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if log.len() == LOG_LINES {
                    log.pop_front();
                }
                log.push_back(line);
            }
        });
        Self {
            child,
            log,
            reading,
        }
    }

    /// Publishes the moving picture and the tone as H264 and AAC in FLV.
    pub(crate) fn rtmp(url: &str) -> Self {
        Self::start(&[PICTURE, TONE, H264, AAC, "-f flv", url])
    }

    /// Publishes the same as a transport stream.
    pub(crate) fn srt(url: &str) -> Self {
        Self::start(&[PICTURE, TONE, H264, AAC, "-f mpegts", url])
    }

    /// Plays some seconds of a URL and ends; what it saw is in its log.
    pub(crate) fn play(url: &str) -> Self {
        Self::start(&["-i", url, "-map 0 -frames:v 45 -frames:a 60 -f null -"])
    }

    /// Waits for it to end, and tells how and what it said.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("FFmpeg did not end within {PATIENCE:?}:\n{}", self.said());
        };
        let status = status.expect("the process is our child");
        // The pipe closes with the process.
        let _ = timeout(PATIENCE, &mut self.reading).await;
        (status, self.said())
    }

    /// Panics with what it said where it has ended.
    #[track_caller]
    pub(crate) fn assert_runs(&mut self) {
        let running = matches!(self.child.try_wait(), Ok(None));
        assert!(running, "FFmpeg ended:\n{}", self.said());
    }

    /// Ends it with no chance to say goodbye.
    pub(crate) async fn vanish(mut self) {
        self.child.kill().await.expect("FFmpeg still ran");
    }

    /// Stops it as a debugger does: its connections stay, and nothing comes on them any more.
    pub(crate) async fn stop(&mut self) {
        let process = self.child.id().expect("FFmpeg still runs").to_string();
        let status = Command::new("kill")
            .args(["-STOP", &process])
            .status()
            .await
            .expect("kill is a program everywhere");
        assert!(status.success());
    }

    fn said(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = log.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("-- FFmpeg's last lines:\n{}", self.said());
        }
    }
}
