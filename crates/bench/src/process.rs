//! CPU time and memory of a process, from `/proc`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// CPU time of one thread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Thread {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// Seconds, user and system.
    pub(crate) cpu_seconds: f64,
}

/// A process at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// Seconds, user and system, threads that have ended included.
    pub(crate) cpu_seconds: f64,
    /// Resident memory in KiB.
    pub(crate) memory_kib: u64,
    /// Threads that run.
    pub(crate) threads: Vec<Thread>,
}

impl Usage {
    /// What was used since `before`; memory is as it is now.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut threads: Vec<Thread> = self
            .threads
            .iter()
            .map(|thread| {
                let earlier = before
                    .threads
                    .iter()
                    .find(|known| known.id == thread.id)
                    .map_or(0.0, |known| known.cpu_seconds);
                Thread {
                    cpu_seconds: (thread.cpu_seconds - earlier).max(0.0),
                    ..thread.clone()
                }
            })
            .collect();
        threads.sort_by(|a, b| b.cpu_seconds.total_cmp(&a.cpu_seconds));
        Self {
            cpu_seconds: (self.cpu_seconds - before.cpu_seconds).max(0.0),
            memory_kib: self.memory_kib,
            threads,
        }
    }
}

/// A process that is watched.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    folder: PathBuf,
    ticks_per_second: f64,
}

impl Process {
    /// A process by its id.
    ///
    /// # Errors
    ///
    /// There is no such process, or it belongs to somebody else.
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
            .ok()
            .flatten()
            .unwrap_or(100);
        let process = Self {
            folder: PathBuf::from(format!("/proc/{pid}")),
            ticks_per_second: ticks as f64,
        };
        process.usage()?;
        Ok(process)
    }

    /// CPU time and memory so far.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let (_, ticks) = stat(&self.folder)?;
        let mut threads = Vec::new();
        for entry in fs::read_dir(self.folder.join("task"))? {
            let path = entry?.path();
            let id = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            // Threads come and go while the folder is read.
            if let (Some(id), Ok((name, ticks))) = (id, stat(&path)) {
                let cpu_seconds =
                    scheduled(&path).unwrap_or_else(|| ticks as f64 / self.ticks_per_second);
                threads.push(Thread {
                    id,
                    name,
                    cpu_seconds,
                });
            }
        }
        Ok(Usage {
            cpu_seconds: ticks as f64 / self.ticks_per_second,
            memory_kib: memory(&fs::read_to_string(self.folder.join("status"))?),
            threads,
        })
    }
}

/// Nanoseconds that the scheduler counted for a thread, in seconds; exact where the kernel keeps
/// them.
fn scheduled(thread: &Path) -> Option<f64> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    let nanos: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanos / 1e9)
}

fn stat(folder: &Path) -> io::Result<(String, u64)> {
    parse_stat(&fs::read_to_string(folder.join("stat"))?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a stat file in no known form"))
}

/// Name and clock ticks (`utime` and `stime`) of a `stat` file; the name may hold anything.
fn parse_stat(text: &str) -> Option<(String, u64)> {
    let (_, rest) = text.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name.to_owned(), user + system))
}

fn memory(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Datagrams that found no room in a socket's buffer, on the whole machine.
pub(crate) fn buffer_errors() -> u64 {
    ["/proc/net/snmp", "/proc/net/snmp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| parse_buffer_errors(&text))
        .sum()
}

fn parse_buffer_errors(text: &str) -> u64 {
    let mut udp = text.lines().filter(|line| line.starts_with("Udp:"));
    if let (Some(names), Some(values)) = (udp.next(), udp.next()) {
        return names
            .split_whitespace()
            .zip(values.split_whitespace())
            .find(|(name, _)| *name == "RcvbufErrors")
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0);
    }
    text.lines()
        .find_map(|line| line.strip_prefix("Udp6RcvbufErrors"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_wild_name_is_read() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(parse_stat(line), Some(("a) b (c".to_owned(), 300)));
        assert_eq!(parse_stat("42 (x) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_own_process_uses_time_and_memory() {
        let process = Process::open(std::process::id()).expect("it runs");
        let before = process.usage().expect("it runs");
        assert!(before.memory_kib > 100);
        let mut x = 1_u64;
        let since = std::time::Instant::now();
        while since.elapsed().as_millis() < 100 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        let used = process.usage().expect("it runs").since(&before);
        assert!(!used.threads.is_empty());
        let first = &used.threads[0];
        assert!(first.cpu_seconds > 0.01, "{used:?}");
    }

    #[test]
    fn no_process_is_an_error() {
        assert!(Process::open(u32::MAX).is_err());
    }

    #[test]
    fn drops_are_found_by_name() {
        let text = "Tcp: a b\nTcp: 1 2\nUdp: InDatagrams RcvbufErrors InCsumErrors\nUdp: 7 5 1\n";
        assert_eq!(parse_buffer_errors(text), 5);
        assert_eq!(parse_buffer_errors("Udp6RcvbufErrors        \t9\n"), 9);
        assert_eq!(parse_buffer_errors(""), 0);
    }
}
