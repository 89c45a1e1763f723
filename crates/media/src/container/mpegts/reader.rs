//! Takes a transport stream apart.

use std::collections::BTreeMap;

use super::packet::{NULL, PACKET, Packet};
use super::program::{Change, Programs};
use super::psi::{Pmt, StreamKind};
use super::stream::{Shared, Stream};
use super::sync::{Step, Sync};
use super::{Item, Loss, Pid, Track};
use crate::Codec;

/// Streams of a program that are carried; the rest is named as dropped. Each may hold a picture
/// twice, so that this bounds memory. Real programs have two to ten.
const MAX_TRACKS: usize = 16;

/// Takes a transport stream apart into [`Item`]s.
///
/// Call [`Self::push`] with bytes in whatever pieces they come, then [`Self::poll`] until nothing
/// comes. What is held between is bounded; items that are not polled pile up.
///
/// A frame comes out as soon as it is known to be whole: when its PES packet has the length that
/// it told, when the next begins, or, with senders that always stuff a PES packet's last
/// transport packet and nothing else, with that.
#[derive(Debug)]
pub struct Reader {
    sync: Sync,
    programs: Programs,
    streams_by_pid: BTreeMap<Pid, Stream>,
    tracks: Option<Vec<Track>>,
    pcr_pid: Pid,
    unsupported: Vec<(Pid, String)>,
    last_pid: Option<Pid>,
    shared: Shared,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Reader {
    /// Reads the program of this number, else the first that has a stream that can be played.
    pub fn new(program: Option<u16>) -> Self {
        Self {
            sync: Sync::new(),
            programs: Programs::new(program),
            streams_by_pid: BTreeMap::new(),
            tracks: None,
            pcr_pid: NULL,
            unsupported: Vec::new(),
            last_pid: None,
            shared: Shared::default(),
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.sync.push(bytes);
        while let Some(step) = self.sync.next() {
            match step {
                Step::Packet(bytes) => self.packet(&bytes),
                Step::Lost => {
                    // The packet before may have bytes of another at its end.
                    let last = self.last_pid.take();
                    if let Some(stream) = last.and_then(|pid| self.streams_by_pid.get_mut(&pid)) {
                        stream.abandon();
                    }
                    self.shared.items.push_back(Item::Lost {
                        pid: None,
                        reason: Loss::Sync,
                    });
                }
            }
        }
    }

    /// What was found next.
    pub fn poll(&mut self) -> Option<Item> {
        self.shared.items.pop_front()
    }

    /// The stream ends: what is whole but waited for its successor comes out.
    pub fn finish(&mut self) {
        for stream in self.streams_by_pid.values_mut() {
            stream.finish(&mut self.shared);
        }
    }

    fn packet(&mut self, bytes: &[u8; PACKET]) {
        let Some(packet) = Packet::parse(bytes) else {
            return;
        };
        // Of a packet with an error not even the PID is sure; the counter tells that it is gone.
        if packet.error || packet.pid == NULL {
            return;
        }
        self.last_pid = Some(packet.pid);
        if packet.discontinuity && packet.pid == self.pcr_pid {
            for stream in self.streams_by_pid.values_mut() {
                stream.expect_change();
            }
        }
        if let Some(stream) = self.streams_by_pid.get_mut(&packet.pid) {
            stream.packet(&packet, &mut self.shared);
        } else if self.programs.listens(packet.pid) {
            let mut changes = Vec::new();
            self.programs.packet(&packet, |change| changes.push(change));
            for change in changes {
                self.change(change);
            }
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Read(pmt) => self.read(pmt),
            Change::Gone => {
                self.finish();
                self.streams_by_pid.clear();
                self.pcr_pid = NULL;
                self.tell();
            }
            Change::Skipped(number) => {
                let skipped = Item::ProgramSkipped { number };
                self.shared.items.push_back(skipped);
            }
            Change::Unplayable(pmt) => {
                for stream in pmt.streams {
                    let name = match stream.kind {
                        StreamKind::Other(name) => name,
                        StreamKind::Id3 => "ID3 without a track".to_owned(),
                        StreamKind::Scte35 => "SCTE-35 without a track".to_owned(),
                        StreamKind::H264
                        | StreamKind::H265
                        | StreamKind::Adts
                        | StreamKind::Latm
                        | StreamKind::Opus { .. } => continue,
                    };
                    self.unsupported(stream.pid, name);
                }
            }
            Change::Warning(warning) => self.shared.warn(warning),
        }
    }

    fn read(&mut self, pmt: Pmt) {
        self.pcr_pid = pmt.pcr_pid;
        let mut before = std::mem::take(&mut self.streams_by_pid);
        for info in pmt.streams {
            let pid = info.pid;
            if let StreamKind::Other(name) = info.kind {
                self.unsupported(pid, name);
                continue;
            }
            if self.streams_by_pid.len() == MAX_TRACKS {
                self.unsupported(pid, format!("a stream beyond {MAX_TRACKS} of a program"));
                continue;
            }
            let same = before
                .get(&pid)
                .is_some_and(|old| old.info.kind == info.kind);
            let stream = match before.remove(&pid) {
                Some(mut old) if same => {
                    old.info = info;
                    Some(old)
                }
                Some(mut old) => {
                    old.finish(&mut self.shared);
                    Stream::new(info)
                }
                None => Stream::new(info),
            };
            if let Some(stream) = stream {
                self.streams_by_pid.insert(pid, stream);
            }
        }
        for mut old in before.into_values() {
            old.finish(&mut self.shared);
        }
        self.tell();
    }

    fn unsupported(&mut self, pid: Pid, name: String) {
        let told = (pid, name);
        // A PMT lists as many streams as it may; one that changes forever is told once.
        if self.unsupported.len() < 256 && !self.unsupported.contains(&told) {
            self.unsupported.push(told.clone());
            let (pid, name) = told;
            self.shared.items.push_back(Item::Unsupported { pid, name });
        }
    }

    /// Lists the tracks where they changed.
    fn tell(&mut self) {
        let tracks: Vec<Track> = self
            .streams_by_pid
            .values()
            .filter_map(|stream| {
                Some(Track {
                    pid: stream.info.pid,
                    codec: match stream.info.kind {
                        StreamKind::H264 => Codec::H264,
                        StreamKind::H265 => Codec::H265,
                        StreamKind::Adts | StreamKind::Latm => Codec::Aac,
                        StreamKind::Opus { .. } => Codec::Opus,
                        StreamKind::Id3 | StreamKind::Scte35 | StreamKind::Other(_) => return None,
                    },
                    language: stream.info.language.clone(),
                })
            })
            .collect();
        if self.tracks.as_ref() != Some(&tracks) {
            self.tracks = Some(tracks.clone());
            self.shared.items.push_back(Item::Tracks(tracks));
        }
    }
}
