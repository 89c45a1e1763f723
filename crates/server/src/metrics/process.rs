//! What this process uses, as the kernel tells.

use std::fs;

/// Figures of the process; absent where the system does not tell.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Memory in RAM, in bytes.
    pub(super) resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub(super) open_fds: Option<usize>,
    /// Most file descriptors that it may open.
    pub(super) max_fds: Option<u64>,
    /// CPU time of all threads, in seconds.
    pub(super) cpu_seconds: Option<f64>,
    /// Threads.
    pub(super) threads: Option<u64>,
}

impl Process {
    /// Reads the figures now; costs some tens of microseconds.
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the program's name and may hold spaces.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = field(14).zip(field(15)).map(|(user, system)| user + system);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse::<u64>().ok());
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let max_fds = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Self {
            resident_bytes: kibibytes.map(|kibibytes| kibibytes * 1024),
            open_fds: fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            max_fds,
            cpu_seconds: ticks.map(|ticks| ticks as f64 / TICKS_PER_SECOND),
            threads: field(20),
        }
    }
}

/// Linux reports times to user space in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_figures() {
        let process = Process::read();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(process.open_fds.is_some_and(|fds| fds >= 3));
        assert!(process.max_fds.is_some());
        assert!(process.cpu_seconds.is_some());
        assert!(process.threads.is_some_and(|threads| threads >= 1));
    }
}
