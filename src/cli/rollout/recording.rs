//! The recorded runs of a repository, from the ledger.

use super::history_file::Recording;
use crate::app::records::{self, VerdictsRecord};
use crate::app::rollout::refresh;
use crate::cli::exit::Failure;
use crate::cli::one_repository::OneRepository;
use crate::cli::session::Session;

/// Returns at most `limit` of the newest measured runs of a repository, with its routing verdicts.
pub(super) async fn of_ledger(session: &Session, which: &OneRepository, limit: usize) -> Result<Recording, Failure> {
    let repository = which.configured(session.config()?)?.name;
    let (ledger, now) = (session.store()?.ledger.as_ref(), session.clock.now());
    let runs = refresh::newest(ledger, &repository, now, limit)
        .await
        .map_err(Failure::of_store)?;
    let verdicts: Option<VerdictsRecord> = records::load(ledger, repository.as_str())
        .await
        .map_err(Failure::of_store)?;
    let verdicts = verdicts.unwrap_or_default();
    // GitHub's clock can be ahead.
    let newest = runs.iter().map(|run| run.created_at).max();
    Ok(Recording {
        exported_at: newest.map_or(now, |newest| newest.max(now)),
        repository,
        runs,
        tally: verdicts.tally,
        mismatches: verdicts.mismatches,
    })
}
