//! The index of recordings, and what of it has to go.

use std::collections::BTreeMap;
use std::time::Duration;

use inver_proto::{RoomId, Timestamp};

use super::manifest::{Recording, RecordingState};

/// All recordings by name. Names begin with the room's and go on with the time.
#[derive(Debug, Default)]
pub(super) struct Library {
    recordings: BTreeMap<String, Recording>,
}

impl Library {
    pub(super) fn new(found: Vec<Recording>) -> Self {
        let each = found.into_iter();
        let recordings = each.map(|recording| (recording.id.clone(), recording));
        Self {
            recordings: recordings.collect(),
        }
    }

    pub(super) fn insert(&mut self, recording: Recording) {
        self.recordings.insert(recording.id.clone(), recording);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.recordings.remove(id);
    }

    pub(super) fn get(&self, id: &str) -> Option<&Recording> {
        self.recordings.get(id)
    }

    /// Changes a recording; gives what it became.
    pub(super) fn change(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Recording),
    ) -> Option<Recording> {
        let recording = self.recordings.get_mut(id)?;
        change(recording);
        recording.sum_up();
        Some(recording.clone())
    }

    /// All, the latest first.
    pub(super) fn all(&self) -> Vec<Recording> {
        let mut all: Vec<Recording> = self.recordings.values().cloned().collect();
        all.sort_by(|a, b| (b.started_at, &b.id).cmp(&(a.started_at, &a.id)));
        all
    }

    /// Looks at all, in no order that means anything.
    pub(super) fn each(&self) -> impl Iterator<Item = &Recording> {
        self.recordings.values()
    }

    /// Whether nothing has this name yet.
    pub(super) fn is_free(&self, id: &str) -> bool {
        !self.recordings.contains_key(id)
    }

    /// The finished ones that have to go, the oldest first: what ended `max_age` ago, and what is
    /// more than `max_bytes` altogether. Zero is no limit.
    pub(super) fn surplus(&self, now: Timestamp, max_age: Duration, max_bytes: u64) -> Vec<String> {
        let mut total: u64 = self.recordings.values().map(|each| each.size_bytes).sum();
        let mut oldest = self.all();
        oldest.reverse();
        let finished = oldest
            .into_iter()
            .filter(|recording| recording.state == RecordingState::Finished);
        let mut surplus = Vec::new();
        for recording in finished {
            let ended = recording.ended_at.unwrap_or(recording.started_at);
            let old = !max_age.is_zero() && ended.plus(max_age) <= now;
            let many = max_bytes > 0 && total > max_bytes;
            if old || many {
                total -= recording.size_bytes;
                surplus.push(recording.id);
            }
        }
        surplus
    }
}

/// The name of a recording of `room` that began at `at`: the room, then the second as digits.
pub(super) fn name(room: &RoomId, at: Timestamp) -> String {
    let digits = at.to_string();
    let digits: String = digits
        .chars()
        .take_while(|c| *c != '.' && *c != 'Z')
        .filter(|c| c.is_ascii_digit() || *c == 'T')
        .collect();
    format!("{room}-{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(id: &str, started: u64, bytes: u64, state: RecordingState) -> Recording {
        Recording {
            id: id.to_owned(),
            room: "room".parse().expect("a name"),
            state,
            started_at: Timestamp(started),
            ended_at: (state == RecordingState::Finished).then_some(Timestamp(started + 1_000)),
            duration_ms: 0,
            size_bytes: bytes,
            participants: Vec::new(),
            warnings: Vec::new(),
            files: Vec::new(),
            storage: None,
            preview: None,
        }
    }

    #[test]
    fn the_oldest_go_first_and_what_runs_stays() {
        let library = Library::new(vec![
            recording("b", 20_000, 10, RecordingState::Finished),
            recording("a", 10_000, 10, RecordingState::Finished),
            recording("running", 0, 100, RecordingState::Recording),
        ]);
        let day = Duration::from_secs(86_400);
        let none: [&str; 0] = [];
        assert_eq!(library.surplus(Timestamp(30_000), day, 120), none);
        assert_eq!(library.surplus(Timestamp(30_000), day, 119), ["a"]);
        assert_eq!(library.surplus(Timestamp(30_000), day, 1), ["a", "b"]);
        assert_eq!(library.surplus(Timestamp(30_000), Duration::ZERO, 0), none);
        let ten = Duration::from_secs(10);
        assert_eq!(library.surplus(Timestamp(21_000), ten, 0), ["a"]);
    }

    #[test]
    fn names_tell_room_and_time() {
        let room: RoomId = "stage-1".parse().expect("a name");
        let at = Timestamp(1_769_860_800_250);
        assert_eq!(name(&room, at), "stage-1-20260131T120000");
    }
}
