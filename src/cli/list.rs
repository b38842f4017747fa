//! The common part of all list commands: the flags, the parsers, and the note about further results.

use super::exit::{Exit, Outcome};
use super::output;
use super::session::Session;
use serde::Serialize;
use std::io::{self, Write};

/// Maximum number of items that one command prints or changes.
const MAX_LISTED: usize = 1000;

/// The flags of every list.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ListArgs {
    /// Repository
    #[arg(long, visible_alias = "repo", value_name = "OWNER/NAME")]
    pub(super) repository: Option<String>,
    /// Maximum number of results
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = limit)]
    pub(super) limit: usize,
}

impl ListArgs {
    /// Prints a list. `count` is the number of items in its longest part.
    pub(super) fn print(
        &self,
        session: &Session,
        json: &impl Serialize,
        count: usize,
        table: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Outcome {
        session.answer(json, table)?;
        let limit = self.limit;
        if count == limit && !session.global.json {
            output::report(&format!(
                "jitgate: there may be more than these {limit} results; see --limit"
            ));
        }
        Ok(Exit::Done)
    }
}

/// Parses the maximum number of results.
pub(super) fn limit(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MAX_LISTED).contains(number));
    number.ok_or_else(|| format!("expected a number from 1 to {MAX_LISTED}"))
}
