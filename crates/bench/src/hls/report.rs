//! What many players got, as figures and as text.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::player::Figures;
use crate::process::Usage;
use crate::report::{Cost, Percentiles, Used, cost, per};
use crate::table;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    /// Whether somebody ended the run early.
    pub(crate) interrupted: bool,
    pub(crate) asked: u64,
    pub(crate) playing: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) parts: u64,
    pub(crate) bytes: u64,
    pub(crate) parts_missed: u64,
    pub(crate) parts_late: u64,
    pub(crate) first_part_ms: Option<Percentiles>,
    /// From the capture of a part's last frame until a player had the whole part.
    pub(crate) part_delay_ms: Option<Percentiles>,
    pub(crate) server: Option<Cost>,
    pub(crate) generator: Cost,
}

/// What a run found out.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) interrupted: bool,
    pub(crate) asked: u64,
    pub(crate) seconds: f64,
    pub(crate) figures: &'a Figures,
    pub(crate) server: Option<(Usage, Usage, Usage)>,
    pub(crate) own: (Usage, Usage, Usage),
}

impl Report {
    pub(crate) fn new(findings: Findings<'_>) -> Self {
        let figures = findings.figures;
        let cost = |(before, begin, end): (Usage, Usage, Usage)| {
            let used = Used {
                before,
                during: end.since(&begin),
            };
            cost(&used, findings.seconds, 0, figures.playing)
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            interrupted: findings.interrupted,
            asked: findings.asked,
            playing: figures.playing,
            failures: figures.failures.clone(),
            seconds: findings.seconds,
            requests: figures.requests,
            parts: figures.parts,
            bytes: figures.bytes,
            parts_missed: figures.missed,
            parts_late: figures.late,
            first_part_ms: Percentiles::of(&figures.first_part),
            part_delay_ms: Percentiles::of(&figures.delay),
            server: findings.server.map(cost),
            generator: cost(findings.own),
        }
    }

    /// A table for people.
    pub(crate) fn render(&self, own_threads: bool) -> String {
        let mut out = String::with_capacity(1024);
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, own_threads);
        out
    }

    fn write(&self, out: &mut String, own_threads: bool) -> fmt::Result {
        if self.interrupted {
            writeln!(out, "ended early")?;
        }
        let row = table::row;
        row(
            out,
            "players",
            format_args!("{} of {} got media", self.playing, self.asked),
        )?;
        for (reason, count) in &self.failures {
            row(out, "", format_args!("{count} failed: {reason}"))?;
        }
        table::head(out)?;
        table::times(out, "join: first part", self.first_part_ms)?;
        table::times(out, "part in hands", self.part_delay_ms)?;
        writeln!(out)?;
        row(
            out,
            "received",
            format_args!(
                "{} in {:.0} requests/s, {:.0} parts/s over {:.1} s",
                table::bits(per(self.bytes as f64 * 8.0, self.seconds)),
                per(self.requests as f64, self.seconds),
                per(self.parts as f64, self.seconds),
                self.seconds
            ),
        )?;
        row(
            out,
            "parts",
            format_args!(
                "{} got, {} missed, {} late for a player three parts behind",
                self.parts, self.parts_missed, self.parts_late
            ),
        )?;
        if let Some(server) = &self.server {
            table::cost(out, "server", server, true)?;
        }
        table::cost(out, "generator", &self.generator, own_threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu_seconds: f64, memory_kib: u64) -> Usage {
        Usage {
            cpu_seconds,
            memory_kib,
            threads: Vec::new(),
        }
    }

    #[test]
    fn the_table_says_what_matters() {
        let mut figures = Figures {
            playing: 2,
            requests: 400,
            parts: 200,
            bytes: 20_000_000,
            missed: 1,
            late: 3,
            ..Figures::default()
        };
        figures.failures.insert("404 Not Found".to_owned(), 1);
        for micros in 1..=1000 {
            figures.delay.record(micros * 10).expect("in range");
        }
        let used = || (usage(0.0, 1000), usage(1.0, 2000), usage(2.0, 3000));
        let report = Report::new(Findings {
            interrupted: false,
            asked: 3,
            seconds: 20.0,
            figures: &figures,
            server: Some(used()),
            own: used(),
        });
        let text = report.render(false);
        for needle in [
            "2 of 3 got media",
            "1 failed: 404 Not Found",
            "8.00 Mbit/s in 20 requests/s, 10 parts/s over 20.0 s",
            "200 got, 1 missed, 3 late",
            "CPU 1.00 s (5.0 % of a core)",
            "1000 KiB per viewer",
        ] {
            assert!(text.contains(needle), "{needle:?} is missing in\n{text}");
        }
        let delay = report.part_delay_ms.expect("measured");
        assert!((delay.p99 - 9.9).abs() < 0.05, "{delay:?}");
        assert_eq!(report.first_part_ms, None);
    }
}
