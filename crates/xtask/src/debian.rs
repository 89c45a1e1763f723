//! The Debian packages that the tests need: found by what they are for, installed when allowed.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{expect_success, succeeds};

/// Debian's own interpreter: another one first on `PATH` cannot import Debian's modules.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// How to tell that a package's service is there, whoever installed it.
enum Probe {
    /// A program on `PATH` or in the system's folders.
    Program(&'static str),
    /// Node.js of at least this major version.
    Node(u32),
    /// A module that Debian's interpreter can import.
    Module(&'static str),
    /// A namespace of GObject introspection, with its version.
    Namespace(&'static str),
    /// A GStreamer element.
    Element(&'static str),
}

const PACKAGES: &[(&str, Probe)] = &[
    ("chromium", Probe::Program("chromium")),
    ("nodejs", Probe::Node(18)),
    ("npm", Probe::Program("npm")),
    ("python3", Probe::Program(PYTHON)),
    ("python3-pip", Probe::Module("pip")),
    ("python3-gi", Probe::Module("gi")),
    ("gir1.2-gstreamer-1.0", Probe::Namespace("Gst")),
    ("gir1.2-gst-plugins-base-1.0", Probe::Namespace("GstSdp")),
    ("gir1.2-gst-plugins-bad-1.0", Probe::Namespace("GstWebRTC")),
    ("gstreamer1.0-plugins-base", Probe::Element("opusenc")),
    ("gstreamer1.0-plugins-good", Probe::Element("vp8enc")),
    ("gstreamer1.0-plugins-bad", Probe::Element("webrtcbin")),
    ("gstreamer1.0-plugins-ugly", Probe::Element("x264enc")),
    ("gstreamer1.0-nice", Probe::Element("nicesrc")),
    ("gstreamer1.0-rtsp", Probe::Element("rtspclientsink")),
    (
        "gir1.2-gst-rtsp-server-1.0",
        Probe::Namespace("GstRtspServer"),
    ),
    ("iproute2", Probe::Program("tc")),
];

impl Probe {
    fn found(&self) -> bool {
        match self {
            Self::Program(name) => has_program(name),
            Self::Node(least) => node_version().is_some_and(|version| version >= *least),
            Self::Module(name) => python(&format!("import {name}")),
            Self::Namespace(name) => {
                python(&format!("import gi; gi.require_version('{name}', '1.0')"))
            }
            Self::Element(name) => python(&format!(
                "import gi, sys; gi.require_version('Gst', '1.0')\n\
                 from gi.repository import Gst; Gst.init(None)\n\
                 sys.exit(Gst.ElementFactory.find('{name}') is None)"
            )),
        }
    }
}

/// Installs every package whose service is missing.
///
/// Errors with the names of the packages where neither root nor passwordless sudo is at hand, or
/// where they are still missing after the installation.
pub(crate) fn install_missing() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("   every Debian package is there");
        return Ok(());
    }
    let names = missing.join(" ");
    let Some(apt) = privileged_apt() else {
        bail!(
            "missing: {names}. Neither root nor `sudo -n` with apt-get is available here; \
             install them with `sudo apt-get install --no-install-recommends {names}`"
        );
    };
    println!("   installing {names}");
    expect_success(apt().arg("update"))?;
    expect_success(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing),
    )?;
    let still = self::missing();
    if !still.is_empty() {
        bail!("installed, but still not usable: {}", still.join(" "));
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    PACKAGES
        .iter()
        .filter(|(_, probe)| !probe.found())
        .map(|(name, _)| *name)
        .collect()
}

/// How to call apt-get with the right to install, if there is a way.
fn privileged_apt() -> Option<impl Fn() -> Command> {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    if !has_program("apt-get") || !(root || succeeds(Command::new("sudo").args(["-n", "true"]))) {
        return None;
    }
    Some(move || {
        let mut command = if root {
            Command::new("env")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "env"]);
            sudo
        };
        // Another installation may hold the lock for a while: a fresh machine updates itself.
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
        command.args(["--option", "DPkg::Lock::Timeout=300"]);
        command
    })
}

/// Whether a program of this name can be started: an absolute path, on `PATH`, or in the folders
/// for administration that an ordinary user's `PATH` leaves out.
pub(crate) fn has_program(name: &str) -> bool {
    if Path::new(name).is_absolute() {
        return Path::new(name).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(name).is_file())
}

fn node_version() -> Option<u32> {
    let output = Command::new("node").arg("--version").output().ok()?;
    parse_node_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_node_version(text: &str) -> Option<u32> {
    text.trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn python(code: &str) -> bool {
    succeeds(Command::new(PYTHON).args(["-c", code]))
}

#[cfg(test)]
mod tests {
    use super::parse_node_version;

    #[test]
    fn node_versions_are_read_by_their_major_number() {
        assert_eq!(parse_node_version("v18.20.4\n"), Some(18));
        assert_eq!(parse_node_version("v22.1.0-nightly"), Some(22));
        assert_eq!(parse_node_version("node: not found"), None);
    }
}
