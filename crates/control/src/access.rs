//! What somebody wants to do, and what credentials allow.

use inver_proto::{KeyId, ParticipantId, RoomId};

/// Something that needs a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Publish into a room.
    Publish(&'a RoomId),
    /// Watch a room.
    Subscribe(&'a RoomId),
    /// See all about a room, end its sessions, handle its keys.
    AdministerRoom(&'a RoomId),
    /// List all about all rooms, create and close them, issue tokens, read all events.
    AdministerServer,
}

/// Which rooms a grant is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every room, also those to come.
    AllRooms,
    /// One room.
    Room(RoomId),
}

impl Scope {
    /// Whether the room is within the scope.
    pub fn covers(&self, room: &RoomId) -> bool {
        match self {
            Self::AllRooms => true,
            Self::Room(own) => own == room,
        }
    }
}

/// Where a grant comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was shown, or nothing that is known: what everybody may do.
    Anonymous,
    /// A stream key.
    StreamKey(KeyId),
    /// A signed token.
    Token,
    /// The server's admin token.
    AdminToken,
    /// The word of a service outside.
    Service,
}

/// The word of a service outside that somebody may do what it asks for: no credentials are checked
/// here, everything else is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vouched {
    /// Who it is; overrides what the client says.
    pub participant: Option<ParticipantId>,
}

/// What credentials allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Which rooms it is about.
    pub scope: Scope,
    /// Whether it allows to publish.
    pub publish: bool,
    /// Whether it allows to watch.
    pub subscribe: bool,
    /// Whether it allows to administer what is in its scope.
    pub admin: bool,
    /// Participant that its bearer is; any where absent.
    pub subject: Option<ParticipantId>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Grant {
    /// Whether the grant itself allows the action; room policy may allow more.
    pub fn allows(&self, action: Action<'_>) -> bool {
        match action {
            Action::Publish(room) => (self.publish || self.admin) && self.scope.covers(room),
            Action::Subscribe(room) => (self.subscribe || self.admin) && self.scope.covers(room),
            Action::AdministerRoom(room) => self.admin && self.scope.covers(room),
            Action::AdministerServer => self.admin && self.scope == Scope::AllRooms,
        }
    }

    /// Whether known credentials were shown.
    pub fn is_authenticated(&self) -> bool {
        self.origin != Origin::Anonymous
    }
}
