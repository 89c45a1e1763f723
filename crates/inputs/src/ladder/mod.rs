//! The ladder: lower layers made of what an encoder sends as a single one, while somebody watches
//! who can use them.
//!
//! FFmpeg makes them, where it is installed, in a child process for each room. What it makes joins
//! the encoder's own publication as further layers: variants of HLS, layers over WebRTC. Keyframes
//! lie where the encoder's do.

mod child;
mod rendition;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use inver_media::{Codec, Frame};
use inver_node::{AddedLayers, FrameReader, Handle, LadderPlan, Read};
use inver_proto::{RoomId, RoomPattern};
use inver_sockets::{Backoff, Stop, stopped};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use child::{Fault, Transcoder};
pub use rendition::{Rendition, RenditionError};

/// How often it is looked where layers are wanted: a fraction of what their first picture takes.
const LOOK: Duration = Duration::from_millis(250);

/// How long nobody may watch before layers are made no more. Less would begin anew for everybody
/// who reloads a page; more costs a core for nobody.
const LINGER: Duration = Duration::from_secs(15);

/// How long an encoder's keyframe is waited for.
const KEYFRAME: Duration = Duration::from_secs(15);

/// How long one child works at most, well below the day after which a transport stream's times
/// begin anew.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// How long tasks may take to end after the stop.
const DRAIN: Duration = Duration::from_secs(5);

/// How hard FFmpeg tries to make pictures small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The least CPU.
    Ultrafast,
    /// Little more.
    Superfast,
    /// What live streams usually have.
    Veryfast,
    /// Much more CPU.
    Faster,
}

impl Preset {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
        }
    }
}

/// Settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program.
    pub ffmpeg: PathBuf,
    /// Rooms where layers are made.
    pub rooms: Vec<RoomPattern>,
    /// The layers; of each room those that are lower than what its encoder sends.
    pub renditions: Vec<Rendition>,
    /// How hard it tries.
    pub preset: Preset,
    /// Threads of each encoder.
    pub threads: u32,
    /// How far everything else on the machine goes first, 0 to 19.
    pub nice: i32,
    /// Rooms at once. Each takes up to a core or more.
    pub most: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ffmpeg: PathBuf::from("ffmpeg"),
            rooms: Vec::new(),
            renditions: Vec::new(),
            preset: Preset::Veryfast,
            threads: 2,
            nice: 10,
            most: 2,
        }
    }
}

/// Makes layers where they are wanted, until the stop; nothing where FFmpeg is missing.
pub async fn run(handle: Handle, config: Config, mut stop: Stop) {
    if config.rooms.is_empty() || config.renditions.is_empty() {
        return;
    }
    let probed = tokio::select! {
        probed = child::probe(&config.ffmpeg) => probed,
        () = stopped(&mut stop) => return,
    };
    if let Err(why) = probed {
        tracing::warn!(why, "no layers are made ([ladder])");
        return;
    }
    handle.set_ladder(LadderPlan {
        rooms: config.rooms.clone(),
        heights: config
            .renditions
            .iter()
            .map(|rendition| rendition.height)
            .collect(),
    });
    let mut ladder = Ladder {
        handle,
        config,
        rooms: HashMap::new(),
        tasks: JoinSet::new(),
        full: false,
    };
    loop {
        ladder.look();
        tokio::select! {
            () = stopped(&mut stop) => break,
            () = sleep(LOOK) => {}
            Some(_) = ladder.tasks.join_next(), if !ladder.tasks.is_empty() => {}
        }
    }
    // A sender that is gone tells the task to end.
    ladder.rooms.clear();
    let ended = async { while ladder.tasks.join_next().await.is_some() {} };
    if timeout(DRAIN, ended).await.is_err() {
        tracing::debug!("a ladder is cut off: it did not end in time");
    }
}

/// An encoder that changes what it sends more often than this is no work for a new child each time.
const STEADY: Duration = Duration::from_secs(5);

struct Ladder {
    handle: Handle,
    config: Config,
    /// The word to stop of each room's task.
    rooms: HashMap<RoomId, watch::Sender<bool>>,
    tasks: JoinSet<()>,
    /// It was told that there is no place for another room.
    full: bool,
}

impl Ladder {
    /// Begins tasks where layers are wanted; they end by themselves.
    fn look(&mut self) {
        self.rooms.retain(|_, stop| stop.receiver_count() > 0);
        for room in self.handle.wanting_layers() {
            if self.rooms.contains_key(&room) {
                continue;
            }
            if self.rooms.len() >= self.config.most {
                self.handle.tell_ladder(&room, true);
                if !std::mem::replace(&mut self.full, true) {
                    let most = self.config.most;
                    tracing::warn!(%room, most, "no layers are made: as many rooms have them as may (ladder.max)");
                }
                continue;
            }
            self.full = false;
            self.handle.tell_ladder(&room, false);
            let (stop, stopped) = watch::channel(false);
            self.rooms.insert(room.clone(), stop);
            let task = Task {
                handle: self.handle.clone(),
                config: self.config.clone(),
                room,
            };
            self.tasks.spawn(task.run(stopped));
        }
    }
}

