//! The program `inver`.

use std::process::ExitCode;

fn main() -> ExitCode {
    inver_server::main()
}
