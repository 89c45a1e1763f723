//! Who may depend on whom: the floors of the project's map, held over `cargo metadata`.

use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata};

/// A package of the workspace and its direct dependencies.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

/// One direct dependency.
#[derive(Debug)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) kind: DependencyKind,
}

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On a floor; may depend on crates of lower ones only.
    Floor(u8),
    /// Beside the building; may depend on crates up to and including this floor.
    Beside(u8),
}

/// Floors in tens, so that a crate can stand between two of them.
const MAP: &[(&str, Place)] = &[
    ("inver-proto", Place::Floor(0)),
    ("inver-media", Place::Floor(0)),
    ("inver-protocols", Place::Floor(5)),
    ("inver-rtc", Place::Floor(10)),
    ("inver-sfu", Place::Floor(20)),
    ("inver-control", Place::Floor(30)),
    ("inver-shard", Place::Floor(40)),
    ("inver-outward", Place::Floor(40)),
    ("inver-service", Place::Floor(41)),
    ("inver-node", Place::Floor(42)),
    ("inver-http", Place::Floor(45)),
    ("inver-sockets", Place::Floor(45)),
    ("inver-inputs", Place::Floor(50)),
    ("inver-outputs", Place::Floor(50)),
    ("inver-signalling", Place::Floor(50)),
    ("inver-server", Place::Floor(60)),
    ("inver-bench", Place::Beside(10)),
    ("inver-sim", Place::Beside(0)),
    ("inver-xtask", Place::Beside(0)),
    ("inver-fuzz", Place::Beside(60)),
];

/// Highest floor whose crates are pure: no sockets, no tasks, no clocks.
const PURE: u8 = 30;

/// Crates that bring sockets, tasks or clocks with them.
const IMPURE: &[&str] = &[
    "async-io",
    "async-std",
    "hyper",
    "if-addrs",
    "mio",
    "quinn-udp",
    "reqwest",
    "smol",
    "socket2",
    "tokio",
    "tokio-stream",
];

/// What the `clippy.toml` of a pure crate has to disallow.
const CLOCKS: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::sleep",
];

fn place(name: &str) -> Option<Place> {
    MAP.iter()
        .find(|(known, _)| *known == name)
        .map(|(_, place)| *place)
}

fn is_pure(name: &str) -> bool {
    matches!(place(name), Some(Place::Floor(floor)) if floor <= PURE)
}

/// The packages of the workspace.
pub(super) fn crates(metadata: &Metadata) -> Vec<Package> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| Package {
            name: package.name.to_string(),
            dependencies: package
                .dependencies
                .iter()
                .map(|dependency| Dependency {
                    name: dependency.name.clone(),
                    kind: dependency.kind,
                })
                .collect(),
        })
        .collect()
}

/// Every dependency that the map forbids.
pub(super) fn broken(crates: &[Package]) -> Vec<String> {
    let mut broken = Vec::new();
    for package in crates {
        let name = &package.name;
        let Some(place) = place(name) else {
            broken.push(format!(
                "{name} is not on the map: give it a floor in xtask's tidy rules"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(reason) = forbidden(name, place, dependency) {
                broken.push(format!("{name} depends on {}: {reason}", dependency.name));
            }
        }
    }
    broken
}

fn forbidden(name: &str, own: Place, dependency: &Dependency) -> Option<String> {
    let target = dependency.name.as_str();
    if target == "str0m" && name != "inver-rtc" {
        return Some("only inver-rtc may name the WebRTC engine".to_owned());
    }
    if IMPURE.contains(&target) && is_pure(name) {
        return Some("floors 0 to 3 have no sockets, tasks or clocks".to_owned());
    }
    if !target.starts_with("inver-") {
        return None;
    }
    let Some(there) = place(target) else {
        return Some("it is not on the map".to_owned());
    };
    // The simulated network serves tests on every floor, and nothing else.
    if target == "inver-sim" {
        return (dependency.kind != DependencyKind::Development)
            .then(|| "the simulated network is for tests only".to_owned());
    }
    match (own, there) {
        (Place::Floor(own), Place::Floor(there)) if own == there && own == 50 => {
            Some("inputs, outputs and signalling do not know one another".to_owned())
        }
        (Place::Floor(own), Place::Floor(there)) => {
            (there >= own).then(|| "a crate imports only from floors below its own".to_owned())
        }
        // Their tests may run against the real thing.
        (Place::Beside(_), Place::Floor(_)) if dependency.kind == DependencyKind::Development => {
            None
        }
        (Place::Beside(highest), Place::Floor(there)) => (there > highest).then(|| {
            format!(
                "a crate beside the floors may go up to {}",
                f32::from(highest) / 10.0
            )
        }),
        // The program carries the load generator as a subcommand.
        (_, Place::Beside(_)) => (!(name == "inver-server" && target == "inver-bench"))
            .then(|| "nothing depends on a crate beside the floors".to_owned()),
    }
}

/// Pure crates that do not forbid themselves to read a clock.
pub(super) fn clocks(crates: &[Package], root: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    for package in crates.iter().filter(|package| is_pure(&package.name)) {
        let folder = package.name.trim_start_matches("inver-");
        let path = format!("crates/{folder}/clippy.toml");
        let text = fs::read_to_string(root.join(&path)).unwrap_or_default();
        for clock in CLOCKS.iter().filter(|clock| !text.contains(**clock)) {
            broken.push(format!(
                "{path} has to list {clock} among its disallowed-methods"
            ));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use cargo_metadata::DependencyKind;

    use super::{Dependency, Package, broken};

    fn package(name: &str, target: &str, kind: DependencyKind) -> Vec<Package> {
        let dependency = Dependency {
            name: target.to_owned(),
            kind,
        };
        vec![Package {
            name: name.to_owned(),
            dependencies: vec![dependency],
        }]
    }

    #[track_caller]
    fn refused(name: &str, target: &str) {
        let crates = package(name, target, DependencyKind::Normal);
        assert_eq!(
            broken(&crates).len(),
            1,
            "{name} must not depend on {target}"
        );
    }

    #[track_caller]
    fn allowed(name: &str, target: &str) {
        let crates = package(name, target, DependencyKind::Normal);
        assert_eq!(broken(&crates), Vec::<String>::new());
    }

    #[test]
    fn a_crate_imports_only_from_floors_below() {
        allowed("inver-sfu", "inver-rtc");
        allowed("inver-node", "inver-shard");
        refused("inver-shard", "inver-node");
        refused("inver-proto", "inver-media");
        refused("inver-control", "inver-node");
        refused("inver-inputs", "inver-outputs");
        refused("inver-signalling", "inver-inputs");
    }

    #[test]
    fn only_one_crate_names_the_engine() {
        allowed("inver-rtc", "str0m");
        refused("inver-shard", "str0m");
        refused("inver-bench", "str0m");
    }

    #[test]
    fn pure_floors_have_no_sockets_or_tasks() {
        refused("inver-control", "tokio");
        refused("inver-rtc", "socket2");
        allowed("inver-shard", "mio");
    }

    #[test]
    fn crates_beside_the_floors_serve_no_product_code() {
        allowed("inver-server", "inver-bench");
        refused("inver-node", "inver-bench");
        refused("inver-bench", "inver-shard");
        refused("inver-sfu", "inver-sim");
        let test_only = package("inver-sfu", "inver-sim", DependencyKind::Development);
        assert_eq!(broken(&test_only), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_crate_has_to_enter_the_map() {
        refused("inver-new", "serde");
        refused("inver-server", "inver-new");
    }
}
