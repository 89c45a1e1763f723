//! The command line, and the plan that it makes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use inver_media::Codec;
use reqwest::Url;

use crate::feed::Target;
use crate::ftl;

/// Viewers at most: each takes a file descriptor and a few hundred kilobytes.
const MAX_VIEWERS: usize = 20_000;

/// Publish synthetic media over WHIP, watch it over WHEP with many viewers, and measure.
///
/// Works on any WHIP and WHEP server. Progress goes to standard error, the result to standard
/// output.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    inver bench --server http://127.0.0.1:8080 --viewers 100 --server-pid $(pidof inver)\n  \
    inver bench --whip http://host/whip/{} --whep http://host/whep/{} --publishers 4\n  \
    inver bench --no-publish --whep https://example.com/whep/show --viewers 20")]
pub struct Args {
    /// Base URL of the server; endpoints are SERVER/whip/ROOM and SERVER/whep/ROOM.
    #[arg(long, value_name = "URL", conflicts_with_all = ["whip", "whep"])]
    pub server: Option<String>,
    /// Room for --server; with several publishers the rooms are ROOM-1, ROOM-2, ...
    #[arg(long, default_value = "bench")]
    pub room: String,
    /// WHIP endpoint; `{}` stands for the publisher's number, from 1.
    #[arg(long, value_name = "URL")]
    pub whip: Option<String>,
    /// WHEP endpoint; `{}` stands for the publisher's number, from 1.
    #[arg(long, value_name = "URL")]
    pub whep: Option<String>,
    /// Publish H.264 and Opus over RTMP instead of WHIP; `{}` stands for the publisher's number.
    #[arg(long, value_name = "URL", conflicts_with_all = ["whip", "no_publish"])]
    pub rtmp: Option<String>,
    /// Publish H.264 and Opus over FTL instead of WHIP. CHANNEL is the room's number; `{}` stands
    /// for the publisher's number.
    #[arg(
        long,
        value_name = "HOST[:PORT]/CHANNEL-KEY",
        env = "BENCH_FTL",
        hide_env_values = true,
        conflicts_with_all = ["whip", "rtmp", "no_publish"]
    )]
    pub ftl: Option<String>,
    /// Bearer token; stays away from other origins that the server redirects to.
    #[arg(long, env = "BENCH_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Bearer token of viewers, where it differs from --token.
    #[arg(long, env = "BENCH_VIEWER_TOKEN", hide_env_values = true)]
    pub viewer_token: Option<String>,
    /// Send tokens to other origins too when the server redirects there.
    #[arg(long)]
    pub redirect_token: bool,
    /// Accept any TLS certificate.
    #[arg(long)]
    pub insecure: bool,
    /// Only watch what somebody else publishes; the forwarding delay is unknown then.
    #[arg(long)]
    pub no_publish: bool,
    /// Publishers, each to a room of its own; viewers spread over them evenly.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub publishers: usize,
    /// Viewers in all.
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub viewers: usize,
    /// Viewers that join per second.
    #[arg(long, default_value_t = 50.0, value_name = "N")]
    pub join_rate: f64,
    /// Time to measure, once all viewers have joined: 20s, 500ms, 2m.
    #[arg(long, default_value = "20s", value_parser = parse_duration)]
    pub duration: Duration,
    /// Video bitrate of each publisher, in bits per second: 2.5M, 800k.
    #[arg(long, default_value = "2.5M", value_parser = parse_bitrate)]
    pub bitrate: u64,
    /// Video frames per second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub fps: u32,
    /// Time between keyframes that nobody asked for.
    #[arg(long, default_value = "4s", value_parser = parse_duration)]
    pub keyframe_interval: Duration,
    /// Picture size that the video claims to have.
    #[arg(long, default_value = "1280x720", value_parser = parse_size, value_name = "WxH")]
    pub size: (u32, u32),
    /// Video codec.
    #[arg(long, value_enum, default_value_t = VideoCodec::Vp8)]
    pub codec: VideoCodec,
    /// Publish and watch no sound.
    #[arg(long)]
    pub no_audio: bool,
    /// Seed of the frame sizes: the same seed publishes the same frames.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Process to measure, on this machine: CPU by thread and resident memory.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Report the generator's CPU by thread as well.
    #[arg(long)]
    pub own: bool,
    /// Let the kernel hand datagrams over one by one (no UDP GRO). On loopback the server then
    /// pays for splitting them, as it would with a network card without segmentation offload.
    #[arg(long)]
    pub no_gro: bool,
    /// Threads that watch.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Local address of all media sockets [default: the one that reaches the server].
    #[arg(long, value_name = "IP")]
    pub bind: Option<IpAddr>,
    /// Write the result as JSON to a file, or to standard output with `-`.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Codecs that can be synthesized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VideoCodec {
    /// VP8.
    Vp8,
    /// H.264, constrained baseline.
    H264,
}

