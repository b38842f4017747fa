//! The planned stop after a complete stage: routing is off until a person starts the next stage. It is no rollback, so
//! waiting jobs are served.

use crate::app::context::Context;
use crate::app::events::refusal::passing;
use crate::app::records::{self, RolloutRecord};
use crate::app::rollout::switch;
use crate::app::settings::Repository;
use crate::domain::policy::Mode;
use crate::domain::rollout::Switch;
use crate::ports::Failure;
use crate::ports::github::Purpose;

/// The value that switches routing off.
const OFF: &str = "false";

/// Switches routing off if a planned stop is recorded and GitHub does not show it yet. Returns true if it is done now.
///
/// # Errors
/// The failure of the ledger or of GitHub. The next pass repeats it.
pub(in crate::app) async fn resume(ctx: &Context, repository: &Repository) -> Result<bool, Failure> {
    if repository.policy.mode != Mode::Enforce || !is_pending(ctx, repository).await? {
        return Ok(false);
    }
    let (name, variable) = (&repository.name, &repository.variable);
    let mut shown = look(ctx, repository).await?;
    if shown.on && !is_switched_on_since(ctx, repository, shown).await? {
        let set = ctx.github.set_variable(name, variable, OFF).await;
        ctx.github_cache.forget_variable(name);
        set.map_err(passing)?;
        shown = look(ctx, repository).await?;
        if shown.on && !is_switched_on_since(ctx, repository, shown).await? {
            return Err(Failure::Transient(format!(
                "GitHub still shows {variable} of {name} as on"
            )));
        }
    }
    // A person who has switched routing on has started the next stage.
    switch::note(ctx, repository, shown).await?;
    let id = name.as_str();
    records::change(
        ctx.ledger.as_ref(),
        id,
        ctx.settings.retention,
        |record: &mut RolloutRecord| {
            record.stopping = None;
        },
    )
    .await?;
    tracing::warn!(repository = %name, "self-hosted routing of {name} is off until `jitgate rollout advance`");
    Ok(true)
}

async fn is_pending(ctx: &Context, repository: &Repository) -> Result<bool, Failure> {
    let record: Option<RolloutRecord> = records::load(ctx.ledger.as_ref(), repository.name.as_str()).await?;
    Ok(record.is_some_and(|record| record.stopping.is_some()))
}

/// Asks GitHub for the variable.
async fn look(ctx: &Context, repository: &Repository) -> Result<Switch, Failure> {
    let asked_at = ctx.clock.now();
    let (name, variable) = (&repository.name, &repository.variable);
    let shown = ctx
        .github
        .variable(name, variable, Purpose::Admit)
        .await
        .map_err(passing)?;
    Ok(switch::seen(shown.as_ref(), asked_at))
}

/// Returns true if the variable was switched on after the last time that is recorded, by GitHub's clock.
async fn is_switched_on_since(ctx: &Context, repository: &Repository, shown: Switch) -> Result<bool, Failure> {
    let record: Option<RolloutRecord> = records::load(ctx.ledger.as_ref(), repository.name.as_str()).await?;
    let enabled_at = record.and_then(|record| record.enabled_at);
    Ok(shown.updated_at > enabled_at && enabled_at.is_some())
}
