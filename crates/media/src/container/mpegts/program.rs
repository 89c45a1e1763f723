//! Which program of the multiplex is read: the one that was asked for, else the first with a
//! stream that can be played.

use std::collections::BTreeMap;

use super::packet::Packet;
use super::psi::{Pat, Pmt, Sections, whole};
use super::{Pid, Warning};

/// Programs that are looked at. A full transponder has some twenty.
const MAX_PROGRAMS: usize = 64;

/// What the tables say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Read this program, or the same with other streams.
    Read(Pmt),
    /// The program that was read is gone.
    Gone,
    /// This program is not read.
    Skipped(u16),
    /// No program can be read; the streams of this one tell why.
    Unplayable(Pmt),
    Warning(Warning),
}

/// Keeps the tables.
#[derive(Debug, Default)]
pub(super) struct Programs {
    wanted: Option<u16>,
    pat: Sections,
    pat_version: Option<u8>,
    /// What each section of the table lists.
    listed_by_section: BTreeMap<u8, Vec<(u16, Pid)>>,
    programs: Vec<Program>,
    pmts_by_pid: BTreeMap<Pid, Sections>,
    selected: Option<u16>,
    hopeless: bool,
}

#[derive(Debug)]
struct Program {
    number: u16,
    pid: Pid,
    section: Vec<u8>,
    pmt: Option<Pmt>,
    /// The table came twice, so that whatever else there is should have come once.
    again: bool,
    skipped: bool,
}

impl Programs {
    pub(super) fn new(wanted: Option<u16>) -> Self {
        Self {
            wanted,
            ..Self::default()
        }
    }

    /// Whether tables come at `pid`.
    pub(super) fn listens(&self, pid: Pid) -> bool {
        pid == Pid(0) || self.pmts_by_pid.contains_key(&pid)
    }

    /// Takes a packet of a PID with tables.
    pub(super) fn packet(&mut self, packet: &Packet<'_>, mut out: impl FnMut(Change)) {
        let Some(payload) = packet.payload else {
            return;
        };
        let sections = if packet.pid == Pid(0) {
            &mut self.pat
        } else if let Some(sections) = self.pmts_by_pid.get_mut(&packet.pid) {
            sections
        } else {
            return;
        };
        let mut found = Vec::new();
        sections.push(packet.start, payload, |section| {
            found.push(section.to_vec())
        });
        for section in found {
            if !whole(&section) {
                out(Change::Warning(Warning::DamagedTable(packet.pid)));
            } else if packet.pid == Pid(0) {
                self.pat(&section, &mut out);
            } else {
                self.pmt(section, &mut out);
            }
        }
    }

    fn pat(&mut self, section: &[u8], out: &mut impl FnMut(Change)) {
        let Some(pat) = Pat::parse(section) else {
            return;
        };
        if self.pat_version.replace(pat.version) != Some(pat.version) {
            self.listed_by_section.clear();
        } else if self.listed_by_section.get(&pat.number) == Some(&pat.programs) {
            return;
        }
        self.listed_by_section.insert(pat.number, pat.programs);
        let mut before = std::mem::take(&mut self.programs);
        let listed = self.listed_by_section.values().flatten();
        for &(number, pid) in listed.take(MAX_PROGRAMS) {
            let known = before
                .iter()
                .position(|program| (program.number, program.pid) == (number, pid));
            self.programs.push(match known {
                Some(at) => before.swap_remove(at),
                None => Program {
                    number,
                    pid,
                    section: Vec::new(),
                    pmt: None,
                    again: false,
                    skipped: false,
                },
            });
        }
        let programs = &self.programs;
        self.pmts_by_pid
            .retain(|pid, _| programs.iter().any(|program| program.pid == *pid));
        for program in programs {
            self.pmts_by_pid.entry(program.pid).or_default();
        }
        self.hopeless = false;
        if let Some(wanted) = self.wanted
            && !programs.iter().any(|program| program.number == wanted)
        {
            out(Change::Warning(Warning::NoSuchProgram {
                wanted,
                available: programs.iter().map(|program| program.number).collect(),
            }));
        }
        if let Some(selected) = self.selected
            && !programs.iter().any(|program| program.number == selected)
        {
            self.selected = None;
            out(Change::Gone);
        }
        self.select(out);
    }

    fn pmt(&mut self, section: Vec<u8>, out: &mut impl FnMut(Change)) {
        let Some(pmt) = Pmt::parse(&section) else {
            return;
        };
        let known = self
            .programs
            .iter_mut()
            .find(|program| program.number == pmt.program);
        let Some(program) = known else {
            return;
        };
        if program.section == section {
            if self.selected.is_none() && !std::mem::replace(&mut program.again, true) {
                self.select(out);
            }
            return;
        }
        program.section = section;
        program.pmt = Some(pmt.clone());
        if self.selected == Some(pmt.program) {
            out(Change::Read(pmt));
        } else {
            self.select(out);
        }
    }

    fn select(&mut self, out: &mut impl FnMut(Change)) {
        if self.selected.is_none()
            && let Some(pmt) = self.candidate()
        {
            self.selected = Some(pmt.program);
            out(Change::Read(pmt));
        }
        if let Some(selected) = self.selected {
            for program in &mut self.programs {
                if program.number != selected && !std::mem::replace(&mut program.skipped, true) {
                    out(Change::Skipped(program.number));
                }
            }
            return;
        }
        let all = self.programs.iter().all(|program| program.pmt.is_some());
        if all
            && self.wanted.is_none()
            && let Some(pmt) = self.programs.first().and_then(|first| first.pmt.clone())
            && !std::mem::replace(&mut self.hopeless, true)
        {
            out(Change::Warning(Warning::NothingPlayable));
            out(Change::Unplayable(pmt));
        }
    }

    fn candidate(&self) -> Option<Pmt> {
        if let Some(wanted) = self.wanted {
            let program = self.programs.iter().find(|one| one.number == wanted)?;
            return program.pmt.clone();
        }
        let waited = self.programs.iter().any(|program| program.again);
        for program in &self.programs {
            match &program.pmt {
                Some(pmt) if pmt.playable() => return Some(pmt.clone()),
                None if !waited => return None,
                Some(_) | None => {}
            }
        }
        None
    }
}
