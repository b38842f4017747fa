//! The `jitgate` binary: parses, dispatches, returns an exit code.

fn main() {}
