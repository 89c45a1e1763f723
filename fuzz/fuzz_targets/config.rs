//! Configuration files, and the environment that joins them.
//!
//! Lines that begin with `INVER_` are variables, the others are the file.
#![cfg_attr(fuzzing, no_main)]

use std::io::Write as _;

use inver_server::config::{Sources, effective, load};

inver_fuzz::target!(run);

fn run(data: &[u8]) {
    let mut environment = Vec::new();
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let variable = std::str::from_utf8(line)
            .ok()
            .filter(|line| line.starts_with("INVER_"))
            .and_then(|line| line.trim_end().split_once('='));
        match variable {
            // It would name another file.
            Some(("INVER_CONFIG", _)) => {}
            Some((name, value)) => environment.push((name.into(), value.into())),
            None => file.write_all(line).expect("the file can be written"),
        }
    }
    let sources = Sources {
        file: Some(file.path().to_owned()),
        environment,
        flags: Vec::new(),
    };
    match load(&sources) {
        Ok(loaded) => {
            let _ = effective(&loaded);
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "a refusal has a reason");
            let _ = problems.to_string();
        }
    }
}
