//! Joins defaults, file, environment and flags, in this order of growing precedence.
//!
//! Every value is checked alone first, so that one run reports everything that is wrong, each with
//! the place where it was written. Rules between several keys are in [`super::check`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems};
use super::schema::{Config, SECTIONS, keys_of};

/// Prefix of all environment variables that are ours.
const PREFIX: &str = "INVER_";

/// File that is read from the working directory where no other is named.
const DEFAULT_FILE: &str = "inver.toml";

/// Longest configuration file; a real one has a few kilobytes.
const FILE_LIMIT: u64 = 1 << 20;

/// Where a value came from; [`Place::Default`] where nothing set it.
pub type Origin = Place;

/// A key set on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// Section of the key.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// The flag with its dashes.
    pub name: &'static str,
    /// Its texts, several where it may be repeated.
    pub values: Vec<String>,
}

/// Everything that the configuration is made from.
#[derive(Debug, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment; other variables than `INVER_...` are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Keys set by flags.
    pub flags: Vec<Flag>,
}

/// A configuration that is right, with the origin of what was set.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where each key that is not at its default was set.
    pub origins: BTreeMap<(String, String), Origin>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// Where a key was set.
    pub fn origin(&self, section: &str, key: &str) -> Origin {
        self.origins
            .get(&(section.to_owned(), key.to_owned()))
            .cloned()
            .unwrap_or(Place::Default)
    }
}

/// Reads all layers.
///
/// # Errors
/// All problems at once: unknown keys, values that do not parse, keys that contradict each other.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut layers = Layers::default();
    let (file, variables) = layers.environment(&sources.environment, sources.file.as_deref());
    let file = file.or_else(|| {
        let default = PathBuf::from(DEFAULT_FILE);
        default.is_file().then_some(default)
    });
    if let Some(path) = &file {
        layers.file(path);
    }
    for (name, section, key, text) in variables {
        let texts = [text];
        layers.texts(section, key, &texts, Place::Environment(name));
    }
    for flag in &sources.flags {
        layers.texts(flag.section, flag.key, &flag.values, Place::Flag(flag.name));
    }
    layers.finish(file)
}

#[derive(Default)]
struct Layers {
    values: toml::Table,
    origins: BTreeMap<(String, String), Origin>,
    problems: Vec<Problem>,
}

/// An environment variable: its name, section, key and text.
type Variable = (String, &'static str, &'static str, String);

