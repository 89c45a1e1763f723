//! The result: what is printed and what goes into the JSON file.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::args::Args;
use crate::engine::Results;
use crate::process::{Thread, Usage};
use crate::viewer::histogram;

/// A distribution of times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Percentiles {
    /// `None` where nothing was measured.
    pub(crate) fn of(micros: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1000.0;
        (!micros.is_empty()).then(|| Self {
            count: micros.len(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: micros.max() as f64 / 1000.0,
        })
    }

    fn of_times(times: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut histogram = histogram();
        for time in times {
            histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        }
        Self::of(&histogram)
    }
}

/// What was sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Publishing {
    pub(crate) publishers: u64,
    pub(crate) codec: &'static str,
    pub(crate) bitrate: u64,
    pub(crate) frames_per_second: u32,
    pub(crate) frames: u64,
    pub(crate) keyframes: u64,
    pub(crate) packets: u64,
    pub(crate) keyframe_requests: u64,
    pub(crate) frames_skipped: u64,
}

/// How viewers joined; times in milliseconds from the start of the WHEP POST.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Joining {
    pub(crate) asked: u64,
    /// Viewers that got media.
    pub(crate) playing: u64,
    /// Viewers that got a whole keyframe.
    pub(crate) with_picture: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    /// Requests that had to be made again, since nobody was live yet or the server was busy.
    pub(crate) retries: u64,
    pub(crate) answer_ms: Option<Percentiles>,
    pub(crate) first_packet_ms: Option<Percentiles>,
    pub(crate) first_keyframe_ms: Option<Percentiles>,
}

/// What all viewers got from their first to their last packet.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Quality {
    pub(crate) packets_expected: u64,
    /// Missing on the wire before any retransmission.
    pub(crate) packets_lost_raw: u64,
    /// Missing in the end.
    pub(crate) packets_lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) nacks: u64,
    pub(crate) retransmissions: u64,
    pub(crate) probes: u64,
    pub(crate) keyframe_requests: u64,
    pub(crate) frames: u64,
    pub(crate) frames_broken: u64,
    pub(crate) stalls: u64,
    pub(crate) stalled_viewers: u64,
    pub(crate) stalled_seconds: f64,
}

/// What was received while measuring.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Throughput {
    pub(crate) seconds: f64,
    /// RTP packets, retransmissions and probes included.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) bits_per_second: f64,
    pub(crate) packets_per_second: f64,
}

/// A process while measuring.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    /// Share of one core.
    pub(crate) cores: f64,
    /// Microseconds of CPU per packet that viewers received.
    pub(crate) us_per_packet: Option<f64>,
    pub(crate) memory_kib_before: u64,
    pub(crate) memory_kib: u64,
    /// KiB per viewer with media: growth since before the first viewer joined.
    pub(crate) memory_kib_per_viewer: Option<f64>,
    pub(crate) threads: Vec<Thread>,
}

/// How the generator itself did. A high lag or drops mean that the figures are its own.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Generator {
    /// Time that datagrams waited in the kernel until they were read.
    pub(crate) read_lag_ms: Option<Percentiles>,
    /// Datagrams that found no room in a socket's buffer, on the whole machine.
    pub(crate) buffer_errors: u64,
    pub(crate) send_errors: u64,
    pub(crate) receive_offload: bool,
    pub(crate) cost: Cost,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    /// Whether somebody ended the run early.
    pub(crate) interrupted: bool,
    pub(crate) publishing: Option<Publishing>,
    pub(crate) joining: Joining,
    pub(crate) throughput: Throughput,
    pub(crate) quality: Quality,
    /// From capture to the kernel's receipt at a viewer, per packet, while measuring. All
    /// viewers' packets count; none are sampled.
    pub(crate) forwarding_delay_ms: Option<Percentiles>,
    /// The same of the first packet of each frame alone.
    pub(crate) first_forwarding_delay_ms: Option<Percentiles>,
    pub(crate) server: Option<Cost>,
    pub(crate) generator: Generator,
}

/// Usage of a process: before the first viewer, and what was used while measuring.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    pub(crate) before: Usage,
    pub(crate) during: Usage,
}

