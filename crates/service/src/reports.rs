//! Reports of one stream, made: the reporter's commands carried out on a clock.

use tokio::time::Instant;

use crate::reporter::{Command, EndCause, Outcome, ReportPolicy, Reporter};
use crate::service::Service;
use crate::stream::{Metadata, Stream, Verdict};

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
    use std::sync::Mutex;
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
    struct Scripted<F>(Mutex<(u32, F)>);

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

        fn start_stream(&self, _: Start) -> Answering<'_, Result<Stream, Denied>> {
            unreachable!("only reports are made")
        }

        fn end_stream<'a>(&'a self, _: &'a Stream) -> Answering<'a, Result<(), Fault>> {
            unreachable!("only reports are made")
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
        let service = Scripted(Mutex::new((0, script)));
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
}
