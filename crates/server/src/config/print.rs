//! The effective configuration as TOML, each key with its origin, secrets hidden.

use std::fmt::Write as _;

use super::load::Loaded;
use super::problem::Place;
use super::schema::SECTIONS;

/// The whole configuration; keys that are not set and have no default are left out.
pub fn effective(loaded: &Loaded) -> String {
    let mut out = String::new();
    let table = toml::Table::try_from(&loaded.config).unwrap_or_default();
    for (section, keys) in SECTIONS.iter() {
        let Some(toml::Value::Table(values)) = table.get(*section) else {
            continue;
        };
        if values.is_empty() {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "[{section}]");
        for key in *keys {
            let Some(value) = values.get(*key) else {
                continue;
            };
            let origin = match loaded.origin(section, key) {
                Place::Default => String::new(),
                place => format!(" # {place}"),
            };
            let _ = writeln!(out, "{key} = {value}{origin}");
        }
        out.push('\n');
    }
    out
}
