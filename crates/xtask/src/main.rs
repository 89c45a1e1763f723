//! Runs the project's tasks.

fn main() {}
