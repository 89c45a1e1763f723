//! A control plane on virtual time, with the data plane played by the test.
#![allow(dead_code, reason = "each behaviour uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

use std::time::Duration;

use inver_control::{
    Change, ClientInfo, Command, Control, Credentials, Entropy, Happening, MediaEvent, Now, Output,
    Plan, Policy, PublishRequest, PublishTarget, Refusal, Secret, Secrets, ServerSecret, Signal,
    Stored, SubscribeRequest, Ticket,
};
use inver_proto::{
    ApiEvent, CloseCause, CreateRoom, CreatedKey, Door, ParticipantId, Room, RoomEvent, RoomId,
    RoomKind, SessionId, SourceId, Timestamp,
};

pub const ADMIN: &str = "admin-token-of-the-tests";

/// Randomness from a seed: one seed is one run.
pub struct Seeded(pub fastrand::Rng);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

pub fn start() -> Now {
    Now {
        elapsed: Duration::ZERO,
        wall: Timestamp(1_700_000_000_000),
    }
}

pub fn secrets() -> Secrets {
    Secrets {
        server: ServerSecret::from_bytes([7; 32]),
        admin_token: Secret::new(ADMIN),
    }
}

pub struct World {
    pub control: Control,
    pub now: Now,
    pub commands: Vec<Command>,
    pub events: Vec<ApiEvent>,
    pub signals: Vec<(Vec<SessionId>, Signal)>,
    pub happenings: Vec<Happening>,
}

pub fn open_policy() -> Policy {
    Policy {
        open: true,
        ..Policy::default()
    }
}

pub fn keyed_policy() -> Policy {
    Policy {
        open: false,
        ..Policy::default()
    }
}

impl World {
    pub fn open() -> Self {
        Self::new(open_policy())
    }

    pub fn keyed() -> Self {
        Self::new(keyed_policy())
    }

    pub fn new(policy: Policy) -> Self {
        Self::restored(policy, Stored::default())
    }

