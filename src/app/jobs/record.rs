//! Access to the records of jobs.

use crate::app::context::Context;
use crate::app::records::{self, JobRecord};
use crate::domain::ids::JobId;
use crate::ports::Failure;

/// Returns the record of a job.
pub async fn load_job(ctx: &Context, job: JobId) -> Result<Option<JobRecord>, Failure> {
    records::load(ctx.ledger.as_ref(), &job.to_string()).await
}

/// Changes the record of a job and returns the value of `change`, or none if the job is unknown.
pub(in crate::app) async fn change_job<T>(
    ctx: &Context,
    job: JobId,
    change: impl FnMut(&mut JobRecord) -> T + Send,
) -> Result<Option<T>, Failure> {
    records::change(ctx.ledger.as_ref(), &job.to_string(), ctx.settings.retention, change).await
}