/// What a run brings together.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) interrupted: bool,
    pub(crate) seconds: f64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) results: Vec<Results>,
    /// Failures before a connection came about.
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) retries: u64,
    pub(crate) server: Option<Used>,
    pub(crate) own: Used,
    pub(crate) buffer_errors: u64,
}

impl Report {
    pub(crate) fn new(args: &Args, findings: Findings) -> Self {
        let mut failures = findings.refused;
        let mut quality = Quality::default();
        let (mut delay, mut first_delay, mut lag) = (histogram(), histogram(), histogram());
        let mut send_errors = 0;
        for results in &findings.results {
            for (reason, count) in &results.failures {
                *failures.entry((*reason).to_owned()).or_default() += count;
            }
            for (sum, part) in [
                (&mut delay, &results.delay),
                (&mut first_delay, &results.first_delay),
                (&mut lag, &results.lag),
            ] {
                sum.add(part).expect("all histograms have the same bounds");
            }
            send_errors += results.send_errors;
        }
        let watched = || findings.results.iter().flat_map(|results| &results.watched);
        for viewer in watched() {
            quality.packets_expected += viewer.expected;
            quality.packets_lost_raw += viewer.lost_raw;
            quality.packets_lost += viewer.lost;
            quality.duplicates += viewer.duplicates;
            quality.nacks += viewer.nacks;
            quality.retransmissions += viewer.retransmissions;
            quality.probes += viewer.probes;
            quality.keyframe_requests += viewer.keyframe_requests;
            quality.frames += viewer.frames;
            quality.frames_broken += viewer.broken_frames;
            quality.stalls += viewer.stalls;
            quality.stalled_viewers += u64::from(viewer.stalls > 0);
            quality.stalled_seconds += viewer.stalled.as_secs_f64();
        }
        let playing = watched().filter(|v| v.first_packet.is_some()).count() as u64;
        let joining = Joining {
            asked: args.viewers as u64,
            playing,
            with_picture: findings.results.iter().map(|r| r.pictures).sum(),
            failures,
            retries: findings.retries,
            answer_ms: Percentiles::of_times(watched().map(|viewer| viewer.answer)),
            first_packet_ms: Percentiles::of_times(watched().filter_map(|v| v.first_packet)),
            first_keyframe_ms: Percentiles::of_times(watched().filter_map(|v| v.first_frame)),
        };
        let seconds = findings.seconds;
        let throughput = Throughput {
            seconds,
            packets: findings.packets,
            bytes: findings.bytes,
            bits_per_second: per(findings.bytes as f64 * 8.0, seconds),
            packets_per_second: per(findings.packets as f64, seconds),
        };
        let cost = |used: &Used| cost(used, seconds, findings.packets, playing);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            interrupted: findings.interrupted,
            publishing: publishing(args, &findings.results),
            joining,
            throughput,
            quality,
            forwarding_delay_ms: Percentiles::of(&delay),
            first_forwarding_delay_ms: Percentiles::of(&first_delay),
            server: findings.server.as_ref().map(cost),
            generator: Generator {
                read_lag_ms: Percentiles::of(&lag),
                buffer_errors: findings.buffer_errors,
                send_errors,
                receive_offload: !args.no_gro,
                cost: cost(&findings.own),
            },
        }
    }
}

fn publishing(args: &Args, results: &[Results]) -> Option<Publishing> {
    if args.no_publish {
        return None;
    }
    let mut publishing = Publishing {
        publishers: 0,
        codec: args.codec.codec().name(),
        bitrate: args.bitrate,
        frames_per_second: args.fps,
        frames: 0,
        keyframes: 0,
        packets: 0,
        keyframe_requests: 0,
        frames_skipped: 0,
    };
    for published in results.iter().flat_map(|results| &results.published) {
        publishing.publishers += 1;
        publishing.frames += published.frames;
        publishing.keyframes += published.keyframes;
        publishing.packets += published.packets;
        publishing.keyframe_requests += published.keyframe_requests;
        publishing.frames_skipped += published.skipped;
    }
    Some(publishing)
}

pub(crate) fn cost(used: &Used, seconds: f64, packets: u64, viewers: u64) -> Cost {
    let (cpu, before, now) = (
        used.during.cpu_seconds,
        used.before.memory_kib,
        used.during.memory_kib,
    );
    Cost {
        cpu_seconds: cpu,
        cores: per(cpu, seconds),
        us_per_packet: (packets > 0).then(|| cpu * 1e6 / packets as f64),
        memory_kib_before: before,
        memory_kib: now,
        memory_kib_per_viewer: (viewers > 0)
            .then(|| now.saturating_sub(before) as f64 / viewers as f64),
        threads: used.during.threads.clone(),
    }
}

