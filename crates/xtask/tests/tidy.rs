//! The project keeps its own rules.

use inver_xtask::{Workspace, tidy};

#[track_caller]
fn assert_none(broken: Vec<String>) {
    assert!(broken.is_empty(), "broken rules:\n{}", broken.join("\n"));
}

#[test]
fn crates_depend_only_on_the_floors_below_them() {
    let workspace = Workspace::find().expect("cargo knows this workspace");
    assert_none(tidy::floors(&workspace));
}

#[test]
fn sources_keep_their_size_their_words_and_their_opening_lines() {
    let workspace = Workspace::find().expect("cargo knows this workspace");
    assert_none(tidy::sources(&workspace).expect("the sources are readable"));
}