    pub fn restored(policy: Policy, stored: Stored) -> Self {
        let now = start();
        let entropy = Box::new(Seeded(fastrand::Rng::with_seed(1)));
        let control = Control::new(policy, secrets(), stored, entropy, now);
        let (commands, events, signals) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            control,
            now,
            commands,
            events,
            signals,
            happenings: Vec::new(),
        }
    }

    /// Collects what came out.
    pub fn drain(&mut self) {
        while let Some(output) = self.control.poll_output() {
            match output {
                Output::Command(command) => self.commands.push(command),
                Output::Event(event) => self.events.push(event),
                Output::Happened(happening) => self.happenings.push(happening),
                Output::Signal { sessions, signal } => self.signals.push((sessions, signal)),
            }
        }
    }

    /// Lets time pass, doing what is due when it is due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while let Some(at) = self.control.poll_timeout().filter(|at| *at <= end.elapsed) {
            self.now = self.now.plus(at.saturating_sub(self.now.elapsed));
            self.control.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.control.handle_timeout(end);
        self.drain();
    }

    pub fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub fn begin_publish(&mut self, request: PublishRequest) -> Result<Ticket, Refusal> {
        let ticket = self.control.begin_publish(request, self.now);
        self.drain();
        ticket
    }

    pub fn begin_subscribe(&mut self, request: SubscribeRequest) -> Result<Ticket, Refusal> {
        let ticket = self.control.begin_subscribe(request, self.now);
        self.drain();
        ticket
    }

    pub fn accept(&mut self, ticket: &Ticket) -> String {
        let ufrag = format!("ours{}", ticket.session);
        let etag = self
            .control
            .accepted(ticket.session, &ufrag, self.now)
            .expect("is alive");
        self.drain();
        etag
    }

    pub fn fail(&mut self, ticket: &Ticket) {
        self.control.failed(ticket.session, self.now);
        self.drain();
    }

    pub fn media(&mut self, event: MediaEvent) {
        self.control.handle_media(event, self.now);
        self.drain();
    }

    /// A publisher that is let in, connects and sends.
    pub fn live(&mut self, request: PublishRequest) -> Ticket {
        let ticket = self.begin_publish(request).expect("may publish");
        self.accept(&ticket);
        self.media(MediaEvent::Connected(ticket.session));
        self.media(MediaEvent::Flowing(ticket.source, true));
        ticket
    }

    /// A viewer that is let in and connects.
    pub fn viewer(&mut self, request: SubscribeRequest) -> Ticket {
        let ticket = self.begin_subscribe(request).expect("may watch");
        self.accept(&ticket);
        self.media(MediaEvent::Connected(ticket.session));
        ticket
    }

    pub fn lost(&mut self, ticket: &Ticket) {
        self.media(MediaEvent::Closed(
            ticket.session,
            CloseCause::ConnectionLost,
        ));
    }

    pub fn leave(&mut self, ticket: &Ticket) {
        self.control.end(&ticket.token, self.now).expect("is alive");
        self.drain();
    }

    pub fn apply(&mut self, plan: Plan) -> Vec<Change> {
        self.control.apply(plan.changes.clone(), self.now);
        self.drain();
        plan.changes
    }

    pub fn create(&mut self, id: &str, kind: RoomKind) -> Vec<Change> {
        let request = CreateRoom {
            id: Some(room(id)),
            kind,
            ..CreateRoom::default()
        };
        let (plan, _) = self
            .control
            .plan_create_room(&request, self.now)
            .expect("is new");
        self.apply(plan)
    }

    pub fn key(&mut self, id: &str) -> CreatedKey {
        let request = inver_proto::CreateKey::default();
        let made = self.control.plan_create_key(&room(id), request, self.now);
        let (plan, key) = made.expect("the room is configured");
        self.apply(plan);
        key
    }

    pub fn room(&self, id: &str) -> Option<Room> {
        self.control.room(&room(id), &()).ok()
    }

    pub fn alive(&self, ticket: &Ticket) -> bool {
        self.control.find_session(&ticket.token).is_some()
    }

    /// Names of the events since the last look.
    pub fn event_names(&mut self) -> Vec<&'static str> {
        self.events
            .drain(..)
            .map(|event| event.what.name())
            .collect()
    }

    pub fn event_list(&mut self) -> Vec<RoomEvent> {
        self.events.drain(..).map(|event| event.what).collect()
    }

    pub fn forgotten(&self, source: SourceId) -> bool {
        self.commands.contains(&Command::ForgetSource { source })
    }

    pub fn closed(&self, ticket: &Ticket) -> Option<CloseCause> {
        self.commands.iter().find_map(|command| match command {
            Command::Close { session, cause } if *session == ticket.session => Some(*cause),
            _ => None,
        })
    }
}

pub fn room(id: &str) -> RoomId {
    id.parse().expect("is a room id")
}

pub fn who(id: &str) -> ParticipantId {
    id.parse().expect("is a participant id")
}

pub fn publish(id: &str) -> PublishRequest {
    PublishRequest {
        target: PublishTarget::Room(room(id)),
        participant: None,
        credentials: Credentials::NONE,
        client: ClientInfo {
            ufrag: Some("theirs".to_owned()),
            ..ClientInfo::default()
        },
        door: Door::Whip,
        vouched: None,
    }
}

pub fn publish_as(id: &str, participant: &str) -> PublishRequest {
    PublishRequest {
        participant: Some(who(participant)),
        ..publish(id)
    }
}

pub fn publish_with(id: &str, credentials: &str) -> PublishRequest {
    PublishRequest {
        credentials: Credentials::bearer(credentials),
        ..publish(id)
    }
}

pub fn subscribe(id: &str) -> SubscribeRequest {
    SubscribeRequest {
        room: room(id),
        participant: None,
        credentials: Credentials::NONE,
        client: ClientInfo::default(),
        wait: false,
        door: Door::Whep,
        vouched: None,
    }
}

pub fn subscribe_to(id: &str, participant: &str) -> SubscribeRequest {
    SubscribeRequest {
        participant: Some(who(participant)),
        ..subscribe(id)
    }
}

pub fn waiting(request: SubscribeRequest) -> SubscribeRequest {
    SubscribeRequest {
        wait: true,
        ..request
    }
}