impl Layers {
    fn problem(&mut self, place: Place, key: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            place,
            key: key.into(),
            message: message.into(),
        });
    }

    fn set(&mut self, section: &str, key: &str, value: toml::Value, place: Place) {
        let entry = self
            .values
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(table) = entry {
            table.insert(key.to_owned(), value);
        }
        self.origins
            .insert((section.to_owned(), key.to_owned()), place);
    }

    fn file(&mut self, path: &Path) {
        let nowhere = Place::File {
            path: path.to_owned(),
            line: 1,
            column: 1,
        };
        let text = match read(path) {
            Ok(text) => text,
            Err(message) => return self.problem(nowhere, "", message),
        };
        let place = |span: Range<usize>| {
            let (line, column) = position(&text, span.start);
            Place::File {
                path: path.to_owned(),
                line,
                column,
            }
        };
        let document = match DeTable::parse(&text) {
            Ok(document) => document.into_inner(),
            Err(error) => {
                let at = place(error.span().unwrap_or(0..0));
                return self.problem(at, "", format!("not valid TOML: {}", error.message()));
            }
        };
        for (section, value) in document {
            let (section_span, section) = (section.span(), section.into_inner());
            let Some(known) = keys_of(&section) else {
                self.problem(
                    place(section_span),
                    section.clone(),
                    unknown_section(&section),
                );
                continue;
            };
            let table_span = value.span();
            let DeValue::Table(table) = value.into_inner() else {
                let message = format!("is a section; write [{section}] and its keys below");
                self.problem(place(section_span), section, message);
                continue;
            };
            for (key, value) in table {
                let (key_span, key) = (key.span(), key.into_inner());
                let full = format!("{section}.{key}");
                if !known.contains(&key.as_ref()) {
                    self.problem(place(key_span), full, unknown_key(&section, &key));
                    continue;
                }
                if let Err((span, message)) = alone(&section, &key, &value, &table_span) {
                    self.problem(place(span.unwrap_or(value.span())), full, message);
                    continue;
                }
                let deserializer = toml::de::ValueDeserializer::from(value);
                match toml::Value::deserialize(deserializer) {
                    Ok(value) => self.set(&section, &key, value, place(key_span)),
                    Err(error) => self.problem(place(key_span), full, error.message()),
                }
            }
        }
    }

    /// Sorts the environment into keys, and finds the file that it or the flag names.
    fn environment(
        &mut self,
        environment: &[(OsString, OsString)],
        flag: Option<&Path>,
    ) -> (Option<PathBuf>, Vec<Variable>) {
        let mut file = flag.map(Path::to_owned);
        let mut variables = Vec::new();
        for (name, text) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            let path = &name[PREFIX.len()..];
            if path == "CONFIG" {
                file.get_or_insert_with(|| PathBuf::from(text));
                continue;
            }
            if is_service_link(path) {
                continue;
            }
            let place = Place::Environment(name.to_owned());
            let lower = path.to_ascii_lowercase();
            let (section, key) = lower.split_once("__").unwrap_or(("server", &lower));
            let found = SECTIONS
                .iter()
                .find(|(known, _)| *known == section)
                .and_then(|(section, keys)| {
                    keys.iter()
                        .find(|known| **known == key)
                        .map(|key| (section, key))
                });
            let Some((section, key)) = found else {
                let message = if keys_of(section).is_none() {
                    unknown_section(section)
                } else {
                    unknown_key(section, key)
                };
                self.problem(place, format!("{section}.{key}"), message);
                continue;
            };
            match text.to_str() {
                Some(text) => variables.push((name.to_owned(), *section, *key, text.to_owned())),
                None => self.problem(place, format!("{section}.{key}"), "is not valid UTF-8"),
            }
        }
        variables.sort();
        (file, variables)
    }

    /// Takes a value written as text: as a text itself, else as TOML, else as a list with commas.
    fn texts(&mut self, section: &'static str, key: &'static str, texts: &[String], place: Place) {
        let full = format!("{section}.{key}");
        let string = |text: &str| toml::Value::String(text.to_owned());
        let list = |texts: &[&str]| toml::Value::Array(texts.iter().map(|t| string(t)).collect());
        let mut candidates = Vec::new();
        match texts {
            [text] => {
                candidates.push(string(text));
                let literal = toml::from_str::<toml::Table>(&format!("value = {text}"))
                    .ok()
                    .and_then(|mut table| table.remove("value"));
                if let Some(literal) = literal
                    && !literal.is_str()
                {
                    candidates.push(literal);
                }
                if text.contains(',') {
                    let parts: Vec<_> = text.split(',').map(str::trim).collect();
                    candidates.push(list(&parts));
                }
                if text.is_empty() {
                    candidates.push(list(&[]));
                }
            }
            several => {
                let parts: Vec<_> = several.iter().map(String::as_str).collect();
                candidates.push(list(&parts));
            }
        }
        let mut message = String::new();
        for candidate in candidates {
            match try_alone(section, key, &candidate) {
                Ok(()) => return self.set(section, key, candidate, place),
                // The first attempt explains best, unless it only had the wrong type.
                Err(error) if message.is_empty() || message.contains("expected") => message = error,
                Err(_) => {}
            }
        }
        self.problem(place, full, message);
    }

    fn finish(mut self, file: Option<PathBuf>) -> Result<Loaded, Problems> {
        let config = match toml::Value::Table(self.values).try_into::<Config>() {
            Ok(config) => config,
            Err(error) => {
                // Every value passed alone, so this is only reached beside other problems.
                if self.problems.is_empty() {
                    self.problems.push(Problem {
                        place: Place::Default,
                        key: String::new(),
                        message: error.message().to_owned(),
                    });
                }
                return Err(Problems(self.problems));
            }
        };
        let loaded = Loaded {
            config,
            origins: self.origins,
            file,
        };
        self.problems.extend(loaded.contradictions());
        if self.problems.is_empty() {
            Ok(loaded)
        } else {
            Err(Problems(self.problems))
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let metadata =
        std::fs::metadata(path).map_err(|error| format!("cannot read the file: {error}"))?;
    if metadata.len() > FILE_LIMIT {
        return Err("the file is larger than a megabyte; is it a configuration?".to_owned());
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot read the file: {error}"))
}

/// Line and column of a byte, both from one, the column in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (line, column)
}

/// Checks one value of a file as if it were the whole configuration.
fn alone(
    section: &str,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    table: &Range<usize>,
) -> Result<(), (Option<Range<usize>>, String)> {
    let mut inner = DeTable::new();
    inner.insert(
        Spanned::new(value.span(), key.to_owned().into()),
        value.clone(),
    );
    let mut outer = DeTable::new();
    outer.insert(
        Spanned::new(table.clone(), section.to_owned().into()),
        Spanned::new(table.clone(), DeValue::Table(inner)),
    );
    let deserializer = toml::de::Deserializer::from(Spanned::new(table.clone(), outer));
    match Config::deserialize(deserializer) {
        Ok(_) => Ok(()),
        Err(error) => Err((error.span(), plain(error.message()))),
    }
}

/// Checks one value that has no place in a file.
fn try_alone(section: &str, key: &str, value: &toml::Value) -> Result<(), String> {
    let mut inner = toml::Table::new();
    inner.insert(key.to_owned(), value.clone());
    let mut outer = toml::Table::new();
    outer.insert(section.to_owned(), toml::Value::Table(inner));
    match toml::Value::Table(outer).try_into::<Config>() {
        Ok(_) => Ok(()),
        Err(error) => Err(plain(error.message())),
    }
}

/// Serde's words in the words of people who write TOML.
fn plain(message: &str) -> String {
    [
        ("a sequence", "a list"),
        ("sequence", "a list"),
        ("a map", "a table"),
        ("map", "a table"),
    ]
    .into_iter()
    .find_map(|(theirs, ours)| {
        let (what, expected) = message.split_once(", expected ")?;
        let renamed = what.strip_suffix(theirs)?;
        Some(format!("{renamed}{ours}, expected {expected}"))
    })
    .unwrap_or_else(|| message.to_owned())
}

/// Whether an orchestrator made the variable for a service that is called `inver`: Docker links
/// and Kubernetes put the addresses of services into every container's environment.
fn is_service_link(path: &str) -> bool {
    path == "PORT"
        || path == "SERVICE_HOST"
        || path == "SERVICE_PORT"
        || path.starts_with("SERVICE_PORT_")
        || path
            .strip_prefix("PORT_")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

fn unknown_section(section: &str) -> String {
    let names: Vec<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
    let near = names.iter().find(|name| distance(name, section) <= 2);
    match near {
        Some(near) => format!("unknown section; did you mean [{near}]?"),
        None => format!("unknown section; the sections are {}", names.join(", ")),
    }
}

fn unknown_key(section: &str, key: &str) -> String {
    let known = keys_of(section).unwrap_or_default();
    if let Some(near) = known.iter().find(|name| distance(name, key) <= 2) {
        return format!("unknown key; did you mean `{near}`?");
    }
    let elsewhere: Vec<_> = SECTIONS
        .iter()
        .filter(|(_, keys)| keys.contains(&key))
        .map(|(name, _)| format!("{name}.{key}"))
        .collect();
    if elsewhere.is_empty() {
        format!("unknown key; [{section}] has {}", known.join(", "))
    } else {
        format!("unknown key; did you mean {}?", elsewhere.join(" or "))
    }
}

/// Number of letters to insert, delete or replace to make one word the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let substitution = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
