//! The `jitgate` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    jitgate::cli::main()
}
