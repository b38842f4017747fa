//! The only place that writes to stdout and stderr. A reader that went away (`| head`) is no error.
//!
//! Whatever is printed, no character of it is hidden, steers a terminal or reorders what is read: such characters are
//! escaped on the way out, as JSON does it.

use super::exit::{Exit, Failure};
use crate::domain::text::lines;
use anyhow::Context;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};

/// Prints data: `write` gets a locked, buffered stdout and stops at its first error.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    print_coloured(|out| write(&mut Plain(out)))
}

/// The same for text with colours, whose writer escapes what others wrote.
pub(super) fn print_coloured(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error)
            .context("cannot write to stdout")
            .map_err(|error| Failure::new(Exit::Bug, error)),
        _ => Ok(()),
    }
}

/// Escapes what is hidden. What is written at once is whole characters, since it comes from texts.
struct Plain<'a>(&'a mut dyn Write);

impl Write for Plain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
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
    writeln!(io::stderr().lock(), "{}", lines(text)).unwrap_or_default();
}
