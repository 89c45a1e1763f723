//! Publishing, watching and steering sessions.

use std::sync::Arc;
use std::time::Duration;

use inver_control::{ClientInfo, IcePatch, Refusal, RefusalKind, SessionToken, Ticket};
use inver_proto::{ParticipantId, RoomId, SessionId};
use inver_shard::{Answer, CloseReason, DataForwarding, Error, IceFragment, LayerSelection};

use crate::api::{Client, Patched, Publish, Started, Subscribe};
use crate::ask::{Publisher, Viewer};
use crate::handle::{Handle, Inner};
use crate::watch::{SessionWatch, first_events};

impl Handle {
    /// Lets a publisher in.
    pub async fn publish(&self, request: Publish) -> Result<Started, Refusal> {
        check_sdp(&request.offer)?;
        let inner = &self.0;
        let wish = inner.ask_to_publish(Publisher {
            target: request.target,
            participant: request.participant,
            credentials: request.credentials,
            client: &request.client,
            offer: Some(&request.offer),
            door: request.door,
        });
        let wish = wish.await?;
        let ticket = inner.mutate(|control, now| control.begin_publish(wish, now))?;
        let reserved = Reserved::new(inner, ticket.session);
        let asked = inver_shard::Publish {
            session: ticket.session,
            source: ticket.source,
            offer: request.offer,
            client: request.client.hint,
            data: DataForwarding::ToViewers,
        };
        let answer = inner.media.publish(asked).await.map_err(refusal)?;
        reserved.accept(ticket, answer, false)
    }

    /// Lets a viewer in.
    pub async fn subscribe(&self, request: Subscribe) -> Result<Started, Refusal> {
        if let Some(offer) = &request.offer {
            check_sdp(offer)?;
        }
        let inner = &self.0;
        let wish = inner.ask_to_watch(Viewer {
            room: request.room,
            participant: request.participant,
            credentials: request.credentials,
            client: &request.client,
            offer: request.offer.as_deref(),
            wait: request.wait,
            door: request.door,
        });
        let wish = wish.await?;
        inner.check_path(&request.relay_path)?;
        self.bring(&wish, &request.relay_path).await;
        inner.fetch(&wish, &request.relay_path).await?;
        let ticket = inner.mutate(|control, now| control.begin_subscribe(wish, now))?;
        let reserved = Reserved::new(inner, ticket.session);
        let is_offer = request.offer.is_none();
        let asked = inver_shard::Subscribe {
            session: ticket.session,
            source: ticket.source,
            offer: request.offer,
            client: request.client.hint,
        };
        let source = ticket.source;
        let feed = inner.feeds.get(source);
        if feed.is_some_and(|feed| feed.is_withheld()) {
            return Err(refusal(inver_shard::Error::Reordered));
        }
        let answer = inner.media.subscribe(asked).await.map_err(refusal)?;
        let started = reserved.accept(ticket, answer, is_offer)?;
        // The stage may have moved while the shard answered; the session was not there to be
        // moved yet.
        if let Some(now) = inner
            .source_of(started.session)
            .filter(|now| *now != source)
            && let Err(error) = inner.media.switch_source(started.session, now).await
        {
            tracing::debug!(session = %started.session, %error, "a viewer could not be moved");
        }
        Ok(started)
    }

    /// Takes the answer to an offer of ours.
    pub async fn accept_answer(&self, token: &SessionToken, sdp: String) -> Result<(), Refusal> {
        let session = self.session(token)?;
        check_sdp(&sdp)?;
        let ufrag = attribute(&sdp, "ice-ufrag").map(str::to_owned);
        self.0
            .media
            .accept_answer(session, sdp)
            .await
            .map_err(refusal)?;
        self.0.mutate(|control, _| control.answered(session, ufrag));
        Ok(())
    }

    /// Takes an ICE fragment: more candidates, or an ICE restart (RFC 9725 section 4.3).
    pub async fn patch_ice(
        &self,
        token: &SessionToken,
        if_match: Option<&str>,
        fragment: String,
    ) -> Result<Patched, Refusal> {
        let session = self.session(token)?;
        let inner = &self.0;
        let ufrag = attribute(&fragment, "ice-ufrag").map(str::to_owned);
        let patch =
            inner.look(|control| control.check_ice_patch(session, if_match, ufrag.as_deref()))?;
        let has_password = attribute(&fragment, "ice-pwd").is_some();
        let text = IceFragment { text: fragment };
        match patch {
            IcePatch::Trickle => {
                inner.media.trickle(session, text).await.map_err(refusal)?;
                Ok(Patched::Trickled)
            }
            IcePatch::Restart if !has_password => {
                let detail =
                    "the fragment has a new ice-ufrag and no ice-pwd; a restart needs both";
                Err(Refusal::new(RefusalKind::BadRequest, detail))
            }
            IcePatch::Restart => {
                let answer = inner
                    .media
                    .restart_ice(session, text)
                    .await
                    .map_err(refusal)?;
                let Answer {
                    sdp: fragment,
                    ufrag: ours,
                } = answer;
                let etag = inner.mutate(|control, _| control.restarted(session, &ours, ufrag));
                Ok(Patched::Restarted { fragment, etag })
            }
        }
    }