pub(crate) fn per(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::publisher::Published;
    use crate::viewer::Watched;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    pub(crate) fn args(line: &str) -> Args {
        Command::parse_from(std::iter::once("bench").chain(line.split_whitespace())).args
    }

    fn usage(cpu_seconds: f64, memory_kib: u64) -> Usage {
        Usage {
            cpu_seconds,
            memory_kib,
            threads: vec![Thread {
                id: 1,
                name: "shard-0".to_owned(),
                cpu_seconds,
            }],
        }
    }

    pub(crate) fn findings() -> Findings {
        let viewer = |lost_raw, lost, stalls| Watched {
            answer: Duration::from_millis(3),
            first_packet: Some(Duration::from_millis(20)),
            first_frame: Some(Duration::from_millis(25)),
            expected: 10_000,
            lost_raw,
            lost,
            nacks: lost_raw,
            retransmissions: lost_raw - lost,
            frames: 600,
            stalls,
            stalled: Duration::from_millis(400) * u32::try_from(stalls).expect("few"),
            ..Watched::default()
        };
        let nothing = Watched {
            answer: Duration::from_millis(9),
            ..Watched::default()
        };
        let (mut delay, lag) = (histogram(), histogram());
        for micros in 1..=1000 {
            delay.record(micros).expect("in range");
        }
        let results = Results {
            watched: vec![viewer(30, 1, 0), viewer(0, 0, 2), nothing],
            published: vec![Published {
                frames: 600,
                keyframes: 5,
                packets: 6500,
                ..Published::default()
            }],
            failures: BTreeMap::from([("no media", 1)]),
            first_delay: delay.clone(),
            delay,
            lag,
            send_errors: 0,
            pictures: 2,
        };
        Findings {
            interrupted: false,
            seconds: 20.0,
            packets: 20_000,
            bytes: 20_000_000,
            results: vec![results],
            refused: BTreeMap::from([("503 Service Unavailable".to_owned(), 1)]),
            retries: 0,
            server: Some(Used {
                before: usage(0.0, 50_000),
                during: usage(0.04, 51_000),
            }),
            own: Used {
                before: usage(0.0, 10_000),
                during: usage(0.02, 12_000),
            },
            buffer_errors: 0,
        }
    }

    #[test]
    fn figures_add_up() {
        let report = Report::new(&args("--server http://h --viewers 4"), findings());
        assert_eq!((report.joining.asked, report.joining.playing), (4, 2));
        assert_eq!(report.joining.failures.values().sum::<u64>(), 2);
        assert_eq!(report.quality.packets_expected, 20_000);
        assert_eq!(report.quality.packets_lost_raw, 30);
        assert_eq!(report.quality.packets_lost, 1);
        assert_eq!(report.quality.stalled_viewers, 1);
        assert!((report.throughput.bits_per_second - 8e6).abs() < 1.0);
        let delay = report.forwarding_delay_ms.expect("measured");
        assert!((delay.p50 - 0.5).abs() < 0.01 && (delay.p99 - 0.99).abs() < 0.01);
        assert!((delay.max - 1.0).abs() < 0.01);
        let server = report.server.expect("measured");
        assert!((server.us_per_packet.expect("packets") - 2.0).abs() < 1e-9);
        assert!((server.memory_kib_per_viewer.expect("viewers") - 500.0).abs() < 1e-9);
    }

    #[test]
    fn a_run_without_anything_divides_by_nothing() {
        let mut findings = findings();
        findings.results.clear();
        findings.seconds = 0.0;
        findings.packets = 0;
        findings.bytes = 0;
        let report = Report::new(&args("--server http://h --no-publish"), findings);
        assert!(report.publishing.is_none() && report.forwarding_delay_ms.is_none());
        let json = serde_json::to_value(&report).expect("serializes");
        assert_eq!(json["throughput"]["bits_per_second"], 0.0);
        assert!(json["server"]["us_per_packet"].is_null());
    }
}
