//! Rules of the project that no compiler holds. A broken rule is one sentence that says where
//! and what would be right.

mod floors;
mod sources;

use anyhow::Result;

use crate::Workspace;

/// Checks every rule; returns the broken ones.
pub fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = floors(workspace);
    broken.extend(sources(workspace)?);
    Ok(broken)
}

/// The map: what each crate may depend on, and what pure crates must forbid themselves.
pub fn floors(workspace: &Workspace) -> Vec<String> {
    let crates = floors::crates(&workspace.metadata);
    let mut broken = floors::broken(&crates);
    broken.extend(floors::clocks(&crates, &workspace.root));
    broken
}

/// Files: sizes, forbidden words, how modules open, what a `lib.rs` holds.
pub fn sources(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (path, text) in sources::files(&workspace.root)? {
        broken.extend(sources::broken(&path, &text));
    }
    broken.extend(sources::targets_without_seeds(&workspace.root));
    Ok(broken)
}