impl VideoCodec {
    pub(crate) fn codec(self) -> Codec {
        match self {
            Self::Vp8 => Codec::Vp8,
            Self::H264 => Codec::H264,
        }
    }
}

/// Endpoints of one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) whip: Option<Url>,
    pub(crate) feed: Option<Target>,
    pub(crate) whep: Option<Url>,
}

impl Args {
    /// Checks the arguments against one another and gives the endpoints of each room.
    pub(crate) fn rooms(&self) -> anyhow::Result<Vec<Room>> {
        ensure!(
            self.publishers >= 1,
            "--publishers must be at least 1; to watch only, say --no-publish"
        );
        ensure!(
            self.viewers <= MAX_VIEWERS,
            "--viewers can be {MAX_VIEWERS} at most"
        );
        ensure!(
            self.viewers >= 1 || !self.no_publish,
            "--no-publish with --viewers 0 leaves nothing to do"
        );
        ensure!(
            self.join_rate.is_finite() && self.join_rate > 0.0,
            "--join-rate must be above 0"
        );
        ensure!(
            (1..=64).contains(&self.threads),
            "--threads must be 1 to 64"
        );
        ensure!(!self.duration.is_zero(), "--duration must be above 0");
        let per_frame = self.bitrate / 8 / u64::from(self.fps);
        ensure!(
            (100..=2_000_000).contains(&per_frame),
            "--bitrate {} at --fps {} makes frames of {per_frame} bytes; 100 to 2000000 are possible",
            self.bitrate,
            self.fps
        );
        (1..=self.publishers).map(|n| self.room_of(n)).collect()
    }

    fn room_of(&self, n: usize) -> anyhow::Result<Room> {
        let feed = self.feed_target(n)?;
        if let Some(server) = &self.server {
            let base = server.trim_end_matches('/');
            let room = if self.publishers == 1 {
                self.room.clone()
            } else {
                format!("{}-{n}", self.room)
            };
            let url = |door: &str| endpoint("--server", &format!("{base}/{door}/{room}"));
            return Ok(Room {
                whip: (!self.no_publish && feed.is_none())
                    .then(|| url("whip"))
                    .transpose()?,
                feed,
                whep: Some(url("whep")?),
            });
        }
        let one = |flag: &str, pattern: &Option<String>| -> anyhow::Result<Option<Url>> {
            let Some(pattern) = pattern else {
                return Ok(None);
            };
            if self.publishers > 1 && !pattern.contains("{}") {
                bail!("{flag} needs `{{}}` in its URL with more than one publisher");
            }
            endpoint(flag, &pattern.replace("{}", &n.to_string())).map(Some)
        };
        let whip = if feed.is_some() {
            None
        } else if self.no_publish {
            ensure!(
                self.whip.is_none(),
                "--whip and --no-publish exclude one another"
            );
            None
        } else {
            let whip = one("--whip", &self.whip)?;
            ensure!(
                whip.is_some(),
                "where to publish? Give --server URL, or --whip, --rtmp or --ftl and --whep URL, or --no-publish"
            );
            whip
        };
        let whep = one("--whep", &self.whep)?;
        ensure!(
            whep.is_some() || self.viewers == 0,
            "where to watch? Give --server URL or --whep URL, or --viewers 0"
        );
        Ok(Room { whip, feed, whep })
    }

    /// Where publisher `n` publishes with another protocol than WHIP.
    fn feed_target(&self, n: usize) -> anyhow::Result<Option<Target>> {
        let (flag, pattern) = match (&self.rtmp, &self.ftl) {
            (Some(url), _) => ("--rtmp", url),
            (None, Some(address)) => ("--ftl", address),
            (None, None) => return Ok(None),
        };
        ensure!(
            self.codec == VideoCodec::H264,
            "{flag} needs --codec h264: encoders that speak it have no VP8"
        );
        ensure!(
            self.publishers == 1 || pattern.contains("{}"),
            "{flag} needs `{{}}` in its value with more than one publisher"
        );
        let text = pattern.replace("{}", &n.to_string());
        if self.rtmp.is_none() {
            return ftl::Target::parse(&text)
                .map(|target| Some(Target::Ftl(target)))
                .context(flag);
        }
        Target::rtmp(&text).map(Some)
    }
}

