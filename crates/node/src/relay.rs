//! Rooms that come from other servers: who fetches them, and the sessions that do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use inver_control::{
    ClientInfo, PublishRequest, PublishTarget, Refusal, RefusalKind, SubscribeRequest, Ticket,
    Vouched,
};
use inver_control::{Credentials, SessionToken};
use inver_proto::{CloseCause, Door, NodeId, ParticipantId, Relay, RelayPath, RoomId};
use tokio::time::{Instant, timeout_at};

use crate::api::SessionEvent;
use crate::handle::{Handle, Inner};
use crate::sessions::{Reserved, refusal};
use crate::watch::SessionWatch;

/// A room on its way here. It comes, or is refused, within a deadline that the fetcher keeps.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

/// Who fetches rooms from other servers.
pub trait Relays: Send + Sync + 'static {
    /// Whether the room may come from another server.
    fn covers(&self, room: &RoomId) -> bool;

    /// Has a room fetched that somebody wants to watch, unless it is there.
    fn fetch<'a>(&'a self, room: &'a RoomId, path: &'a RelayPath) -> Fetching<'a>;

    /// What is known of a room that is or was being fetched.
    fn relay(&self, room: &RoomId) -> Option<Relay>;
}

impl Handle {
    /// Has rooms fetched from other servers from now on. Only the first call counts.
    pub fn set_relays(&self, relays: Arc<dyn Relays>) {
        if self.0.relays.set(relays).is_err() {
            tracing::warn!("relays were set twice; the first ones stay");
        }
    }

    /// This process among the servers that a room passes.
    pub fn node_id(&self) -> NodeId {
        self.0.node
    }

    /// Whether somebody publishes in a room or is about to come back; what only stands in for a
    /// publisher is none.
    pub fn has_publisher(&self, room: &RoomId) -> bool {
        self.0.look(|control| {
            control.published(room, None).is_some() && !control.shows_fallback(room)
        })
    }

    /// Whether media of a room flows.
    pub fn is_live(&self, room: &RoomId) -> bool {
        self.0.look(|control| control.is_live(room))
    }

    /// Whether somebody watches or reads a room, or is about to.
    pub fn is_watched(&self, room: &RoomId) -> bool {
        let inner = &self.0;
        let (watching, published) =
            inner.look(|control| (control.wanted_by(room), control.published(room, None)));
        watching > 0 || published.is_some_and(|(_, source)| inner.hubs.is_held(source))
    }

    /// Has a room brought here that somebody who may watch it wants to, where a pull on demand or
    /// another server has it; one that is here already stays as it is. For doors whose viewers
    /// have no session: check their rights before. It is given up at `deadline`, but goes on.
    ///
    /// # Errors
    ///
    /// The other server refuses, or does not answer in time.
    pub async fn summon(
        &self,
        room: &RoomId,
        door: Door,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let wish = SubscribeRequest {
            room: room.clone(),
            participant: None,
            credentials: Credentials::NONE,
            client: ClientInfo::default(),
            wait: false,
            door,
            vouched: Some(Vouched::default()),
        };
        let coming = async {
            self.bring(&wish, &RelayPath::default()).await;
            self.0.fetch(&wish, &RelayPath::default()).await
        };
        timeout_at(deadline, coming).await.unwrap_or_else(|_| {
            let detail = format!("{room} is on its way here and did not come in time; ask again");
            Err(Refusal::new(RefusalKind::Unavailable, detail).retry_after(Duration::from_secs(1)))
        })
    }

    /// Reserves a room's place for media from `origin`, which the operator chose, and makes the
    /// offer for it. Whoever publishes there keeps the place.
    ///
    /// # Errors
    ///
    /// Somebody publishes there, or the server takes no more sessions.
    pub async fn begin_relay(&self, room: &RoomId, origin: &str) -> Result<Pull, Refusal> {
        self.begin(room, None, Door::Relay, origin).await
    }

    /// The same for a pull that the operator or an administrator of the room made, as the
    /// participant that it has.
    ///
    /// # Errors
    ///
    /// As [`Self::begin_relay`].
    pub async fn begin_pull(
        &self,
        room: &RoomId,
        participant: &ParticipantId,
        origin: &str,
    ) -> Result<Pull, Refusal> {
        self.begin(room, Some(participant.clone()), Door::Pull, origin)
            .await
    }

