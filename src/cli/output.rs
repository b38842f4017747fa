//! The only place that writes to stdout, stderr and files that an operator named. A closed reader (`| head`) is not an error.
//!
//! Characters that are hidden, control a terminal or reorder text are escaped in JSON's notation.

use super::exit::{Exit, Failure};
use crate::domain::text::lines;
use anyhow::Context;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Prints data. `write` receives a locked, buffered stdout and stops at the first error.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    print_coloured(|out| write(&mut Plain(out)))
}

/// Prints text with colours. Its writer escapes foreign text.
pub(super) fn print_coloured(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error)
            .context("cannot write to stdout")
            .map_err(|error| Failure::new(Exit::Bug, error)),
        _ => Ok(()),
    }
}

/// Escapes hidden characters. Each write contains complete characters, because it comes from text.
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

/// Prints data as JSON.
pub(super) fn print_json(data: &impl Serialize) -> Result<(), Failure> {
    print(|out| {
        serde_json::to_writer_pretty(&mut *out, data)?;
        writeln!(out)
    })
}

/// Prints a message to stderr.
pub(super) fn report(text: &str) {
    // Without a usable stderr the message is lost.
    writeln!(io::stderr().lock(), "{}", lines(text)).unwrap_or_default();
}

/// Writes a file that an operator named.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .with_context(|| format!("cannot write {}", path.display()))
        .map_err(|error| Failure::new(Exit::Usage, error).remedy("use a file in a writable directory"))
}
