//! `jitgate changes list`.

use super::args::List;
use super::journals;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::table::{self, or_dash, time};
use crate::domain::operator_change::{OperatorChange, merged};
use crate::ports::ChangeJournal;
use serde_json::json;
use std::io::{self, Write};

/// Runs `changes list`. A place that cannot be read does not hide the records of the other one.
pub(super) async fn run(args: &List, session: &Session) -> Outcome {
    let config = session.config()?;
    let of_file = journals::of_file(config).newest(args.limit).await;
    let of_file = of_file.map_err(|failure| {
        Failure::new(Exit::Configuration, failure)
            .remedy("run this command as root, or as the account of `jitgate serve`")
    });
    let of_store = match journals::of_store(config, session) {
        Ok(None) => Ok(Vec::new()),
        Ok(Some(journal)) => journal.newest(args.limit).await.map_err(Failure::of_store),
        Err(failure) => Err(failure),
    };
    let read = [&of_store, &of_file].map(|list| list.as_ref().ok().cloned().unwrap_or_default());
    let changes = merged(read, args.limit);
    session.answer(&json!({"changes": changes}), |out| print(out, &changes))?;
    if changes.len() == args.limit && !session.global.json {
        let limit = args.limit;
        output::report(&format!(
            "jitgate: there may be more than these {limit} results; see --limit"
        ));
    }
    of_store?;
    of_file?;
    Ok(Exit::Done)
}

fn print(out: &mut dyn Write, changes: &[OperatorChange]) -> io::Result<()> {
    let rows = changes.iter().map(|change| {
        [
            time(change.at),
            change.command.clone(),
            change.result.as_str().to_owned(),
            or_dash(change.by.as_ref()),
            change.subject.clone(),
            or_dash(change.why.as_ref()),
            or_dash(change.error.as_ref()),
        ]
    });
    table::print(out, ["AT", "COMMAND", "RESULT", "BY", "SUBJECT", "WHY", "ERROR"], rows)
}
