//! Access to the record of the rollout of a repository.

use crate::app::context::Context;
use crate::app::records::{self, RolloutRecord};
use crate::app::settings::Repository;
use crate::domain::rollout::Rollback;
use crate::ports::Failure;

/// Returns the record of the rollout.
pub(super) async fn record_of(ctx: &Context, repository: &Repository) -> Result<RolloutRecord, Failure> {
    let record = records::load(ctx.ledger.as_ref(), repository.name.as_str()).await?;
    Ok(record.unwrap_or_default())
}

/// Changes a rollback that is unchanged since it was read. Returns false if another worker was faster.
pub(super) async fn change_rollback(
    ctx: &Context,
    repository: &Repository,
    read: &Rollback,
    mut change: impl FnMut(&mut Rollback) -> bool + Send,
) -> Result<bool, Failure> {
    change_record(ctx, repository, |record| {
        let current = record.rollback.as_mut().filter(|current| *current == read);
        current.is_some_and(&mut change)
    })
    .await
}

/// Changes the record and returns the value of `change`.
pub(super) async fn change_record<T>(
    ctx: &Context,
    repository: &Repository,
    mut change: impl FnMut(&mut RolloutRecord) -> T + Send,
) -> Result<T, Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::update(
        ledger,
        repository.name.as_str(),
        retention,
        |record: &mut Option<RolloutRecord>| change(record.get_or_insert_default()),
    )
    .await
}
