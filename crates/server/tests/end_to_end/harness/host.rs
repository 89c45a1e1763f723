//! What depends on the rights that the tests have on this machine.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

/// Notes that a test cannot run here; the test command counts it as skipped and says why.
pub(crate) fn skip(test: &str, reason: &str) {
    eprintln!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("INVER_SKIPS") {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("the test command made the list of skipped tests");
        writeln!(file, "{test}: {reason}").expect("the list is writable");
    }
}

/// A network namespace joined to this one by a pair of virtual interfaces; removed when dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    /// Address of this side.
    pub(crate) here: String,
}

impl Namespace {
    /// Makes one whose way in both directions has netem's `conditions`, such as `delay 40ms`.
    ///
    /// Errors with what failed where this machine does not allow it.
    pub(crate) fn new(conditions: &str) -> Result<Self, String> {
        let number = std::process::id() % 250;
        let namespace = Self {
            name: format!("inver-{}", std::process::id()),
            here: format!("10.213.{number}.1"),
        };
        let name = &namespace.name;
        let (inside, outside) = (format!("iv{number}i"), format!("iv{number}o"));
        for line in [
            format!("ip netns add {name}"),
            format!("ip link add {outside} type veth peer name {inside} netns {name}"),
            format!("ip address add {}/24 dev {outside}", namespace.here),
            format!("ip link set {outside} up"),
            format!("ip -n {name} address add 10.213.{number}.2/24 dev {inside}"),
            format!("ip -n {name} link set {inside} up"),
            format!("ip -n {name} link set lo up"),
            format!("tc qdisc add dev {outside} root netem {conditions}"),
            format!("tc -n {name} qdisc add dev {inside} root netem {conditions}"),
        ] {
            run(&line)?;
        }
        Ok(namespace)
    }

    /// What to put before a program that is to run inside.
    pub(crate) fn enter(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The interfaces go with it. Where it was never made there is nothing to remove.
        let _ = run(&format!("ip netns delete {}", self.name));
    }
}

fn run(line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(words)
        // An ordinary user's PATH leaves out where these programs are.
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