    async fn begin(
        &self,
        room: &RoomId,
        participant: Option<ParticipantId>,
        door: Door,
        origin: &str,
    ) -> Result<Pull, Refusal> {
        let inner = &self.0;
        let wish = PublishRequest {
            target: PublishTarget::Room(room.clone()),
            participant,
            credentials: Credentials::NONE,
            client: ClientInfo {
                remote: Some(origin.to_owned()),
                ..ClientInfo::default()
            },
            door,
            vouched: Some(Vouched::default()),
        };
        let ticket = inner.mutate(|control, now| control.begin_publish(wish, now))?;
        let reserved = Reserved::new(inner, ticket.session);
        let asked = inver_shard::Pull {
            session: ticket.session,
            source: ticket.source,
        };
        let offer = inner.media.pull(asked).await.map_err(refusal)?;
        Ok(Pull {
            inner: Arc::clone(inner),
            reserved,
            ticket,
            offer,
        })
    }
}

impl Inner {
    /// Refuses a room that would come back to this server.
    pub(crate) fn check_path(&self, path: &RelayPath) -> Result<(), Refusal> {
        let detail = if path.holds(self.node) {
            "the room would be relayed back to this server; of servers that relay a room from one \
             another, one must not"
        } else if path.is_too_long() {
            "the room has passed as many servers as it may; relay it from one nearer to its \
             publisher"
        } else {
            return Ok(());
        };
        Err(Refusal::new(RefusalKind::Loop, detail))
    }

    /// Has the room fetched where it comes from another server and the wish may be granted.
    pub(crate) async fn fetch(
        &self,
        wish: &SubscribeRequest,
        path: &RelayPath,
    ) -> Result<(), Refusal> {
        let Some(relays) = self.relays.get() else {
            return Ok(());
        };
        if !relays.covers(&wish.room) {
            return Ok(());
        }
        let now = self.now();
        self.look(|control| control.check_subscribe(wish, now))?;
        match relays.fetch(&wish.room, path).await {
            // Whoever wants to wait does so here, and the origin is asked again.
            Err(refusal) if wish.wait && waits_for(refusal.kind) => Ok(()),
            fetched => fetched,
        }
    }
}

/// Whether time may cure a refusal.
fn waits_for(kind: RefusalKind) -> bool {
    matches!(kind, RefusalKind::Conflict | RefusalKind::Unavailable)
}

/// A place that waits for the origin's answer. Dropped, it gives the place back.
pub struct Pull {
    inner: Arc<Inner>,
    reserved: Reserved,
    ticket: Ticket,
    offer: inver_shard::Answer,
}

impl std::fmt::Debug for Pull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pull")
            .field("room", &self.ticket.room)
            .finish_non_exhaustive()
    }
}

impl Pull {
    /// The offer for the origin.
    pub fn offer(&self) -> &str {
        &self.offer.sdp
    }

    /// Takes the origin's answer.
    ///
    /// # Errors
    ///
    /// The answer cannot be used, or the session was ended meanwhile.
    pub async fn accept(self, answer: String) -> Result<Pulled, Refusal> {
        let Self {
            inner,
            reserved,
            ticket,
            offer,
        } = self;
        let accepted = inner.media.accept_answer(ticket.session, answer).await;
        accepted.map_err(refusal)?;
        let started = reserved.accept(ticket, offer, true)?;
        let handle = Handle(Arc::clone(&inner));
        let mut pulled = Pulled {
            token: started.token,
            handle,
            watch: None,
        };
        pulled.watch = Some(pulled.handle.watch_session(&pulled.token)?);
        Ok(pulled)
    }
}

/// A session with the origin. Dropping it ends it.
pub struct Pulled {
    handle: Handle,
    token: SessionToken,
    watch: Option<SessionWatch>,
}

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pulled").finish_non_exhaustive()
    }
}

impl Pulled {
    /// Waits until the session is over; gives why. Cancel-safe.
    pub async fn closed(&mut self) -> CloseCause {
        let Some(watch) = &mut self.watch else {
            return CloseCause::Failed;
        };
        loop {
            match watch.next().await {
                Some(SessionEvent::Ended(cause)) => return cause,
                Some(_) => {}
                None => return CloseCause::Failed,
            }
        }
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        // One that is over already needs no end.
        let _ = self
            .handle
            .0
            .mutate(|control, now| control.end(&self.token, now));
    }
}