pub(crate) fn endpoint(flag: &str, text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).with_context(|| format!("{flag}: {text:?} is not a URL"))?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host(),
        "{flag}: {text:?} must begin with http:// or https:// and name a host"
    );
    Ok(url)
}

pub(crate) fn parse_bitrate(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 && value * factor <= 1e10 => {
            Ok((value * factor) as u64)
        }
        Ok(_) | Err(_) => Err("a number with k, M or G is expected, like 2.5M".to_owned()),
    }
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, factor) = if let Some(digits) = text.strip_suffix("ms") {
        (digits, 1e-3)
    } else if let Some(digits) = text.strip_suffix('s') {
        (digits, 1.0)
    } else if let Some(digits) = text.strip_suffix('m') {
        (digits, 60.0)
    } else if let Some(digits) = text.strip_suffix('h') {
        (digits, 3600.0)
    } else {
        (text, 1.0)
    };
    match digits.parse::<f64>() {
        Ok(value) if (0.0..=604_800.0).contains(&(value * factor)) => {
            Ok(Duration::from_secs_f64(value * factor))
        }
        Ok(_) | Err(_) => Err("a time is expected, like 20s, 500ms, 2m or 1h".to_owned()),
    }
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    text.split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)))
        .filter(|(w, h)| [*w, *h].iter().all(|side| (16..=8192).contains(side)))
        .filter(|(w, h)| w % 2 == 0 && h % 2 == 0)
        .ok_or_else(|| "two even numbers from 16 to 8192 are expected, like 1280x720".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Command::try_parse_from(std::iter::once("bench").chain(line.split_whitespace()))
            .map(|command| command.args)
    }

    #[track_caller]
    fn refused(line: &str, because: &str) {
        let said = match parse(line) {
            Ok(args) => args.rooms().expect_err("refused").to_string(),
            Err(error) => error.to_string(),
        };
        assert!(said.contains(because), "{said}");
    }

    #[test]
    fn a_server_and_rooms_make_the_endpoints() {
        let args = parse("--server http://127.0.0.1:8080/live/ --publishers 2").expect("parses");
        let rooms = args.rooms().expect("a plan");
        let text = |url: &Option<Url>| url.as_ref().map(Url::to_string);
        assert_eq!(
            text(&rooms[1].whip).as_deref(),
            Some("http://127.0.0.1:8080/live/whip/bench-2")
        );
        assert_eq!(
            text(&rooms[0].whep).as_deref(),
            Some("http://127.0.0.1:8080/live/whep/bench-1")
        );
    }

    #[test]
    fn patterns_number_the_rooms() {
        let args = parse("--whip http://h/p/{} --whep http://h/s/{}?x=1 --publishers 3");
        let rooms = args.expect("parses").rooms().expect("a plan");
        assert_eq!(
            rooms[2].whep.as_ref().map(Url::as_str),
            Some("http://h/s/3?x=1")
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        refused("", "where to publish?");
        refused("--no-publish", "where to watch?");
        refused("--whip http://h/a --viewers 5", "where to watch?");
        refused("--whip ftp://h/a --whep http://h/b", "http://");
        refused("--server nonsense", "not a URL");
        refused(
            "--whip http://h/a --whep http://h/b --publishers 2",
            "needs `{}`",
        );
        refused("--server http://h --whip http://h/a", "cannot be used with");
        refused("--server http://h --bitrate fast", "like 2.5M");
        refused("--server http://h --bitrate 1k", "frames of 4 bytes");
        refused("--server http://h --size 1281x720", "even numbers");
        refused("--server http://h --duration soon", "like 20s");
        refused("--server http://h --join-rate 0", "above 0");
        refused("--server http://h --fps 0", "0 is not in 1..=240");
        refused("--server http://h --viewers 99999", "20000 at most");
        refused(
            "--server http://h --no-publish --viewers 0",
            "nothing to do",
        );
    }

    #[test]
    fn units_are_understood() {
        assert_eq!(parse_bitrate("2.5M"), Ok(2_500_000));
        assert_eq!(parse_bitrate("800k"), Ok(800_000));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_size("640x360"), Ok((640, 360)));
    }
}
