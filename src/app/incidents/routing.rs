//! The routing of a repository as evidence of a safe state: GitHub's variable shows whether it is off, and the ledger
//! shows who switched it off.

use crate::app::context::Context;
use crate::app::records::{self, RepositoryRecord};
use crate::app::settings::Repository;
use crate::domain::alert::ITSELF;
use crate::domain::incident::Routing;
use crate::ports::Failure;
use crate::ports::github::Purpose;

/// Asks GitHub for the routing variable. A variable that does not exist routes no job.
pub(super) async fn look(ctx: &Context, repository: &Repository) -> Result<Routing, Failure> {
    let (name, variable) = (&repository.name, &repository.variable);
    let answer = ctx.github.variable(name, variable, Purpose::Judge).await?;
    if answer.as_ref().is_some_and(|variable| variable.is_true()) {
        return Ok(Routing::On);
    }
    let record: Option<RepositoryRecord> = records::load(ctx.ledger.as_ref(), name.as_str()).await?;
    let rolled_back = record.and_then(|record| record.rolled_back);
    Ok(Routing::Off {
        since: answer.and_then(|variable| variable.updated_at),
        by: rolled_back.as_ref().map(|_| ITSELF.to_owned()),
        why: rolled_back.map(|rolled_back| format!("rollback because of job {}", rolled_back.job)),
    })
}
