//! Runs a target over files, folders and inputs made from them, without libFuzzer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, panic};

use fastrand::Rng;

use crate::mutate::mutate;

const USAGE: &str = "usage: TARGET [--mutate COUNT] [--seed NUMBER] FILE_OR_FOLDER...";

#[derive(Default)]
struct Arguments {
    paths: Vec<PathBuf>,
    mutations: u64,
    seed: u64,
}

/// Runs what the command line says. Fails where an input makes the target panic, having written
/// that input to a file and named it.
#[expect(clippy::print_stdout, reason = "a program's result")]
pub fn main(run: fn(&[u8])) -> ExitCode {
    let inputs = arguments().and_then(|arguments| {
        let mut inputs = Vec::new();
        for path in &arguments.paths {
            read(path, &mut inputs)?;
        }
        Ok((arguments, inputs))
    });
    let (arguments, inputs) = match inputs {
        Ok((arguments, inputs)) if !inputs.is_empty() => (arguments, inputs),
        Ok(_) => {
            eprintln!("no input\n{USAGE}");
            return ExitCode::from(2);
        }
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut slowest = Duration::ZERO;
    for (path, data) in &inputs {
        if !survives(run, data, &mut slowest) {
            eprintln!("the input that failed: {}", path.display());
            return ExitCode::FAILURE;
        }
    }
    let seeds: Vec<Vec<u8>> = inputs.into_iter().map(|(_, data)| data).collect();
    let mut rng = Rng::with_seed(arguments.seed);
    for number in 0..arguments.mutations {
        let data = mutate(&mut rng, &seeds);
        if !survives(run, &data, &mut slowest) {
            let path = env::temp_dir().join(format!("fuzz-input-{}-{number}", arguments.seed));
            match fs::write(&path, &data) {
                Ok(()) => eprintln!("the input that failed: {}", path.display()),
                Err(error) => eprintln!("the input that failed could not be written: {error}"),
            }
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{} seeds and {} inputs made from them, the slowest took {} ms",
        seeds.len(),
        arguments.mutations,
        slowest.as_millis()
    );
    ExitCode::SUCCESS
}

fn survives(run: fn(&[u8]), data: &[u8], slowest: &mut Duration) -> bool {
    let start = Instant::now();
    let result = panic::catch_unwind(|| run(data));
    *slowest = (*slowest).max(start.elapsed());
    result.is_ok()
}

fn arguments() -> Result<Arguments, String> {
    let mut read = Arguments::default();
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.to_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| format!("{} needs a number", argument.display()))
        };
        match argument.to_str() {
            Some("--mutate") => read.mutations = number()?,
            Some("--seed") => read.seed = number()?,
            _ => read.paths.push(argument.into()),
        }
    }
    Ok(read)
}

/// Reads a file, or all files below a folder in the order of their names.
fn read(path: &Path, inputs: &mut Vec<(PathBuf, Vec<u8>)>) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.is_dir() {
        inputs.push((path.to_owned(), fs::read(path).map_err(fault)?));
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        entries.push(entry.map_err(fault)?.path());
    }
    entries.sort();
    entries.iter().try_for_each(|entry| read(entry, inputs))
}