    /// Ends a session.
    pub async fn end(&self, token: &SessionToken) -> Result<(), Refusal> {
        self.0
            .mutate(|control, now| control.end(token, now))
            .map(drop)
    }

    /// Chooses which layer a viewer gets.
    pub async fn select_layer(
        &self,
        token: &SessionToken,
        selection: LayerSelection,
    ) -> Result<(), Refusal> {
        let session = self.session(token)?;
        self.0
            .media
            .select_layer(session, selection)
            .await
            .map_err(refusal)
    }

    /// A session's event stream.
    pub fn watch_session(&self, token: &SessionToken) -> Result<SessionWatch, Refusal> {
        let inner = &self.0;
        let (session, state, signals) = inner.mutate(|control, _| {
            let session = control.session(token)?;
            let signals = inner.watchers.subscribe(session);
            Ok::<_, Refusal>((session, control.watch(session), signals))
        })?;
        let first = state.map(first_events).unwrap_or_default();
        Ok(SessionWatch::new(inner.clone(), session, signals, first))
    }

    /// Whether the session is there.
    pub fn session_exists(&self, token: &SessionToken) -> bool {
        self.session(token).is_ok()
    }

    /// The number of the session behind a URL.
    pub fn session(&self, token: &SessionToken) -> Result<SessionId, Refusal> {
        self.0.look(|control| control.session(token))
    }
}

/// A place that control has reserved. Dropped before the data plane's word (the client hung up,
/// the data plane refused), it gives the place back.
pub(crate) struct Reserved {
    inner: Arc<Inner>,
    session: Option<SessionId>,
}

impl Reserved {
    pub(crate) fn new(inner: &Arc<Inner>, session: SessionId) -> Self {
        Self {
            inner: inner.clone(),
            session: Some(session),
        }
    }

    pub(crate) fn accept(
        mut self,
        ticket: Ticket,
        answer: Answer,
        is_offer: bool,
    ) -> Result<Started, Refusal> {
        let Ticket {
            session,
            token,
            room,
            participant,
            ..
        } = ticket;
        let accepted = self
            .inner
            .mutate(|control, now| control.accepted(session, &answer.ufrag, now));
        // On a refusal the place is given back: control has forgotten it, the shard has not.
        let etag = accepted?;
        self.session = None;
        let sdp = answer.sdp;
        Ok(Started {
            token,
            session,
            sdp,
            etag,
            is_offer,
            room,
            participant,
        })
    }
}

impl Reserved {
    /// Keeps an encoder's place; gives its room and name.
    pub(crate) fn accept_feed(
        mut self,
        ticket: Ticket,
    ) -> Result<(RoomId, ParticipantId), Refusal> {
        let accepted = self
            .inner
            .mutate(|control, now| control.accepted(ticket.session, "", now));
        accepted?;
        self.session = None;
        Ok((ticket.room, ticket.participant))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.inner
                .mutate(|control, now| control.failed(session, now));
            self.inner.media.close(session, CloseReason::Failed);
        }
    }
}

pub(crate) fn client_info(client: &Client, offer: Option<&str>) -> ClientInfo {
    ClientInfo {
        address: client
            .remote
            .map(|remote| remote.ip())
            .or(client.hint.remote),
        remote: client.remote.map(|remote| remote.to_string()),
        user_agent: client.user_agent.clone(),
        ufrag: offer
            .and_then(|offer| attribute(offer, "ice-ufrag"))
            .map(str::to_owned),
    }
}

/// Tells what is no SDP at all (400) from SDP that cannot be had (422, the data plane's word).
fn check_sdp(text: &str) -> Result<(), Refusal> {
    if text.trim_start().starts_with("v=0") {
        return Ok(());
    }
    let detail = "the body is not an SDP description (RFC 8866): its first line must be v=0";
    Err(Refusal::new(RefusalKind::BadRequest, detail))
}

/// The value of the first `a=name:value` line.
fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| {
        let value = line
            .strip_prefix("a=")?
            .strip_prefix(name)?
            .strip_prefix(':')?
            .trim();
        (!value.is_empty()).then_some(value)
    })
}

pub(crate) fn refusal(error: Error) -> Refusal {
    let (kind, retry_after) = match &error {
        Error::Sdp(_) | Error::NoCommonCodec { .. } => (RefusalKind::Unprocessable, None),
        Error::Reordered => (RefusalKind::Unplayable, Some(Duration::from_secs(10))),
        Error::UnknownSession => (RefusalKind::NotFound, None),
        Error::Unexpected(_) => (RefusalKind::Conflict, None),
        Error::Full => (RefusalKind::Unavailable, Some(Duration::from_secs(5))),
        Error::Gone => (RefusalKind::Unavailable, Some(Duration::from_secs(1))),
    };
    Refusal {
        kind,
        detail: error.to_string(),
        retry_after,
    }
}
