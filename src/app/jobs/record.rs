//! Access to the records of jobs.

use crate::app::context::Context;
use crate::app::records::{self, JobRecord};
use crate::domain::ids::JobId;
use crate::ports::Failure;

/// Returns the record of a job.
pub async fn load_job(ctx: &Context, job: JobId) -> Result<Option<JobRecord>, Failure> {
    records::load(ctx.ledger.as_ref(), &job.to_string()).await
}

/// Changes the record of a job if there is one. `change` returns whether it changed anything. Returns the record afterwards.
pub(in crate::app) async fn change_job(
    ctx: &Context,
    job: JobId,
    mut change: impl FnMut(&mut JobRecord) -> bool + Send,
) -> Result<Option<JobRecord>, Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::update(ledger, &job.to_string(), retention, |old: Option<JobRecord>| {
        let mut record = old?;
        change(&mut record).then_some(record)
    })
    .await
}
