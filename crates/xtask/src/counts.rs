//! What the test programs say about how many tests ran, read from their output.

use std::ops::AddAssign;

/// Totals of one step or of the whole run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    /// One check that has no tests inside.
    pub(crate) fn one(passed: bool) -> Self {
        Self {
            passed: usize::from(passed),
            failed: usize::from(!passed),
            skipped: 0,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Reads the lines of Rust's test harness and of Node's TAP reporter.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) counts: Counts,
    /// Names of the tests that failed.
    pub(crate) failures: Vec<String>,
}

impl Reader {
    /// Takes one line of output; lines that say nothing about results are ignored.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.rust_result(result);
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        } else if let Some(name) = line.trim_start().strip_prefix("not ok ") {
            let name = name.split_once(" - ").map_or(name, |(_, name)| name);
            self.failures.push(name.to_owned());
        } else if let Some(total) = line.strip_prefix("# ") {
            self.tap_total(total);
        }
    }

    /// `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    fn rust_result(&mut self, result: &str) {
        let figures = result.split_once(". ").map_or("", |(_, figures)| figures);
        for figure in figures.split(';') {
            let mut words = figure.split_whitespace();
            let Some(Ok(number)) = words.next().map(str::parse::<usize>) else {
                continue;
            };
            match words.next() {
                Some("passed") => self.counts.passed += number,
                Some("failed") => self.counts.failed += number,
                Some("ignored") => self.counts.skipped += number,
                _ => {}
            }
        }
    }

    /// `pass 12`, one line for each figure.
    fn tap_total(&mut self, total: &str) {
        let Some((what, number)) = total.split_once(' ') else {
            return;
        };
        let Ok(number) = number.trim().parse::<usize>() else {
            return;
        };
        match what {
            "pass" => self.counts.passed += number,
            "fail" | "cancelled" => self.counts.failed += number,
            "skipped" | "todo" => self.counts.skipped += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Reader};

    #[test]
    fn results_of_rust_tests_add_up_over_programs() {
        let mut reader = Reader::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.02s",
            "test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ] {
            reader.line(line);
        }
        assert_eq!(
            reader.counts,
            Counts {
                passed: 41,
                failed: 1,
                skipped: 1
            }
        );
        assert_eq!(reader.failures, ["a::c"]);
    }

    #[test]
    fn results_of_node_tests_are_read_from_tap() {
        let mut reader = Reader::default();
        for line in [
            "TAP version 13",
            "not ok 2 - parses a Link header",
            "# tests 5",
            "# pass 3",
            "# fail 1",
            "# skipped 1",
            "# duration_ms 61.5",
        ] {
            reader.line(line);
        }
        assert_eq!(
            reader.counts,
            Counts {
                passed: 3,
                failed: 1,
                skipped: 1
            }
        );
        assert_eq!(reader.failures, ["parses a Link header"]);
    }
}
