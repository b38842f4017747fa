//! The record of a change. It is written after the command, so that it is never in the way of a change, and a journal that
//! fails changes no exit code.

use super::journals;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::cli::person::Person;
use crate::cli::session::Session;
use crate::config::Loaded;
use crate::domain::operator_change::{ChangeResult, OperatorChange};
use crate::ports::ChangeJournal;
use crate::runtime;
use std::time::Duration;

/// Time that the store may take to add a record.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// A change that a person asks for.
pub(in crate::cli) struct Asked {
    /// The command without its arguments.
    pub(in crate::cli) command: &'static str,
    /// The object of the change.
    pub(in crate::cli) subject: String,
    pub(in crate::cli) person: Person,
    /// True if the command only shows its steps.
    pub(in crate::cli) is_dry: bool,
}

/// Runs a command that changes something, and records the person, the reason and the result. A command that reports
/// [`Session::note_unchanged`] leaves no record, and neither does one that fails because of its command line.
pub(in crate::cli) async fn recorded(session: &Session, asked: Asked, work: impl Future<Output = Outcome>) -> Outcome {
    let at = session.clock.now();
    let outcome = work.await;
    if asked.is_dry || session.is_unchanged() {
        return outcome;
    }
    let (result, error) = match &outcome {
        Ok(Exit::Done) => (ChangeResult::Done, None),
        Ok(_) => (ChangeResult::Negative, None),
        Err(failure) if failure.exit == Exit::Usage => return outcome,
        Err(failure) => (ChangeResult::Failed, Some(failure.what())),
    };
    // Some commands work with a faulty configuration.
    let loaded = session.loaded().ok();
    let word = runtime::random_word().unwrap_or_default();
    let word = word.get(..16).unwrap_or_default();
    let origin = asked.person.origin(at);
    let change = OperatorChange::new(asked.command, &asked.subject, origin, (result, error), word);
    // The error of a failed command is on stderr anyway.
    if let Err(why) = write(&change, loaded, session).await
        && result != ChangeResult::Failed
    {
        let line = serde_json::to_string(&change).unwrap_or_default();
        output::warn(&format!("this change is recorded nowhere else, because {why}: {line}"));
    }
    outcome
}

/// Adds the record to the store, otherwise to the file.
async fn write(change: &OperatorChange, loaded: Option<&Loaded>, session: &Session) -> Result<(), String> {
    let Some(loaded) = loaded else {
        return Err("the configuration is invalid".to_owned());
    };
    let journal = journals::of_store(&loaded.config, session);
    let failed = match journal {
        Ok(None) => None,
        Ok(Some(journal)) => match tokio::time::timeout(STORE_TIMEOUT, journal.add(change)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => Some(failure.to_string()),
            Err(_) => Some(format!("no answer within {} s", STORE_TIMEOUT.as_secs())),
        },
        Err(failure) => Some(failure.what().to_owned()),
    };
    let file = journals::prepare(loaded)?;
    file.add(change).await.map_err(|failure| failure.to_string())?;
    if let Some(why) = failed {
        let place = file.path();
        output::warn(&format!(
            "the store did not record this change, but {} did: {why}",
            place.display()
        ));
    }
    Ok(())
}

impl Asked {
    /// Returns several objects as the subject of a change.
    pub(in crate::cli) fn of_many<T: ToString>(subjects: &[T]) -> String {
        let subjects: Vec<String> = subjects.iter().map(ToString::to_string).collect();
        subjects.join(", ")
    }
}
