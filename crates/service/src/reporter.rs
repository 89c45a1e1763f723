//! When a stream is reported, and what failed reports lead to.
//!
//! Pure: time is an argument. A failed report counts one up, a good one counts one down; at five
//! the policy speaks. An explicit refusal ends the stream at once.

use std::time::{Duration, Instant};

/// How often a stream is reported.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Failures at which the policy speaks. With a report every five seconds a service may be away
/// for 20 s unnoticed.
const LIMIT: u8 = 5;

/// Shortest time between two reports; less would be a load and no news.
const SHORTEST: Duration = Duration::from_secs(1);

/// What happens when reports have failed too often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtLimit {
    /// The show goes on; the log tells once per outage.
    #[default]
    Keep,
    /// The stream is ended.
    End,
}

/// How reports are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportPolicy {
    /// Time between two reports; at least one second, whatever is set.
    pub interval: Duration,
    /// What happens at the limit.
    pub at_limit: AtLimit,
}

impl Default for ReportPolicy {
    fn default() -> Self {
        Self {
            interval: REPORT_INTERVAL,
            at_limit: AtLimit::default(),
        }
    }
}

/// What a report came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service took it.
    Good,
    /// The service did not answer, or not in a form that is understood.
    Failed,
    /// The service wants the stream to end.
    Refused {
        /// Its words, fit to show.
        reason: String,
    },
}

/// Why a stream is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndCause {
    /// The service said so.
    Refused {
        /// Its words, fit to show.
        reason: String,
    },
    /// Too many reports failed.
    ReportsFailed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make a report and say what it came to.
    Report,
    /// Tell the operator that the service is away while the stream goes on.
    Warn,
    /// Tell the operator that the service is back.
    Recovered,
    /// End the stream. Nothing comes after this.
    End(EndCause),
}

/// Reports of one stream. Call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says so, and [`handle_outcome`](Self::handle_outcome)
/// for each [`Command::Report`].
#[derive(Debug)]
pub struct Reporter {
    policy: ReportPolicy,
    due: Instant,
    /// A report is on its way; no second one starts beside it.
    reporting: bool,
    failures: u8,
    warned: bool,
    ended: bool,
}

impl Reporter {
    /// Reports of a stream that begins now; the first one is due after one interval.
    pub fn new(mut policy: ReportPolicy, now: Instant) -> Self {
        policy.interval = policy.interval.max(SHORTEST);
        Self {
            policy,
            due: now + policy.interval,
            reporting: false,
            failures: 0,
            warned: false,
            ended: false,
        }
    }

