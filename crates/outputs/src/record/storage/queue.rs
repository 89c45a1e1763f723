//! What is uploaded next, and when. No clock, no I/O: `now` is any clock that never goes back.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::super::manifest::{Place, Recording, RecordingState, StorageState};

/// How long is waited after a failure, at first and at most; each further one doubles it. More
/// leaves files on one disk for longer after an outage, less asks in vain more often.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::record) enum Work {
    /// A file has to be in the storage.
    File {
        /// The recording.
        id: String,
        /// The file.
        name: String,
    },
    /// All files are; the manifest completes the recording.
    Manifest {
        /// The recording.
        id: String,
    },
}

/// What a worker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::record) enum Next {
    /// This, and then [`Queue::done`], [`Queue::failed`] or [`Queue::set_aside`].
    Work(Work),
    /// Nothing before so much time.
    Wait(Duration),
    /// Nothing until a file is finished.
    Idle,
}

/// The order of uploads. Work on one recording is done by one worker at a time.
#[derive(Debug, Default)]
pub(in crate::record) struct Queue {
    busy: HashSet<String>,
    /// What is being deleted.
    held: HashSet<String>,
    /// What cannot be uploaded until the server starts again.
    aside: HashSet<String>,
    failures: HashMap<String, u32>,
    /// Failures since something succeeded.
    in_a_row: u32,
    resumes: Duration,
}

impl Queue {
    /// What comes next; `drop`: files go from the disk once they are in the storage.
    pub(in crate::record) fn next<'a>(
        &mut self,
        now: Duration,
        recordings: impl Iterator<Item = &'a Recording>,
        drop: bool,
    ) -> Next {
        if now < self.resumes {
            return Next::Wait(self.resumes - now);
        }
        let free = recordings.filter(|recording| {
            let lists = [&self.busy, &self.held, &self.aside];
            !lists.iter().any(|list| list.contains(&recording.id))
        });
        let waiting = free.filter_map(|recording| Some((recording, work(recording, drop)?)));
        // What fails lets others go first.
        let first = waiting.min_by_key(|(recording, _)| {
            let failures = self.failures.get(&recording.id).copied();
            (failures, recording.started_at, recording.id.clone())
        });
        match first {
            Some((recording, work)) => {
                self.busy.insert(recording.id.clone());
                Next::Work(work)
            }
            None => Next::Idle,
        }
    }

    /// It is where it belongs.
    pub(super) fn done(&mut self, id: &str) {
        self.busy.remove(id);
        self.failures.remove(id);
        self.in_a_row = 0;
    }

    /// The storage refused, or could not be reached: everything waits, each time longer.
    pub(super) fn failed(&mut self, id: &str, now: Duration) {
        self.busy.remove(id);
        *self.failures.entry(id.to_owned()).or_default() += 1;
        if now < self.resumes {
            // Another worker's failure of the same moment.
            return;
        }
        let wait = FIRST.saturating_mul(1 << self.in_a_row.min(16));
        self.resumes = now + wait.min(LONGEST);
        self.in_a_row += 1;
    }

    /// It cannot be uploaded: the fault is on this side.
    pub(in crate::record) fn set_aside(&mut self, id: &str) {
        self.busy.remove(id);
        self.aside.insert(id.to_owned());
    }

    /// It was stopped.
    pub(super) fn stopped(&mut self, id: &str) {
        self.busy.remove(id);
    }

    /// It is to be deleted: no work on it begins. `false`: it is being deleted already.
    pub(super) fn hold(&mut self, id: &str) -> bool {
        self.held.insert(id.to_owned())
    }

    /// It was not deleted after all, or is gone.
    pub(super) fn release(&mut self, id: &str) {
        self.held.remove(id);
    }

    /// Whether it is to be deleted.
    pub(super) fn is_held(&self, id: &str) -> bool {
        self.held.contains(id)
    }

    /// Whether there is work on it.
    pub(super) fn is_busy(&self, id: &str) -> bool {
        self.busy.contains(id)
    }
}

/// What a recording needs.
fn work(recording: &Recording, drop: bool) -> Option<Work> {
    let storage = recording.storage.as_ref()?;
    let mut files = recording.files.iter().filter(|file| file.finished);
    let file = files.find(|file| match file.place {
        Place::Disk => true,
        Place::Both => drop,
        Place::Storage => false,
    });
    let id = recording.id.clone();
    if let Some(file) = file {
        let name = file.name.clone();
        return Some(Work::File { id, name });
    }
    let complete = storage.state == StorageState::Complete;
    (recording.state == RecordingState::Finished && !complete).then_some(Work::Manifest { id })
}
