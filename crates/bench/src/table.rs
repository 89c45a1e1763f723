//! The result as text.

use std::fmt::{self, Write as _};

use crate::report::{Cost, Percentiles, Report};

/// Threads of a process that are listed; the rest used less.
const THREADS: usize = 6;

/// The report as a table for people.
pub(crate) fn render(report: &Report, own_threads: bool) -> String {
    let mut out = String::with_capacity(2048);
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, report, own_threads);
    out
}

fn write_all(out: &mut String, report: &Report, own_threads: bool) -> fmt::Result {
    if report.interrupted {
        writeln!(out, "ended early")?;
    }
    if let Some(publishing) = &report.publishing {
        row(
            out,
            "published",
            format_args!(
                "{} x {} {} at {} fps: {} frames, {} keyframes, {} packets, {} keyframe requests",
                publishing.publishers,
                publishing.codec,
                bits(publishing.bitrate as f64),
                publishing.frames_per_second,
                publishing.frames,
                publishing.keyframes,
                publishing.packets,
                publishing.keyframe_requests
            ),
        )?;
        if publishing.frames_skipped > 0 {
            row(
                out,
                "",
                format_args!(
                    "{} frames skipped: the generator had no time",
                    publishing.frames_skipped
                ),
            )?;
        }
    }
    let joining = &report.joining;
    row(
        out,
        "viewers",
        format_args!(
            "{} of {} got media, {} of them a keyframe",
            joining.playing, joining.asked, joining.with_picture
        ),
    )?;
    for (reason, count) in &joining.failures {
        row(out, "", format_args!("{count} failed: {reason}"))?;
    }
    if joining.retries > 0 {
        row(
            out,
            "",
            format_args!("{} requests repeated", joining.retries),
        )?;
    }
    head(out)?;
    times(out, "join: HTTP answer", joining.answer_ms)?;
    times(out, "join: first packet", joining.first_packet_ms)?;
    times(out, "join: first keyframe", joining.first_keyframe_ms)?;
    times(out, "forwarding delay", report.forwarding_delay_ms)?;
    times(out, "of first packets", report.first_forwarding_delay_ms)?;
    times(out, "generator read lag", report.generator.read_lag_ms)?;
    writeln!(out)?;
    let throughput = &report.throughput;
    row(
        out,
        "received",
        format_args!(
            "{} and {:.0} packets/s over {:.1} s",
            bits(throughput.bits_per_second),
            throughput.packets_per_second,
            throughput.seconds
        ),
    )?;
    quality(out, report)?;
    if let Some(server) = &report.server {
        cost(out, "server", server, true)?;
    }
    cost(out, "generator", &report.generator.cost, own_threads)?;
    if !report.generator.receive_offload {
        row(out, "", format_args!("receive offload (UDP GRO) is off"))?;
    }
    if report.generator.buffer_errors > 0 {
        row(
            out,
            "",
            format_args!(
                "{} datagrams of this machine found no room in a socket's buffer: \
                 raise net.core.rmem_max, or use fewer viewers",
                report.generator.buffer_errors
            ),
        )?;
    }
    if report.generator.send_errors > 0 {
        row(
            out,
            "",
            format_args!(
                "{} datagrams could not be sent",
                report.generator.send_errors
            ),
        )?;
    }
    Ok(())
}

fn quality(out: &mut String, report: &Report) -> fmt::Result {
    let quality = &report.quality;
    let share = |lost: u64| {
        if quality.packets_expected == 0 {
            0.0
        } else {
            lost as f64 / quality.packets_expected as f64 * 100.0
        }
    };
    row(
        out,
        "lost",
        format_args!(
            "{} of {} on the wire ({:.4} %), {} in the end ({:.4} %)",
            quality.packets_lost_raw,
            quality.packets_expected,
            share(quality.packets_lost_raw),
            quality.packets_lost,
            share(quality.packets_lost)
        ),
    )?;
    row(
        out,
        "repaired",
        format_args!(
            "{} packets asked for by NACK, {} retransmissions, {} duplicates, {} probes",
            quality.nacks, quality.retransmissions, quality.duplicates, quality.probes
        ),
    )?;
    row(
        out,
        "picture",
        format_args!(
            "{} frames whole, {} broken, {} stalls of {} viewers ({:.2} s), {} keyframes asked for",
            quality.frames,
            quality.frames_broken,
            quality.stalls,
            quality.stalled_viewers,
            quality.stalled_seconds,
            quality.keyframe_requests
        ),
    )
}

