//! Test tools from the language registries: pinned under `dev/`, installed under the target
//! folder, installed again only when their lock file changes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::Workspace;
use crate::debian::PYTHON;
use crate::process::expect_success;

/// Copy of the lock file that an installation was made from; written last, so a broken
/// installation is never taken for a whole one.
const STAMP: &str = "installed";

/// Fetches the crates of `Cargo.lock` that this machine builds.
pub(crate) fn fetch_crates(workspace: &Workspace) -> Result<()> {
    let version = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc does not start")?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    expect_success(
        Command::new("cargo")
            .args(["fetch", "--quiet", "--locked", "--target", host])
            .current_dir(&workspace.root),
    )
}

/// Installs what `dev/package-lock.json` and `dev/requirements.txt` name.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let dev = workspace.root.join("dev");
    let node = workspace.node_tools();
    unless_installed(&dev.join("package-lock.json"), &node, || {
        for name in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(dev.join(name), node.join(name)).with_context(|| format!("copying {name}"))?;
        }
        expect_success(
            Command::new("npm")
                .args(["ci", "--ignore-scripts"])
                .current_dir(&node),
        )
    })
    .context("the Node.js tools of dev/package.json")?;

    let requirements = dev.join("requirements.txt");
    let python = workspace.python_tools();
    unless_installed(&requirements, &python, || {
        expect_success(
            Command::new(PYTHON)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--no-deps",
                    "--require-hashes",
                ])
                .args(["--only-binary", ":all:", "--disable-pip-version-check"])
                .args(["--root-user-action", "ignore"])
                .arg("--target")
                .arg(&python)
                .arg("--requirement")
                .arg(&requirements),
        )
    })
    .context("the Python tools of dev/requirements.txt")
}

/// Runs `install` in a new `folder` unless it already holds what `lock` asks for.
fn unless_installed(
    lock: &Path,
    folder: &Path,
    install: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let wanted = fs::read(lock).with_context(|| format!("reading {}", lock.display()))?;
    let stamp = folder.join(STAMP);
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        println!("   {} is up to date", folder.display());
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    install()?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use anyhow::bail;

    use super::unless_installed;

    #[test]
    fn tools_are_installed_again_when_the_lock_changes_or_an_installation_broke() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lock = folder.path().join("lock");
        let tools = folder.path().join("tools");
        let runs = Cell::new(0);
        let install = || {
            runs.set(runs.get() + 1);
            Ok(())
        };
        fs::write(&lock, "one").expect("writable");
        unless_installed(&lock, &tools, || bail!("no network")).expect_err("passed on");
        unless_installed(&lock, &tools, install).expect("first installation");
        unless_installed(&lock, &tools, install).expect("nothing to do");
        assert_eq!(runs.get(), 1);
        fs::write(&lock, "two").expect("writable");
        fs::write(tools.join("stale"), "").expect("writable");
        unless_installed(&lock, &tools, install).expect("second installation");
        assert_eq!(runs.get(), 2);
        assert!(!tools.join("stale").exists());
    }
}
