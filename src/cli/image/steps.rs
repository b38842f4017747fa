//! The progress of a build on a terminal: one line for each step, with its time.

use crate::cli::output;
use std::io::{self, IsTerminal};
use tokio::time::Instant;

/// The steps of one build.
pub(super) struct Steps {
    is_shown: bool,
    open: Option<(String, Instant)>,
    begun: Instant,
}

impl Steps {
    /// Returns no steps yet. They are only shown on a terminal.
    pub(super) fn new() -> Self {
        Self {
            is_shown: io::stderr().is_terminal(),
            open: None,
            begun: Instant::now(),
        }
    }

    /// Ends the current step and begins another.
    pub(super) fn begin(&mut self, name: &str) {
        self.close();
        if self.is_shown {
            output::report(&format!("jitgate: {name} ..."));
        }
        self.open = Some((name.to_owned(), Instant::now()));
    }

    /// Ends the last step.
    pub(super) fn end(mut self) {
        self.close();
        if self.is_shown {
            output::report(&format!("jitgate: done in {:.1} s", self.begun.elapsed().as_secs_f64()));
        }
    }

    fn close(&mut self) {
        if let Some((name, since)) = self.open.take().filter(|_| self.is_shown) {
            output::report(&format!("jitgate: {name}: {:.1} s", since.elapsed().as_secs_f64()));
        }
    }
}
