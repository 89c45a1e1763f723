//! Rules over the text of the project's own files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Lines after which a source file has to be split; well above what a file should have.
const LONGEST: usize = 800;

/// What the rules look into at the top of the project.
const ROOTS: &[&str] = &[".ci", "crates", "dev", "docs", "fuzz", "web"];

/// Folders that hold what tools made.
const MADE: &[&str] = &[
    "artifacts",
    "corpus",
    "node_modules",
    "seeds",
    "target",
    "vendor",
];

/// Endings of files that people write.
const WRITTEN: &[&str] = &[
    "css", "html", "js", "json", "md", "mjs", "py", "rs", "sh", "toml", "txt", "yml",
];

/// Words that must not be committed, cut in two so that this file does not hold them, and what
/// to do instead.
const WORDS: &[(&str, &str, &str)] = &[
    ("to", "do!", "write the code"),
    ("unim", "plemented!", "write the code"),
    ("TO", "DO", "do it, or leave it out"),
    ("FIX", "ME", "fix it"),
    ("XX", "X:", "say what is meant"),
    ("#[ign", "ore", "make the test run, or remove it"),
    ("for ", "now", "say what holds, or make it final"),
    ("registry.", "npmjs", "name no registry host"),
    ("files.", "pythonhosted", "name no registry host"),
    ("pypi", ".org", "name no registry host"),
    ("static.", "crates.io", "name no registry host"),
    ("index.", "crates.io", "name no registry host"),
];

/// Paths of one machine, likewise; they count where a path begins.
const PATHS: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/")];

/// Every file that people write, with its path from `root` and its text.
pub(super) fn files(root: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for folder in ROOTS
        .iter()
        .map(|name| root.join(name))
        .filter(|folder| folder.is_dir())
    {
        walk(&folder, &mut found)?;
    }
    for entry in read(root)? {
        if entry.is_file() && is_written(&entry) {
            found.push(entry);
        }
    }
    found.sort();
    let mut files = Vec::new();
    for path in found {
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        files.push((name, String::from_utf8_lossy(&text).into_owned()));
    }
    Ok(files)
}

fn read(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .with_context(|| format!("reading {}", folder.display()))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for path in read(folder)? {
        let made = path
            .file_name()
            .is_some_and(|name| MADE.iter().any(|made| name == *made));
        if path.is_dir() && !made {
            walk(&path, found)?;
        } else if path.is_file() && is_written(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_written(path: &Path) -> bool {
    // Files without an ending are scripts.
    path.extension()
        .is_none_or(|found| WRITTEN.iter().any(|known| found == *known))
}

/// The rules that one file breaks.
pub(super) fn broken(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for rule in line_rules(line) {
            broken.push(format!("{path}:{}: {rule}", number + 1));
        }
    }
    let source = [".rs", ".js", ".mjs"]
        .iter()
        .any(|ending| path.ends_with(ending));
    let lines = text.lines().count();
    if source && lines > LONGEST {
        broken.push(format!(
            "{path}: {lines} lines; split it, {LONGEST} is the most"
        ));
    }
    if path.ends_with(".rs") {
        broken.extend(rust_rules(path, text));
    }
    broken
}

fn line_rules(line: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for (head, tail, instead) in WORDS {
        let word = format!("{head}{tail}");
        let whole = |at: usize| !line[at + word.len()..].starts_with(char::is_alphabetic);
        if line.match_indices(&word).any(|(at, _)| whole(at)) {
            rules.push(format!("has \"{word}\": {instead}"));
        }
    }
    for (head, tail) in PATHS {
        let path = format!("{head}{tail}");
        let begins = |at: usize| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "._-/}".contains(c))
        };
        if line.match_indices(&path).any(|(at, _)| begins(at)) {
            rules.push(format!("names a path of one machine, {path}: name none"));
        }
    }
    rules
}

fn rust_rules(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if !text.starts_with("//!") {
        broken.push(format!(
            "{path}: has to open with `//!`: what the module owns and never does"
        ));
    }
    if path.ends_with("/lib.rs") {
        let logic = text.lines().position(|line| {
            let line = line.trim_start();
            !line.starts_with("//") && (line.starts_with("fn ") || line.contains(" fn "))
        });
        if let Some(at) = logic {
            broken.push(format!(
                "{path}:{}: a lib.rs is a table of contents, no code",
                at + 1
            ));
        }
    }
    broken
}

/// Fuzz targets that have no committed seed.
pub(super) fn targets_without_seeds(root: &Path) -> Vec<String> {
    let Ok(targets) = read(&root.join("fuzz/fuzz_targets")) else {
        return Vec::new();
    };
    let mut broken = Vec::new();
    for name in targets.iter().filter_map(|path| path.file_stem()) {
        let seeds = root.join("fuzz/seeds").join(name);
        if !read(&seeds).is_ok_and(|seeds| !seeds.is_empty()) {
            let name = name.to_string_lossy();
            broken.push(format!(
                "fuzz/seeds/{name} has to hold seeds of the fuzz target {name}"
            ));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, PATHS, WORDS, broken};

    #[test]
    fn every_forbidden_word_is_found() {
        for (head, tail, _) in WORDS {
            let text = format!("//! A module.\n// {head}{tail} x\n");
            assert_eq!(broken("crates/a/src/b.rs", &text).len(), 1, "{head}{tail}");
        }
        let longer = format!("//! A module, {}{}here.\n", "for ", "now");
        assert!(broken("crates/a/src/b.rs", &longer).is_empty());
    }

    #[test]
    fn paths_of_a_machine_are_found_and_other_paths_are_not() {
        for (head, tail) in PATHS {
            assert_eq!(
                broken("docs/a.md", &format!("run `{head}{tail}x`\n")).len(),
                1
            );
            assert!(broken("docs/a.md", &format!("open web{head}{tail}x\n")).is_empty());
        }
    }

    #[test]
    fn sources_have_a_greatest_length() {
        let line = "// x\n";
        let longest = format!("//! x\n{}", line.repeat(LONGEST - 1));
        assert!(broken("crates/a/src/b.rs", &longest).is_empty());
        assert_eq!(
            broken("crates/a/src/b.rs", &format!("{longest}{line}")).len(),
            1
        );
        assert!(broken("docs/a.md", &line.repeat(LONGEST + 1)).is_empty());
    }

    #[test]
    fn modules_say_what_they_are_and_a_lib_rs_holds_no_code() {
        assert_eq!(broken("crates/a/src/b.rs", "fn f() {}\n").len(), 1);
        assert_eq!(
            broken("crates/a/src/lib.rs", "//! A.\npub const fn f() {}\n").len(),
            1
        );
        assert!(broken("crates/a/src/lib.rs", "//! A fn.\nmod b;\npub use b::C;\n").is_empty());
    }
}
