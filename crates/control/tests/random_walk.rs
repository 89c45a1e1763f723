//! Anything in any order: counts stay right and nothing is left behind.

mod world;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use inver_control::{
    Command, FallbackRule, MediaEvent, PublishRequest, SubscribeRequest, Ticket, Vouched, What,
};
use inver_proto::{
    Direction, Door, ParticipantId, RoomEvent, RoomId, RoomKind, SessionState, SourceId,
};
use world::{World, publish_as, room, subscribe, subscribe_to};

const ROOMS: [&str; 4] = ["one", "two", "call", "configured"];
const NAMES: [&str; 3] = ["main", "anna", "ben"];
const STEPS: usize = 1000;

struct Walk {
    world: World,
    random: fastrand::Rng,
    asked: Vec<Ticket>,
    accepted: Vec<Ticket>,
    sources: HashSet<SourceId>,
    started: HashMap<u64, bool>,
    told: HashMap<u64, bool>,
    joined: HashSet<(RoomId, ParticipantId)>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut world = World::open();
        world.create("call", RoomKind::Call);
        world.create("configured", RoomKind::Broadcast);
        let rule = FallbackRule {
            after: Duration::from_secs(2),
            longest: Some(Duration::from_secs(40)),
            always: false,
        };
        let now = world.now;
        let rooms = "*".parse().expect("a pattern");
        world.control.set_fallbacks(vec![(rooms, rule)], now);
        Self {
            world,
            random: fastrand::Rng::with_seed(seed),
            asked: Vec::new(),
            accepted: Vec::new(),
            sources: HashSet::new(),
            started: HashMap::new(),
            told: HashMap::new(),
            joined: HashSet::new(),
        }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.usize(..from.len())]
    }

    fn take(random: &mut fastrand::Rng, from: &mut Vec<Ticket>) -> Option<Ticket> {
        (!from.is_empty()).then(|| from.swap_remove(random.usize(..from.len())))
    }

    fn some(&mut self) -> Option<Ticket> {
        let at = self.random.usize(..self.accepted.len().max(1));
        self.accepted.get(at).cloned()
    }

    fn step(&mut self) {
        match self.random.u8(..20) {
            0..=2 => {
                let (id, who) = (self.pick(&ROOMS), self.pick(&NAMES));
                let request: PublishRequest = publish_as(id, who);
                let ticket = self.world.begin_publish(request);
                self.asked.extend(ticket);
            }
            3..=7 => {
                let (id, who) = (self.pick(&ROOMS), self.pick(&NAMES));
                let named = self.random.bool();
                let request = if named {
                    subscribe_to(id, who)
                } else {
                    subscribe(id)
                };
                let wait = self.random.bool();
                let ticket = self
                    .world
                    .begin_subscribe(SubscribeRequest { wait, ..request });
                self.asked.extend(ticket);
            }
            8..=10 => {
                if let Some(ticket) = Self::take(&mut self.random, &mut self.asked) {
                    let now = self.world.now;
                    if self
                        .world
                        .control
                        .accepted(ticket.session, "ours", now)
                        .is_ok()
                    {
                        self.accepted.push(ticket);
                    }
                }
            }
            11 => {
                if let Some(ticket) = Self::take(&mut self.random, &mut self.asked) {
                    self.world.fail(&ticket);
                }
            }
            12..=14 => {
                if let Some(ticket) = self.some() {
                    let flowing = self.random.bool();
                    let event = match self.random.u8(..5) {
                        0 | 1 => MediaEvent::Connected(ticket.session),
                        2 => MediaEvent::Disconnected(ticket.session),
                        3 => MediaEvent::Speaking(ticket.source),
                        _ => MediaEvent::Flowing(ticket.source, flowing),
                    };
                    self.world.media(event);
                }
            }
            15 => {
                if let Some(ticket) = Self::take(&mut self.random, &mut self.accepted) {
                    self.world.lost(&ticket);
                }
            }
            16 => {
                if let Some(ticket) = Self::take(&mut self.random, &mut self.accepted) {
                    let now = self.world.now;
                    let _ = self.world.control.end(&ticket.token, now);
                }
            }
            17 => {
                let (id, who) = (self.pick(&ROOMS), self.pick(&NAMES));
                let now = self.world.now;
                let _ = self.world.control.kick(&room(id), &world::who(who), now);
            }
            18 if self.random.u8(..10) == 0 => {
                let id = self.pick(&["one", "two"]);
                if let Ok(plan) = self.world.control.plan_close_room(&room(id)) {
                    self.world.apply(plan);
                }
            }
            18 => {
                let id = self.pick(&ROOMS);
                let request = PublishRequest {
                    door: Door::Fallback,
                    vouched: Some(Vouched::default()),
                    ..publish_as(id, "main")
                };
                let ticket = self.world.begin_publish(request);
                self.asked.extend(ticket);
            }
            _ => {
                let time = Duration::from_millis(self.random.u64(..8000));
                self.world.pass(time);
            }
        }
        self.world.drain();
        self.check();
    }

    /// What must hold after every step.
    fn check(&mut self) {
        let tickets = self.asked.iter().chain(&self.accepted);
        self.sources.extend(tickets.map(|ticket| ticket.source));
        for event in std::mem::take(&mut self.world.events) {
            match event.what {
                RoomEvent::ParticipantJoined { participant } => {
                    let new = self.joined.insert((event.room, participant.clone()));
                    assert!(new, "{participant} joined twice");
                }
                RoomEvent::ParticipantLeft { participant } => {
                    let there = self.joined.remove(&(event.room, participant.clone()));
                    assert!(there, "{participant} left without having joined");
                }
                RoomEvent::SessionStarted { session, .. } => {
                    assert_eq!(self.started.insert(session.0, true), None, "started twice");
                }
                RoomEvent::SessionEnded { session, .. } => {
                    let was = self.started.insert(session.0, false);
                    assert_eq!(was, Some(true), "ended once, after it started");
                }
                _ => {}
            }
        }
        for happening in std::mem::take(&mut self.world.happenings) {
            let session = happening.session.0;
            match happening.what {
                What::Published | What::Read => {
                    assert_eq!(self.told.insert(session, true), None, "begun twice");
                }
                What::Unpublished { .. } | What::Unread { .. } => {
                    let was = self.told.insert(session, false);
                    assert_eq!(was, Some(true), "gone once, after it was told of");
                }
            }
        }
        for room in self.world.control.rooms(&()) {
            let sessions: Vec<_> = room
                .participants
                .iter()
                .flat_map(|who| who.sessions.clone())
                .collect();
            let viewers = sessions.iter().filter(|session| {
                session.direction == Direction::Subscribe
                    && session.state != SessionState::Connecting
            });
            assert_eq!(
                usize::try_from(room.viewers),
                Ok(viewers.count()),
                "{room:?}"
            );
            let publishers = room
                .participants
                .iter()
                .filter(|who| who.publishing)
                .count();
            assert!(room.kind == RoomKind::Call || publishers <= 1, "{room:?}");
            assert!(!room.live || publishers > 0, "{room:?}");
            assert!(room.configured || !room.participants.is_empty(), "{room:?}");
            for session in sessions {
                let source = self.world.control.source_of(session.id).expect("has one");
                assert!(
                    !self.world.forgotten(source),
                    "{session:?} is on a forgotten source"
                );
            }
        }
    }

    fn finish(mut self) {
        for ticket in std::mem::take(&mut self.asked) {
            self.world.fail(&ticket);
        }
        let now = self.world.now;
        self.world.control.close_all(now);
        self.world.seconds(120);
        self.check();
        for room in self.world.control.rooms(&()) {
            assert!(room.configured && room.participants.is_empty(), "{room:?}");
            assert!(
                !room.live && room.live_since.is_none() && room.viewers == 0,
                "{room:?}"
            );
        }
        assert_eq!(self.world.control.session_counts(), Default::default());
        assert_eq!(self.world.control.poll_timeout(), None);
        for source in &self.sources {
            let forget = Command::ForgetSource { source: *source };
            let times = self
                .world
                .commands
                .iter()
                .filter(|command| **command == forget)
                .count();
            assert_eq!(times, 1, "{source} is forgotten once");
        }
        assert!(
            self.started.values().all(|alive| !alive),
            "every session ended"
        );
        assert!(!self.started.is_empty());
        assert!(
            self.told.values().all(|there| !there),
            "whoever was told of is told to be gone"
        );
        assert!(!self.told.is_empty());
    }
}

#[test]
fn nothing_is_left_behind() {
    for seed in 0..40 {
        let mut walk = Walk::new(seed);
        for _ in 0..STEPS {
            walk.step();
        }
        walk.finish();
    }
}
