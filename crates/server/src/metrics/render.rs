//! Which figures there are and what they mean.

use std::sync::Arc;
use std::time::Duration;

use inver_shard::{DELAY_BUCKETS, Snapshot, Totals};

use super::http_requests::HttpRequests;
use super::process::Process;
use super::text::{Kind, Page};

pub use super::text::CONTENT_TYPE;

/// What control knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rooms {
    /// Rooms in which somebody publishes.
    pub live: usize,
    /// Viewers of all rooms.
    pub viewers: usize,
    /// Sessions that are not connected yet.
    pub connecting: usize,
    /// Connected sessions that publish.
    pub publishing: usize,
}

/// Writes the page.
pub fn render(
    shards: &[Arc<Snapshot>],
    rooms: Rooms,
    requests: &HttpRequests,
    uptime: Duration,
    ready: bool,
) -> String {
    let mut page = Page::default();
    page.family(
        "inver_build_info",
        Kind::Gauge,
        "Version of the program; always 1.",
    );
    page.sample(
        "inver_build_info",
        &[("version", &env!("CARGO_PKG_VERSION"))],
        1,
    );
    let name = "inver_uptime_seconds";
    page.single(
        name,
        Kind::Gauge,
        "Time since the start.",
        uptime.as_secs_f64(),
    );
    let help = "Whether new sessions are accepted: 1, or 0 while draining.";
    page.single("inver_ready", Kind::Gauge, help, u8::from(ready));
    let help = "Rooms in which somebody publishes.";
    page.single("inver_rooms_live", Kind::Gauge, help, rooms.live);
    page.single(
        "inver_viewers",
        Kind::Gauge,
        "Viewers of all rooms.",
        rooms.viewers,
    );
    let help = "Connected sessions that publish.";
    page.single("inver_publishers", Kind::Gauge, help, rooms.publishing);
    let help = "Sessions that are not connected yet.";
    page.single(
        "inver_sessions_connecting",
        Kind::Gauge,
        help,
        rooms.connecting,
    );
    gauges(&mut page, shards);
    counters(&mut page, shards);
    delay(&mut page, shards);
    http(&mut page, requests);
    process(&mut page);
    page.finish()
}

fn gauges(page: &mut Page, shards: &[Arc<Snapshot>]) {
    page.family("inver_sessions", Kind::Gauge, "WebRTC sessions of a shard.");
    for shard in shards {
        page.sample(
            "inver_sessions",
            &[("shard", &shard.shard)],
            shard.sessions.len(),
        );
    }
    page.family(
        "inver_sources",
        Kind::Gauge,
        "Publications whose publisher is on a shard.",
    );
    for shard in shards {
        page.sample(
            "inver_sources",
            &[("shard", &shard.shard)],
            shard.sources.len(),
        );
    }
    page.family(
        "inver_tracks",
        Kind::Gauge,
        "Tracks received by and sent from a shard.",
    );
    for shard in shards {
        let directions = [("in", shard.tracks_in), ("out", shard.tracks_out)];
        for (direction, tracks) in directions {
            let labels: [(&str, &dyn std::fmt::Display); 2] =
                [("shard", &shard.shard), ("direction", &direction)];
            page.sample("inver_tracks", &labels, tracks);
        }
    }
}

/// A counter per shard: its name, its explanation, and where it is read.
type Counter = (&'static str, &'static str, fn(&Totals) -> u64);

const COUNTERS: &[Counter] = &[
    (
        "inver_packets_received_total",
        "RTP packets received from publishers.",
        |t| t.packets_received,
    ),
    (
        "inver_packets_sent_total",
        "RTP packets sent to viewers, retransmissions included.",
        |t| t.packets_sent,
    ),
    (
        "inver_packets_lost_total",
        "Packets of publishers that never arrived.",
        |t| t.packets_lost,
    ),
    (
        "inver_received_bytes_total",
        "Bytes of UDP and TCP payload received.",
        |t| t.bytes_received,
    ),
    (
        "inver_sent_bytes_total",
        "Bytes of UDP and TCP payload sent.",
        |t| t.bytes_sent,
    ),
    (
        "inver_nacks_received_total",
        "Packets that viewers asked for again.",
        |t| t.nacks_received,
    ),
    (
        "inver_nacks_sent_total",
        "Packets that publishers were asked for again.",
        |t| t.nacks_sent,
    ),
    (
        "inver_keyframe_requests_received_total",
        "PLI and FIR from viewers.",
        |t| t.keyframe_requests_received,
    ),
    (
        "inver_keyframe_requests_sent_total",
        "PLI and FIR to publishers, coalesced.",
        |t| t.keyframe_requests_sent,
    ),
    (
        "inver_datagrams_unknown_total",
        "Datagrams of no known session, dropped.",
        |t| t.datagrams_unknown,
    ),
    (
        "inver_datagrams_invalid_total",
        "Datagrams of a session that it could not use.",
        |t| t.datagrams_invalid,
    ),
    (
        "inver_send_errors_total",
        "Datagrams that the kernel did not take.",
        |t| t.send_errors,
    ),
    (
        "inver_sends_total",
        "System calls that sent, each of one or several datagrams.",
        |t| t.sends,
    ),
];

fn counters(page: &mut Page, shards: &[Arc<Snapshot>]) {
    for (name, help, read) in COUNTERS {
        page.family(name, Kind::Counter, help);
        for shard in shards {
            page.sample(name, &[("shard", &shard.shard)], read(&shard.totals));
        }
    }
    let name = "inver_shard_cpu_seconds_total";
    page.family(name, Kind::Counter, "CPU time of a shard's thread.");
    for shard in shards {
        page.sample(
            name,
            &[("shard", &shard.shard)],
            shard.totals.cpu.as_secs_f64(),
        );
    }
}

