//! The only place that writes to stdout and stderr. A reader that went away (`| head`) is no error.

use super::exit::{Exit, Failure};
use anyhow::Context;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};

/// Prints data: `write` gets a locked, buffered stdout and stops at its first error.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error)
            .context("cannot write to stdout")
            .map_err(|error| Failure::new(Exit::Bug, error)),
        _ => Ok(()),
    }
}

/// Prints data as JSON, for programs.
pub(super) fn print_json(data: &impl Serialize) -> Result<(), Failure> {
    print(|out| {
        serde_json::to_writer_pretty(&mut *out, data)?;
        writeln!(out)
    })
}

/// Tells people something on stderr.
pub(super) fn complain(text: &str) {
    // Where even stderr is gone there is nobody to tell.
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}
