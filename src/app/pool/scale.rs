//! The change of the pool's bounds by an operator: gather, plan, act. The command stores the bounds, and the worker of the
//! pool obeys them; the command touches no slot itself.

use super::status::{self, PoolState};
use crate::app::records::{self, BoundsRecord, WaitingRecord};
use crate::domain::base_runner::listed::ListedRunner;
use crate::domain::pool::Bounds;
use crate::domain::rollout::Origin;
use crate::domain::scale::{self, Action, Control, NO_WORKER, Operation, ScalePlan, Situation, Warning};
use crate::ports::github::RunnerScope;
use crate::ports::{Failure, GitHub, Ledger};
use serde::Serialize;
use std::time::Duration;

/// The bounds that an operator requests.
#[derive(Debug, Clone)]
pub struct ScaleRequest<'a> {
    /// The name of the pool; none if no worker has used the state directory yet.
    pub pool: Option<&'a str>,
    pub control: Control,
    /// True if the stored bounds are removed, so that the configured ones apply. They are then those of `control`.
    pub reset: bool,
    pub force_remove_busy: bool,
    /// The configured bounds.
    pub configured: Bounds,
    /// The place at GitHub whose list of runners is compared.
    pub scope: &'a RunnerScope,
    /// True if a worker holds the lock of the pool.
    pub has_worker: bool,
}

/// The facts and the steps.
#[derive(Debug, Clone)]
pub struct Scaling {
    pub plan: ScalePlan,
    /// True if the stored bounds change.
    pub changes: bool,
    reset: bool,
}

/// The result of a change. Its JSON form is part of the contract.
#[derive(Debug, Clone, Serialize)]
pub struct ScaleStatus<'a> {
    pub result: &'static str,
    pub counts: &'a scale::Counts,
    pub operations: &'a [Operation],
    pub warnings: &'a [Warning],
}

/// The reason why the facts are incomplete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incomplete {
    Store(Failure),
    GitHub(Failure),
}

/// Gathers the slots, the waiting jobs and GitHub's runners, and plans the steps. Changes nothing.
///
/// # Errors
/// Returns [`Incomplete`] if the store or GitHub does not answer.
pub async fn plan(ledger: &dyn Ledger, github: &dyn GitHub, request: &ScaleRequest<'_>) -> Result<Scaling, Incomplete> {
    let state = match request.pool {
        Some(pool) => status::pool_state(ledger, pool).await.map_err(Incomplete::Store)?,
        None => PoolState::default(),
    };
    let waiting: Vec<WaitingRecord> = records::all(ledger).await.map_err(Incomplete::Store)?;
    let waiting = waiting.iter().filter(|waiting| waiting.holder.is_none()).count();
    let listed = github.runners(request.scope).await.map_err(Incomplete::GitHub)?;
    let listed: Vec<ListedRunner> = listed.into_iter().map(ListedRunner::from).collect();
    let situation = Situation {
        slots: &state.slots(),
        github: &listed,
        waiting_jobs: u32::try_from(waiting).unwrap_or(u32::MAX),
        force_remove_busy: request.force_remove_busy,
    };
    let mut plan = scale::plan(request.control, &situation);
    let before = state.bounds.as_ref();
    let changes = if request.reset {
        before.is_some()
    } else {
        before.is_none_or(|before| !is_same(before, &plan))
    };
    if changes {
        plan.operations.insert(0, first_step(request, before));
    }
    if !request.has_worker {
        plan.warnings.push(no_worker(&state));
    }
    Ok(Scaling {
        plan,
        changes,
        reset: request.reset,
    })
}

fn is_same(before: &BoundsRecord, plan: &ScalePlan) -> bool {
    let control = &plan.inventory.control;
    (before.min, before.max, before.target) == (control.min, control.max, control.target_effective)
        && plan.forced.iter().all(|slot| before.remove.contains(slot))
}

fn first_step(request: &ScaleRequest<'_>, before: Option<&BoundsRecord>) -> Operation {
    let control = &request.control;
    let before = match before {
        Some(before) => format!(
            "set by {} to min {}, max {}, target {}",
            before.origin, before.min, before.max, before.target
        ),
        None => {
            let Bounds { min, max, target, .. } = request.configured;
            format!("configured: min {min}, max {max}, target {target}")
        }
    };
    let (action, of) = if request.reset {
        (Action::Reset, " of the configuration")
    } else {
        (Action::Set, "")
    };
    Operation {
        action,
        runner: None,
        detail: format!(
            "min {}, max {}, target {}{of} (before: {before})",
            control.min, control.max, control.target_effective
        ),
    }
}

fn no_worker(state: &PoolState) -> Warning {
    let last = state.last_pass();
    let last = last.map_or_else(String::new, |at| {
        format!("; its last pass was at {}", at.format("%Y-%m-%dT%H:%M:%SZ"))
    });
    Warning {
        code: NO_WORKER,
        runner: None,
        message: format!(
            "no worker runs for this pool{last}; the bounds apply when one starts: jitgate pool supervise"
        ),
    }
}

/// Stores the bounds. `pool` is the name of the pool.
///
/// # Errors
/// The failure of the store.
pub async fn act(
    ledger: &dyn Ledger,
    pool: &str,
    retention: Duration,
    scaling: &Scaling,
    origin: &Origin,
) -> Result<(), Failure> {
    if !scaling.changes {
        return Ok(());
    }
    if scaling.reset {
        return records::remove::<BoundsRecord>(ledger, pool).await;
    }
    let control = &scaling.plan.inventory.control;
    records::update(ledger, pool, retention, |record: &mut Option<BoundsRecord>| {
        // The slots of an earlier request stay requested, because the worker may not have seen it yet.
        let mut remove = record.take().map(|stored| stored.remove).unwrap_or_default();
        remove.retain(|slot| !scaling.plan.forced.contains(slot));
        remove.extend(scaling.plan.forced.iter().cloned());
        let surplus = remove.len().saturating_sub(MAX_REMOVED);
        remove.drain(..surplus);
        *record = Some(BoundsRecord {
            min: control.min,
            max: control.max,
            target: control.target_effective,
            origin: origin.clone(),
            remove,
        });
    })
    .await
}

/// The most slots whose removal is remembered; more than a pool can have.
const MAX_REMOVED: usize = 10_000;

impl Scaling {
    /// Returns the content of the status file.
    #[must_use]
    pub fn status(&self, dry_run: bool) -> ScaleStatus<'_> {
        ScaleStatus {
            result: match (dry_run, self.changes) {
                (true, _) => "dry-run",
                (false, true) => "changed",
                (false, false) => "unchanged",
            },
            counts: &self.plan.counts,
            operations: &self.plan.operations,
            warnings: &self.plan.warnings,
        }
    }
}