fn delay(page: &mut Page, shards: &[Arc<Snapshot>]) {
    let name = "inver_forwarding_delay_seconds";
    let help = "Time from a packet's arrival to the hand-over of its copies to the kernel.";
    page.family(name, Kind::Histogram, help);
    for shard in shards {
        let histogram = &shard.totals.forwarding_delay;
        let bounds = DELAY_BUCKETS
            .iter()
            .map(|bound| bound.as_secs_f64().to_string());
        let mut below = 0;
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(histogram.counts) {
            below += count;
            let labels: [(&str, &dyn std::fmt::Display); 2] =
                [("shard", &shard.shard), ("le", &bound)];
            page.sample(&format!("{name}_bucket"), &labels, below);
        }
        let labels: [(&str, &dyn std::fmt::Display); 1] = [("shard", &shard.shard)];
        page.sample(&format!("{name}_sum"), &labels, histogram.sum.as_secs_f64());
        page.sample(&format!("{name}_count"), &labels, below);
    }
}

fn http(page: &mut Page, requests: &HttpRequests) {
    let requests = requests.snapshot();
    let name = "inver_http_requests_total";
    page.family(name, Kind::Counter, "HTTP requests answered.");
    for ((class, status), answered) in &requests {
        page.sample(
            name,
            &[("route", class), ("status", status)],
            answered.count,
        );
    }
    let name = "inver_http_response_seconds_total";
    page.family(name, Kind::Counter, "Time until responses began, summed.");
    for ((class, status), answered) in &requests {
        let labels: [(&str, &dyn std::fmt::Display); 2] = [("route", class), ("status", status)];
        page.sample(name, &labels, answered.time.as_secs_f64());
    }
}

fn process(page: &mut Page) {
    let process = Process::read();
    if let Some(bytes) = process.resident_bytes {
        let name = "inver_process_resident_memory_bytes";
        page.single(name, Kind::Gauge, "Memory in RAM.", bytes);
    }
    if let Some(seconds) = process.cpu_seconds {
        let name = "inver_process_cpu_seconds_total";
        page.single(name, Kind::Counter, "CPU time of all threads.", seconds);
    }
    if let Some(fds) = process.open_fds {
        page.single(
            "inver_process_open_fds",
            Kind::Gauge,
            "Open file descriptors.",
            fds,
        );
    }
    if let Some(fds) = process.max_fds {
        let help = "Most file descriptors that may be open.";
        page.single("inver_process_max_fds", Kind::Gauge, help, fds);
    }
    if let Some(threads) = process.threads {
        page.single("inver_process_threads", Kind::Gauge, "Threads.", threads);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::http_requests::RouteClass;
    use super::*;

    fn page() -> String {
        let mut first = Snapshot {
            tracks_in: 2,
            tracks_out: 40,
            ..Snapshot::default()
        };
        first.totals.packets_sent = 7;
        first
            .totals
            .forwarding_delay
            .record(Duration::from_micros(60), 3);
        first
            .totals
            .forwarding_delay
            .record(Duration::from_secs(1), 1);
        let second = Snapshot {
            shard: 1,
            ..Snapshot::default()
        };
        let requests = HttpRequests::default();
        requests.record(RouteClass::Whip, 201, Duration::from_millis(20));
        requests.record(RouteClass::Whip, 201, Duration::from_millis(30));
        let rooms = Rooms {
            live: 1,
            viewers: 20,
            connecting: 4,
            publishing: 1,
        };
        let shards = [Arc::new(first), Arc::new(second)];
        render(&shards, rooms, &requests, Duration::from_secs(5), true)
    }

    #[test]
    fn figures_are_where_they_belong() {
        let page = page();
        for line in [
            "inver_ready 1",
            "inver_rooms_live 1",
            "inver_viewers 20",
            "inver_tracks{shard=\"0\",direction=\"out\"} 40",
            "inver_packets_sent_total{shard=\"0\"} 7",
            "inver_packets_sent_total{shard=\"1\"} 0",
            "inver_forwarding_delay_seconds_bucket{shard=\"0\",le=\"0.00005\"} 0",
            "inver_forwarding_delay_seconds_bucket{shard=\"0\",le=\"0.0001\"} 3",
            "inver_forwarding_delay_seconds_bucket{shard=\"0\",le=\"+Inf\"} 4",
            "inver_forwarding_delay_seconds_count{shard=\"0\"} 4",
            "inver_http_requests_total{route=\"whip\",status=\"201\"} 2",
            "inver_http_response_seconds_total{route=\"whip\",status=\"201\"} 0.05",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line} is not in\n{page}"
            );
        }
    }

    #[test]
    fn the_format_is_what_prometheus_reads() {
        let page = page();
        let mut families = BTreeSet::new();
        let mut family = String::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a kind");
                assert!(families.insert(name.to_owned()), "{name} comes twice");
                assert_eq!(
                    kind == "counter",
                    name.ends_with("_total"),
                    "{name} is a {kind}"
                );
                family = name.to_owned();
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("split yields one");
                assert!(name.starts_with("inver_"), "{name}");
                assert!(name.starts_with(&family), "{name} is outside {family}");
                let value = line.rsplit(' ').next().expect("split yields one");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(families.len() > 25);
    }
}