    /// When something is due; `None` while a report is on its way and after the end.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.reporting && !self.ended).then_some(self.due)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Command> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return None;
        }
        self.reporting = true;
        // From the time that was due, so that reports do not drift; what was missed is not made
        // up for.
        self.due += self.policy.interval;
        if self.due <= now {
            self.due = now + self.policy.interval;
        }
        Some(Command::Report)
    }

    /// A report came to this.
    pub fn handle_outcome(&mut self, outcome: Outcome) -> Option<Command> {
        if !self.reporting || self.ended {
            return None;
        }
        self.reporting = false;
        match outcome {
            Outcome::Good => {
                self.failures = self.failures.saturating_sub(1);
                (self.failures == 0 && std::mem::take(&mut self.warned))
                    .then_some(Command::Recovered)
            }
            Outcome::Failed => self.failed(),
            Outcome::Refused { reason } => {
                self.ended = true;
                Some(Command::End(EndCause::Refused { reason }))
            }
        }
    }

    fn failed(&mut self) -> Option<Command> {
        // Not above the limit, or an outage of an hour would take an hour to be forgotten.
        self.failures = LIMIT.min(self.failures + 1);
        if self.failures < LIMIT {
            return None;
        }
        match self.policy.at_limit {
            AtLimit::Keep if self.warned => None,
            AtLimit::Keep => {
                self.warned = true;
                Some(Command::Warn)
            }
            AtLimit::End => {
                self.ended = true;
                Some(Command::End(EndCause::ReportsFailed))
            }
        }
    }

    /// Failures that count now.
    pub fn failures(&self) -> u8 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reporter(at_limit: AtLimit) -> (Reporter, Instant) {
        // Virtual time begins somewhere; nothing reads the clock after that.
        let now = Instant::now();
        let policy = ReportPolicy {
            at_limit,
            ..ReportPolicy::default()
        };
        (Reporter::new(policy, now), now)
    }

    /// Runs the next report with this outcome.
    fn report(reporter: &mut Reporter, outcome: Outcome) -> Option<Command> {
        let due = reporter.poll_timeout().expect("a report is due some time");
        assert_eq!(reporter.handle_timeout(due), Some(Command::Report));
        reporter.handle_outcome(outcome)
    }

    #[test]
    fn a_report_is_due_every_five_seconds() {
        let (mut reporter, start) = reporter(AtLimit::Keep);
        let second = Duration::from_secs(1);
        let mut at = Vec::new();
        for at_second in 0..=20 {
            let now = start + second * at_second;
            if reporter.handle_timeout(now) == Some(Command::Report) {
                at.push((now - start).as_secs());
                assert_eq!(reporter.handle_outcome(Outcome::Good), None);
            }
        }
        assert_eq!(at, [5, 10, 15, 20]);
    }

    #[test]
    fn no_report_starts_while_one_is_on_its_way() {
        let (mut reporter, start) = reporter(AtLimit::Keep);
        let late = start + Duration::from_secs(17);
        assert_eq!(
            reporter.handle_timeout(start + REPORT_INTERVAL),
            Some(Command::Report)
        );
        assert_eq!(reporter.poll_timeout(), None);
        assert_eq!(reporter.handle_timeout(late), None);
        reporter.handle_outcome(Outcome::Good);
        // Due since 10 s: one report, and the next a whole interval later.
        assert_eq!(reporter.handle_timeout(late), Some(Command::Report));
        reporter.handle_outcome(Outcome::Good);
        assert_eq!(reporter.poll_timeout(), Some(late + REPORT_INTERVAL));
    }

    #[test]
    fn failures_count_up_and_good_reports_down_to_zero() {
        let (mut reporter, _) = reporter(AtLimit::End);
        report(&mut reporter, Outcome::Good);
        assert_eq!(reporter.failures(), 0);
        for _ in 0..4 {
            assert_eq!(report(&mut reporter, Outcome::Failed), None);
        }
        assert_eq!(reporter.failures(), 4);
        report(&mut reporter, Outcome::Good);
        assert_eq!(reporter.failures(), 3);
        assert_eq!(report(&mut reporter, Outcome::Failed), None);
        let ended = Command::End(EndCause::ReportsFailed);
        assert_eq!(report(&mut reporter, Outcome::Failed), Some(ended));
        assert_eq!(reporter.poll_timeout(), None);
    }

    #[test]
    fn a_show_that_is_kept_warns_once_per_outage() {
        let (mut reporter, _) = reporter(AtLimit::Keep);
        let mut outage = || -> Vec<Command> {
            let failures = (0..20).filter_map(|_| report(&mut reporter, Outcome::Failed));
            let mut told: Vec<_> = failures.collect();
            let good = (0..20).filter_map(|_| report(&mut reporter, Outcome::Good));
            told.extend(good);
            told
        };
        assert_eq!(outage(), [Command::Warn, Command::Recovered]);
        assert_eq!(outage(), [Command::Warn, Command::Recovered]);
    }

    #[test]
    fn a_refusal_ends_a_stream_at_once_whatever_the_policy() {
        for at_limit in [AtLimit::Keep, AtLimit::End] {
            let (mut reporter, start) = reporter(at_limit);
            let reason = "not this game".to_owned();
            let refused = Outcome::Refused {
                reason: reason.clone(),
            };
            let ended = Command::End(EndCause::Refused { reason });
            assert_eq!(report(&mut reporter, refused), Some(ended));
            let later = start + Duration::from_secs(3600);
            assert_eq!(reporter.handle_timeout(later), None);
            assert_eq!(reporter.handle_outcome(Outcome::Failed), None);
        }
    }
}
