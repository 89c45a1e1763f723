//! The life of one stream with a service: started, reported by the reporter's commands on a
//! clock, ended.

use std::time::Duration;

use tokio::time::Instant;

use crate::asked::{Denied, Start};
use crate::reporter::{Command, EndCause, Outcome, ReportPolicy, Reporter};
use crate::service::Service;
use crate::stream::{Metadata, Stream, Verdict};

/// Pauses before the end of a stream is told again. A platform that misses it shows a stream that
/// is not there; one that is away for longer finds out by the reports that stay away.
const END_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// What whoever runs a stream has to know at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// The service has the stream.
    Started(&'a Stream),
    /// The service did not let it start: close the publisher's session.
    Denied(&'a Denied),
    /// The service, or the policy, ended it: close the publisher's session.
    Ended(&'a EndCause),
}

/// Starts a stream, reports it until it is `over` or the service ends it, and tells the service
/// its end: once for each stream that was started, whichever way it ended. Run it as a task of
/// its own and let it come to its end; `news` and `gather` must not wait.
pub async fn run_stream(
    service: &dyn Service,
    start: Start,
    policy: ReportPolicy,
    gather: impl FnMut() -> Metadata + Send,
    mut news: impl FnMut(News<'_>) + Send,
    over: impl Future<Output = ()> + Send,
) {
    // Awaited even where the publisher is gone meanwhile: only then there is an id to end.
    let stream = match service.start_stream(start).await {
        Ok(stream) => stream,
        Err(denied) => return news(News::Denied(&denied)),
    };
    news(News::Started(&stream));
    tokio::select! {
        biased;
        () = over => {}
        cause = report_stream(service, &stream, policy, gather) => news(News::Ended(&cause)),
    }
    tell_end(service, &stream).await;
}

async fn tell_end(service: &dyn Service, stream: &Stream) {
    let mut pauses = END_AGAIN.iter();
    while let Err(fault) = service.end_stream(stream).await {
        let Some(pause) = pauses.next() else {
            tracing::warn!(
                service = service.name(), room = %stream.room, stream = %stream.id, %fault,
                "the service could not be told that this stream is over"
            );
            return;
        };
        tokio::time::sleep(*pause).await;
    }
}

/// Reports a stream until the service, or the policy, ends it; then says why. Drop the future
/// when the stream is over. `gather` is called for each report and must not wait.
pub async fn report_stream(
    service: &dyn Service,
    stream: &Stream,
    policy: ReportPolicy,
    mut gather: impl FnMut() -> Metadata + Send,
) -> EndCause {
    if !service.wants_reports() {
        return std::future::pending().await;
    }
    let mut reporter = Reporter::new(policy, Instant::now().into_std());
    loop {
        let due = reporter
            .poll_timeout()
            .expect("every report below says what it came to, and the end returns");
        tokio::time::sleep_until(Instant::from_std(due)).await;
        let mut command = reporter.handle_timeout(Instant::now().into_std());
        while let Some(next) = command.take() {
            match next {
                Command::Report => {
                    let outcome = report(service, stream, &gather()).await;
                    command = reporter.handle_outcome(outcome);
                }
                Command::Warn => tracing::warn!(
                    service = service.name(), room = %stream.room, stream = %stream.id,
                    "reports of this stream have failed too often; it goes on, as configured"
                ),
                Command::Recovered => tracing::info!(
                    service = service.name(), room = %stream.room, stream = %stream.id,
                    "reports of this stream arrive again"
                ),
                Command::End(cause) => return cause,
            }
        }
    }
}

async fn report(service: &dyn Service, stream: &Stream, metadata: &Metadata) -> Outcome {
    match service.report(stream, metadata).await {
        Ok(Verdict::Continue) => Outcome::Good,
        Ok(Verdict::End { reason }) => Outcome::Refused { reason },
        Err(fault) => {
            tracing::debug!(
                service = service.name(), room = %stream.room, stream = %stream.id, %fault,
                "a report failed"
            );
            Outcome::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use bytes::Bytes;
    use inver_control::Secret;
    use inver_proto::RoomId;

    use super::*;
    use crate::asked::{Approved, Denied, HmacRequest, KeyLookup, Publish, Read, Start};
    use crate::fault::Fault;
    use crate::reporter::AtLimit;
    use crate::service::Answering;
    use crate::stream::{Event, StreamId};
    use crate::{BuiltIn, Service};

    /// Answers reports by a function of their number, from 1.
    struct Scripted<F>(Mutex<(u32, F)>, Life);

    /// What else happens, and what was told.
    #[derive(Clone, Default)]
    struct Life {
        denies: bool,
        end_fails: bool,
        told: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Life {
        fn tell(&self, what: &'static str) {
            let mut told = self.told.lock().expect("no test panics with the lock");
            told.push(what);
        }

        fn told(&self) -> Vec<&'static str> {
            let told = self.told.lock().expect("no test panics with the lock");
            told.clone()
        }
    }

    impl<F: FnMut(u32) -> Result<Verdict, Fault> + Send + 'static> Service for Scripted<F> {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn split_key(&self, text: &Secret) -> Option<(RoomId, Secret)> {
            BuiltIn.split_key(text)
        }

        fn authenticate(&self, _: Publish) -> Answering<'_, Result<Approved, Denied>> {
            unreachable!("only reports are made")
        }

        fn hmac_key(&self, _: HmacRequest) -> Answering<'_, Result<KeyLookup, Fault>> {
            unreachable!("only reports are made")
        }

        fn start_stream(&self, start: Start) -> Answering<'_, Result<Stream, Denied>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.1.tell("start");
                if self.1.denies {
                    return Err(Denied::down());
                }
                let id = StreamId::new("7").expect("an id");
                let room = start.room;
                Ok(Stream { id, room })
            })
        }

        fn end_stream<'a>(&'a self, _: &'a Stream) -> Answering<'a, Result<(), Fault>> {
            self.1.tell("end");
            let fault = self.1.end_fails.then_some(Fault::Status(500));
            Box::pin(std::future::ready(fault.map_or(Ok(()), Err)))
        }

        fn report<'a>(
            &'a self,
            _: &'a Stream,
            _: &'a Metadata,
        ) -> Answering<'a, Result<Verdict, Fault>> {
            let mut script = self.0.lock().expect("no test panics with the lock");
            script.0 += 1;
            let number = script.0;
            let answer = (script.1)(number);
            Box::pin(std::future::ready(answer))
        }

        fn thumbnail<'a>(&'a self, _: &'a Stream, _: Bytes) -> Answering<'a, Result<(), Fault>> {
            unreachable!("only reports are made")
        }

        fn authorize_read(&self, _: Read) -> Answering<'_, Result<Approved, Denied>> {
            unreachable!("only reports are made")
        }

        fn notify(&self, _: &Event) {}

        fn close(&self, _: Duration) -> Answering<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    /// How a stream ends and after how many seconds.
    async fn end(
        at_limit: AtLimit,
        script: impl FnMut(u32) -> Result<Verdict, Fault> + Send + 'static,
    ) -> (EndCause, u64) {
        let service = Scripted(Mutex::new((0, script)), Life::default());
        let stream = Stream {
            id: StreamId::new("7").expect("an id"),
            room: "1234".parse().expect("a room"),
        };
        let policy = ReportPolicy {
            at_limit,
            ..ReportPolicy::default()
        };
        let start = Instant::now();
        let cause = report_stream(&service, &stream, policy, Metadata::default).await;
        (cause, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_end_a_stream_where_the_policy_says_so() {
        let ended = end(AtLimit::End, |_| Err(Fault::Status(500))).await;
        assert_eq!(ended, (EndCause::ReportsFailed, 25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_show_outlives_a_day_of_failures_until_it_is_refused() {
        let day = 24 * 3600 / 5;
        let reason = "closed".to_owned();
        let refused = EndCause::Refused {
            reason: reason.clone(),
        };
        let ended = end(AtLimit::Keep, move |number| {
            if number < day {
                return Err(Fault::Status(500));
            }
            Ok(Verdict::End {
                reason: reason.clone(),
            })
        })
        .await;
        assert_eq!(ended, (refused, 24 * 3600));
    }

    #[tokio::test(start_paused = true)]
    async fn every_second_report_may_fail_for_ever() {
        let reason = String::new();
        let ended = end(AtLimit::End, move |number| match number {
            1000 => Ok(Verdict::End {
                reason: reason.clone(),
            }),
            odd if odd % 2 == 1 => Err(Fault::Status(503)),
            _ => Ok(Verdict::Continue),
        })
        .await;
        assert_eq!(ended.1, 5000);
    }

    /// Runs a stream whose publisher stays for this many seconds.
    async fn run(life: &Life, stays: u64, verdict: Verdict) -> u64 {
        let script = move |_| Ok(verdict.clone());
        let service = Scripted(Mutex::new((0, script)), life.clone());
        let start = Start {
            room: "1234".parse().expect("a room"),
            number: None,
            participant: inver_proto::ParticipantId::main(),
            session: inver_proto::SessionId(1),
            door: inver_proto::Door::Whip,
        };
        let begin = Instant::now();
        let over = tokio::time::sleep(Duration::from_secs(stays));
        let policy = ReportPolicy::default();
        let told = life.clone();
        let news = move |news: News<'_>| {
            told.tell(match news {
                News::Started(_) => "started",
                News::Denied(_) => "denied",
                News::Ended(_) => "ended",
            });
        };
        let task = tokio::spawn(async move {
            run_stream(&service, start, policy, Metadata::default, news, over).await;
        });
        task.await.expect("the task does not panic");
        begin.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_started_and_ended_once() {
        let life = Life::default();
        run(&life, 60, Verdict::Continue).await;
        assert_eq!(life.told(), ["start", "started", "end"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_publisher_who_leaves_during_the_start_is_ended_too() {
        let life = Life::default();
        assert_eq!(run(&life, 0, Verdict::Continue).await, 1);
        assert_eq!(life.told(), ["start", "started", "end"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_may_not_start_is_not_ended() {
        let life = Life {
            denies: true,
            ..Life::default()
        };
        assert_eq!(run(&life, 60, Verdict::Continue).await, 1);
        assert_eq!(life.told(), ["start", "denied"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_stream_is_ended_and_its_end_told_again_where_it_fails() {
        let life = Life {
            end_fails: true,
            ..Life::default()
        };
        let reason = "closed".to_owned();
        let verdict = Verdict::End { reason };
        // Started after 1 s, refused by the first report 5 s later, told thrice within 6 s.
        assert_eq!(run(&life, 60, verdict).await, 12);
        // The publisher does not stay until the service has heard of the end.
        let told = ["start", "started", "ended", "end", "end", "end"];
        assert_eq!(life.told(), told);
    }
}
