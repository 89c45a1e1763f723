//! The program `inver`.

fn main() {}
