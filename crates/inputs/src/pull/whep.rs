//! Pulls from WHEP servers, as relays have it.

use std::sync::Arc;
use std::time::Duration;

use inver_node::{Pulled, RestreamNews, WhepTarget};
use inver_outward::{Guard, literal};
use tokio::time::{Instant, sleep};

use super::Pull;
use super::remote::SILENCE;
use crate::relay::{Granted, Origin, origin_of};

/// How often a session is looked at.
const LOOK: Duration = Duration::from_millis(100);

impl Pull {
    /// Watches a room of another server in the room; returns why that ended.
    pub(super) async fn whep(&self, target: &WhepTarget, since: &mut Option<Instant>) -> String {
        let ended = self.watch(target, since).await;
        ended.unwrap_or_else(|reason| reason)
    }

    async fn watch(
        &self,
        target: &WhepTarget,
        since: &mut Option<Instant>,
    ) -> Result<String, String> {
        let (room, guard) = (&self.restream.room, self.restream.guard);
        let origin = Origin::new(target.url.clone(), target.token.clone(), Some(guard));
        let origin = Arc::new(origin.map_err(|refusal| refusal.detail)?);
        let name = origin_of(&target.url);
        let begun = self
            .handle
            .begin_pull(room, &self.restream.participant, &name);
        let pull = begun.await.map_err(|refusal| refusal.detail)?;
        let path = self.handle.pull_path(room);
        let granted = origin.ask(pull.offer(), &path).await;
        let granted = Held {
            origin,
            granted: Some(granted.map_err(|refusal| refusal.detail)?),
        };
        let answer = granted.granted.as_ref().map(|granted| &granted.answer);
        let answer = reachable(answer.map_or("", String::as_str), guard)?;
        let pulled = pull.accept(answer).await;
        let pulled = pulled.map_err(|refusal| format!("the answer cannot be used: {refusal}"))?;
        Ok(self.hold(pulled, since).await)
    }

    /// Waits until the session is over or its media is.
    async fn hold(&self, mut pulled: Pulled, since: &mut Option<Instant>) -> String {
        let (room, id) = (&self.restream.room, &self.restream.id);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                cause = pulled.closed() => return format!("the session ended ({cause:?})"),
                () = sleep(LOOK) => {}
            }
            if self.handle.is_live(room) {
                heard = Instant::now();
                if since.is_none() {
                    let url = self.restream.address.shown();
                    tracing::info!(%room, %id, url, "pulling");
                    *since = Some(heard);
                    self.tell(RestreamNews::Live);
                }
            }
            if heard.elapsed() >= SILENCE {
                return format!("nothing has come for {} s", SILENCE.as_secs());
            }
        }
    }
}

/// A session that the other server holds. Dropping it ends it.
struct Held {
    origin: Arc<Origin>,
    granted: Option<Granted>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(granted) = self.granted.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let origin = Arc::clone(&self.origin);
            runtime.spawn(async move { origin.end(&granted).await });
        }
    }
}

/// An answer without the addresses that the guard lets nothing be sent to: whoever names a server
/// could otherwise have datagrams sent to what stands behind this one.
///
/// # Errors
/// Others it has none.
fn reachable(answer: &str, guard: Guard) -> Result<String, String> {
    let mut kept = String::with_capacity(answer.len());
    let (mut inside, mut outside) = (0, 0);
    for line in answer.split_inclusive('\n') {
        let words = line.trim_end_matches(['\r', '\n']);
        // What parts words and lines differently for another reader could hide an address.
        if words.contains('\r') {
            continue;
        }
        if words.starts_with("a=candidate:") {
            let address = words.split(' ').nth(4).unwrap_or_default();
            let odd = words.contains(|c: char| c != ' ' && (c.is_whitespace() || c.is_control()));
            if odd || literal(address).is_none() || guard.check(address).is_err() {
                inside += 1;
                continue;
            }
            outside += 1;
        }
        kept.push_str(line);
    }
    if inside > 0 && outside == 0 {
        return Err(
            "the server's media has only addresses inside the network, which \
             restream.allow_private has to allow"
                .to_owned(),
        );
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_to_addresses_inside_because_an_answer_names_them() {
        let inside = "a=candidate:1 1 udp 1 10.0.0.1 7000 typ host\r\n";
        let name = "a=candidate:3 1 udp 1 name.local 7000 typ host\r\n";
        let outside = "a=candidate:2 1 udp 1 9.9.9.9 7000 typ host\r\n";
        let answer = format!("v=0\r\n{inside}{outside}{name}a=x\r\n");
        let kept = reachable(&answer, Guard::PUBLIC_ONLY).expect("one is left");
        assert_eq!(kept, format!("v=0\r\n{outside}a=x\r\n"));
        let kept = reachable(&answer, Guard::new(true)).expect("two are left");
        assert_eq!(kept, format!("v=0\r\n{inside}{outside}a=x\r\n"));
        let error = reachable(&format!("v=0\r\n{inside}"), Guard::PUBLIC_ONLY);
        assert!(error.expect_err("none is left").contains("allow_private"));
        // To others a tab parts no words: they would read the second address.
        let hidden = "a=candidate:X\tY\tudp\tZ\t9.9.9.9 1 udp 1 10.0.0.1 7000 typ host\r\n";
        let behind = "a=x\ra=candidate:1 1 udp 1 10.0.0.1 7000 typ host\r\n";
        let answer = format!("v=0\r\n{hidden}{outside}{behind}");
        let kept = reachable(&answer, Guard::PUBLIC_ONLY).expect("one is left");
        assert_eq!(kept, format!("v=0\r\n{outside}"));
        // Such as are found by what they send need no candidates.
        assert!(reachable("v=0\r\n", Guard::PUBLIC_ONLY).is_ok());
    }
}