/// Makes the layers of one room.
struct Task {
    handle: Handle,
    config: Config,
    room: RoomId,
}

/// Why layers are made no more.
enum End {
    /// Nobody wants them, or there is nothing to make them of.
    Over,
    /// The encoder sends something else than before, or begins anew.
    Changed,
    /// It failed; why, for people.
    Failed(String),
}

impl Task {
    async fn run(self, mut stop: Stop) {
        let (handle, room) = (&self.handle, &self.room);
        let mut backoff = Backoff::default();
        loop {
            let begun = Instant::now();
            let end = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                end = self.once() => end,
            };
            let reason = match end {
                End::Over => {
                    handle.tell_ladder(room, false);
                    return;
                }
                End::Changed if begun.elapsed() >= STEADY => continue,
                End::Changed => "what the encoder sends changes all the time".to_owned(),
                End::Failed(reason) => reason,
            };
            handle.tell_ladder(room, true);
            let after = backoff.after(begun.elapsed());
            tracing::warn!(%room, reason, ?after, "layers are made no more, and tried again");
            tokio::select! {
                () = sleep(after) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Makes layers until something ends that.
    async fn once(&self) -> End {
        let handle = &self.handle;
        let heights = handle.ladder_of(&self.room);
        let renditions = self.config.renditions.iter().copied();
        let renditions: Vec<Rendition> = renditions
            .filter(|rendition| heights.contains(&rendition.height))
            .collect();
        if renditions.is_empty() || !handle.wants_layers(&self.room) {
            return End::Over;
        }
        let joined = handle
            .tap_publisher(&self.room, None)
            .and_then(|reader| Ok((reader, handle.add_layers(&self.room)?)));
        let Ok((mut reader, mut added)) = joined else {
            return End::Over;
        };
        let first = match timeout(KEYFRAME, keyframe(&mut reader)).await {
            Ok(Some(first)) => first,
            Ok(None) => return End::Over,
            Err(_) => return End::Failed("no keyframe came".to_owned()),
        };
        let mut transcoder = match Transcoder::start(&self.config, &renditions, &first) {
            Ok(transcoder) => transcoder,
            Err(fault) => return End::Failed(fault.to_string()),
        };
        let shown: Vec<String> = renditions.iter().map(Rendition::to_string).collect();
        tracing::info!(room = %self.room, renditions = shown.join(", "), "layers are made");
        let end = self
            .make(&mut transcoder, &mut reader, &mut added, first)
            .await;
        transcoder.end().await;
        if matches!(end, End::Over) {
            tracing::info!(room = %self.room, "layers are made no more: nobody wants them");
        }
        end
    }

    async fn make(
        &self,
        transcoder: &mut Transcoder,
        reader: &mut FrameReader,
        added: &mut AddedLayers,
        first: Frame,
    ) -> End {
        let failed = |fault: Fault| End::Failed(fault.to_string());
        if let Err(fault) = transcoder.push(&first) {
            return failed(fault);
        }
        let config = first.config;
        let (begun, mut wanted) = (Instant::now(), Instant::now());
        let mut looks = tokio::time::interval(LOOK);
        let mut made = Vec::new();
        let mut failing = true;
        loop {
            tokio::select! {
                read = reader.next() => match read {
                    Some(Read::Video { layer: 0, frame }) => {
                        if frame.keyframe && *frame.config != *config {
                            return End::Changed;
                        }
                        if let Err(fault) = transcoder.push(&frame) {
                            return failed(fault);
                        }
                    }
                    Some(Read::Video { .. } | Read::Audio(_)) => {}
                    Some(Read::Lost) => return End::Changed,
                    Some(Read::Idle) | None => return End::Over,
                },
                worked = transcoder.work(&mut made) => {
                    if let Err(fault) = worked {
                        return failed(fault);
                    }
                    if failing {
                        failing = false;
                        self.handle.tell_ladder(&self.room, false);
                    }
                    for (layer, frame) in made.drain(..) {
                        if !added.push(layer, frame) {
                            return End::Over;
                        }
                    }
                }
                () = added.closed() => return End::Over,
                _ = looks.tick() => {
                    if self.handle.wants_layers(&self.room) {
                        wanted = Instant::now();
                    } else if wanted.elapsed() >= LINGER {
                        return End::Over;
                    }
                    if begun.elapsed() >= LONGEST {
                        return End::Changed;
                    }
                }
            }
        }
    }
}

/// Waits for a keyframe of the encoder's own layer. `None`: it is gone.
async fn keyframe(reader: &mut FrameReader) -> Option<Frame> {
    loop {
        if let Read::Video { layer: 0, frame } = reader.next().await?
            && frame.keyframe
            && matches!(frame.codec(), Codec::H264 | Codec::H265)
        {
            return Some(Frame::clone(&frame));
        }
    }
}
