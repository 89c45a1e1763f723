//! Where the project and its build products lie.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand};

/// The checkout, as cargo sees it.
#[derive(Debug)]
pub struct Workspace {
    /// Folder of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Folder of the test tools, below cargo's target folder.
    pub tools: PathBuf,
    /// The packages and their direct dependencies.
    pub metadata: Metadata,
}

impl Workspace {
    /// Asks cargo about the workspace that this program belongs to. Needs no network.
    pub fn find() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .no_deps()
            .exec()
            .context("cargo metadata failed")?;
        Ok(Self {
            root: metadata.workspace_root.clone().into(),
            tools: metadata.target_directory.join("tools").into(),
            metadata,
        })
    }

    /// Where the packages of `dev/package-lock.json` are installed.
    pub fn node_tools(&self) -> PathBuf {
        self.tools.join("node")
    }

    /// Where the wheels of `dev/requirements.txt` are installed.
    pub fn python_tools(&self) -> PathBuf {
        self.tools.join("python")
    }

    /// Where tests note what they could not run here, one `name: reason` a line.
    pub fn skips(&self) -> PathBuf {
        self.tools.join("skips.txt")
    }
}
