//! What reaches a shard's thread from outside it.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inver_proto::{SessionId, SourceId};
use inver_rtc::Layer;
use inver_sfu::{Batch, GroupCache};
use mio::Waker;
use tokio::sync::{mpsc, oneshot};

use crate::api::{
    Answer, CloseReason, Error, IceFragment, LayerSelection, Publish, Pull, Subscribe,
};

/// Commands that wait for a shard at most. A shard takes hundreds of thousands a second; a full
/// queue means that it hangs, and the asker is told.
pub(crate) const COMMANDS: usize = 4096;

/// Batches from other shards that wait at most: a second of a hundred busy sources. What does
/// not fit is dropped, as a network would.
pub(crate) const BATCHES: usize = 8192;

/// Batches that wait for a reader outside the shards at most: some seconds of one source. More
/// costs memory while it is slow, less loses packets on short stalls.
pub(crate) const TAPPED: usize = 1024;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Tracks of a source, as a mirror needs them.
#[derive(Debug, Clone)]
pub(crate) struct SourceTracks {
    pub(crate) epoch: u64,
    pub(crate) audio: Option<Vec<String>>,
    pub(crate) video: Option<Vec<String>>,
    /// What was sent since the last keyframe, where the encoder cannot be asked for another.
    pub(crate) group: Option<Arc<GroupCache>>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Publish(Box<Publish>, Reply<Answer>),
    /// Media that we are to receive from another server.
    Pull(Pull, Reply<Answer>),
    /// A viewer, with the shard on which its source lives.
    Subscribe(Box<Subscribe>, usize, Reply<Answer>),
    /// An encoder whose packets come from outside the shards.
    BeginFeed(BeginFeed, Reply<FeedStart>),
    AcceptAnswer(SessionId, String, Reply<()>),
    Trickle(SessionId, IceFragment, Reply<()>),
    RestartIce(SessionId, IceFragment, Reply<Answer>),
    SelectLayer(SessionId, LayerSelection, Reply<()>),
    SwitchSource(SessionId, SourceId, usize, Reply<()>),
    ForgetSource(SourceId),
    /// Somebody outside the shards reads the packets of a source that lives here.
    Tap(SourceId, mpsc::Sender<Arc<Batch>>),
    /// Another shard has viewers of a source that lives here.
    Attach(SourceId, usize),
    /// Another shard lost its last viewer of a source that lives here.
    Detach(SourceId, usize),
    /// Tracks of a source that lives elsewhere; `None` while nobody publishes.
    Mirror(SourceId, Option<SourceTracks>),
    /// A viewer on another shard needs a keyframe of a source that lives here.
    WantKeyframe(SourceId, Layer),
    /// A data channel message of a publisher that lives elsewhere.
    Message(SourceId, Arc<Message>),
    Stop,
}

/// What an encoder brings that hands its packets over.
#[derive(Debug, Clone)]
pub(crate) struct BeginFeed {
    pub(crate) session: SessionId,
    pub(crate) source: SourceId,
}

/// What it gets to know.
#[derive(Debug)]
pub(crate) struct FeedStart {
    pub(crate) epoch: u64,
    pub(crate) closed: oneshot::Receiver<CloseReason>,
}

/// A data channel message on its way to viewers.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) label: String,
    pub(crate) binary: bool,
    pub(crate) data: Vec<u8>,
}

/// Another shard, seen from one.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) commands: SyncSender<Command>,
    pub(crate) batches: SyncSender<(SourceId, Arc<Batch>)>,
    pub(crate) waker: Arc<Waker>,
    /// Sessions to end. Beside the queue of commands, since an end must never be lost to a full
    /// one; the number of sessions bounds it.
    pub(crate) closings: Arc<Mutex<Vec<(SessionId, CloseReason)>>>,
}

impl Peer {
    /// Hands a command over; a full queue or a stopped shard gives it back.
    pub(crate) fn command(&self, command: Command) -> Result<(), Box<Command>> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(command) | TrySendError::Disconnected(command) => {
                    Box::new(command)
                }
            })?;
        // A waker fails only when its poll is gone, and then nobody waits for the answer.
        let _ = self.waker.wake();
        Ok(())
    }

    /// Has a session ended.
    pub(crate) fn close(&self, session: SessionId, reason: CloseReason) {
        self.lock_closings().push((session, reason));
        let _ = self.waker.wake();
    }

    /// Takes the sessions to end.
    pub(crate) fn take_closings(&self) -> Vec<(SessionId, CloseReason)> {
        std::mem::take(&mut *self.lock_closings())
    }

    fn lock_closings(&self) -> MutexGuard<'_, Vec<(SessionId, CloseReason)>> {
        self.closings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a batch over; `false` where it had to be dropped.
    pub(crate) fn batch(&self, source: SourceId, batch: Arc<Batch>) -> bool {
        let taken = self.batches.try_send((source, batch)).is_ok();
        let _ = self.waker.wake();
        taken
    }
}