pub(crate) fn cost(out: &mut String, name: &str, cost: &Cost, threads: bool) -> fmt::Result {
    let per_packet = cost.us_per_packet.map_or_else(String::new, |us| {
        format!(", {us:.2} us per packet received")
    });
    row(
        out,
        name,
        format_args!(
            "CPU {:.2} s ({:.1} % of a core){per_packet}",
            cost.cpu_seconds,
            cost.cores * 100.0
        ),
    )?;
    let per_viewer = cost
        .memory_kib_per_viewer
        .map_or_else(String::new, |kib| format!(", {kib:.0} KiB per viewer"));
    row(
        out,
        "",
        format_args!(
            "memory {:.1} MiB before viewers, {:.1} MiB with them{per_viewer}",
            cost.memory_kib_before as f64 / 1024.0,
            cost.memory_kib as f64 / 1024.0
        ),
    )?;
    if threads {
        let used = cost.threads.iter().filter(|t| t.cpu_seconds >= 0.005);
        for thread in used.take(THREADS) {
            row(
                out,
                "",
                format_args!("  {:16}{:8.2} s", thread.name, thread.cpu_seconds),
            )?;
        }
    }
    Ok(())
}

/// The head of what [`times`] writes.
pub(crate) fn head(out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\n{:22}{:>10}{:>10}{:>10}{:>10}",
        "milliseconds", "p50", "p95", "p99", "max"
    )
}

/// A line with its name in front.
pub(crate) fn row(out: &mut String, name: &str, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(out, "{name:12}{text}")
}

/// A line of percentiles, or of what is unknown.
pub(crate) fn times(out: &mut String, name: &str, times: Option<Percentiles>) -> fmt::Result {
    match times {
        Some(t) => writeln!(
            out,
            "{name:22}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
            t.p50, t.p95, t.p99, t.max
        ),
        None => writeln!(out, "{name:22}{:>10}", "unknown"),
    }
}

pub(crate) fn bits(bits_per_second: f64) -> String {
    if bits_per_second >= 1e9 {
        format!("{:.2} Gbit/s", bits_per_second / 1e9)
    } else if bits_per_second >= 1e6 {
        format!("{:.2} Mbit/s", bits_per_second / 1e6)
    } else {
        format!("{:.0} kbit/s", bits_per_second / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{args, findings};

    #[test]
    fn the_table_says_what_matters() {
        let report = Report::new(&args("--server http://h --viewers 4"), findings());
        let text = render(&report, false);
        for needle in [
            "2 of 4 got media, 2 of them a keyframe",
            "1 failed: no media",
            "1 failed: 503 Service Unavailable",
            "30 of 20000 on the wire (0.1500 %), 1 in the end (0.0050 %)",
            "2 stalls of 1 viewers",
            "8.00 Mbit/s and 1000 packets/s over 20.0 s",
            "2.00 us per packet",
            "500 KiB per viewer",
            "shard-0",
            "1 x VP8 2.50 Mbit/s at 30 fps",
        ] {
            assert!(text.contains(needle), "{needle:?} is missing in\n{text}");
        }
        assert!(text.lines().all(|line| line.len() < 120), "{text}");
    }

    #[test]
    fn what_is_unknown_is_said_to_be() {
        let mut findings = findings();
        findings.results.clear();
        findings.interrupted = true;
        let text = render(&Report::new(&args("--server http://h"), findings), true);
        assert!(text.starts_with("ended early\n"));
        assert!(text.contains("forwarding delay         unknown"), "{text}");
    }
}
