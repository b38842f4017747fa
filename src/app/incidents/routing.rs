//! The routing of a repository as evidence of a safe state: GitHub's variable shows whether it is off, and the ledger
//! shows who switched it off.

use crate::app::context::Context;
use crate::app::records::{self, RolloutRecord};
use crate::app::settings::Repository;
use crate::domain::incident::Routing;
use crate::domain::rollout::{Change, Changed};
use crate::ports::Failure;
use crate::ports::github::Purpose;

/// Asks GitHub for the routing variable. A variable that does not exist routes no job.
pub(super) async fn look(ctx: &Context, repository: &Repository) -> Result<Routing, Failure> {
    let (name, variable) = (&repository.name, &repository.variable);
    let answer = ctx.github.variable(name, variable, Purpose::Judge).await?;
    if answer.as_ref().is_some_and(|variable| variable.is_true()) {
        return Ok(Routing::On);
    }
    let record: Option<RolloutRecord> = records::load(ctx.ledger.as_ref(), name.as_str()).await?;
    let history = record.map_or_else(Vec::new, |record| record.history);
    let is_switch = |change: &&Change| {
        !change.would && matches!(change.what, Changed::Enable | Changed::Disable | Changed::Rollback)
    };
    let latest = history.iter().rev().find(is_switch);
    // After a change that switched it on, the person who switched it off is not known yet.
    let off = latest.filter(|change| change.what != Changed::Enable);
    Ok(Routing::Off {
        since: answer.and_then(|variable| variable.updated_at),
        by: off.and_then(|change| change.by.clone()),
        why: off.and_then(|change| change.why.clone()),
    })
}
