//! Pinned repository ids. They are pinned when GitHub first shows them, and change only by an operator (`jitgate
//! repository accept` or the configuration). A new owner of the name of a renamed repository or account gets no runner.

use crate::app::context::Context;
use crate::app::records::{self, PinRecord};
use crate::app::settings::Repository;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::facts::Facts;
use crate::domain::ids::RepositoryName;
use crate::domain::pin::{RepositoryIds, Shown};
use crate::ports::github::Purpose;
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Interval between checks of the names at GitHub, in addition to the check before each runner.
const CHECK_INTERVAL: Duration = Duration::from_secs(3600);
/// Delay of the next check if GitHub or the ledger did not answer.
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// Retention of pins: they are kept until they are replaced.
const RETENTION: Duration = Duration::MAX;

/// Returns the alert about a different repository with a configured name.
#[must_use]
pub fn taken_over(name: &RepositoryName) -> AlertKey {
    AlertKey::new(AlertKind::RepositoryChanged, Some(name))
}

/// Returns the alert about a configured repository with a different name.
#[must_use]
pub fn renamed(name: &RepositoryName) -> AlertKey {
    taken_over(name).caused_by("renamed")
}

/// The result of a check at GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Meaning {
    /// The pinned repository.
    Same,
    /// A different repository, or the same one with a different owner.
    Changed,
    /// GitHub shows no repository.
    Nothing,
}

/// Returns the required ids of a name: the configured ones, completed by those in the ledger.
///
/// # Errors
/// The failure of the ledger.
pub async fn pinned(ledger: &dyn Ledger, repository: &Repository) -> Result<RepositoryIds, Failure> {
    let record: Option<PinRecord> = records::load(ledger, &PinRecord::key(&repository.name)).await?;
    let seen = record.map(|record| record.ids).unwrap_or_default();
    Ok(repository.configured_ids.or(seen))
}

/// Pins the ids that GitHub shows, unless others are pinned.
async fn pin_first(
    ledger: &dyn Ledger,
    name: &RepositoryName,
    shown: RepositoryIds,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let is_new = records::update(
        ledger,
        &PinRecord::key(name),
        RETENTION,
        |pin: &mut Option<PinRecord>| {
            let ids = pin.as_ref().map(|pin| pin.ids).unwrap_or_default();
            let all = ids.or(shown);
            if all == ids || ids.contradict(&shown) {
                return false;
            }
            let is_new = pin.is_none();
            let pin = pin.get_or_insert_with(|| PinRecord {
                name: name.clone(),
                ids,
                at: now,
                by: None,
                why: None,
                before: None,
            });
            pin.ids = all;
            is_new
        },
    )
    .await?;
    if is_new {
        tracing::info!(repository = %name, "pinned {name} to {shown}");
    }
    Ok(())
}

/// Pins the repository of GitHub's run at first sight.
pub(in crate::app) async fn pin_shown(ctx: &Context, repository: &Repository, facts: &Facts) -> Result<(), Failure> {
    let Some(run) = facts.run.known() else { return Ok(()) };
    let (pinned, shown) = (facts.ledger.pinned, run.of());
    if pinned.or(shown) == pinned || pinned.contradict(&shown) {
        return Ok(());
    }
    pin_first(ctx.ledger.as_ref(), &repository.name, shown, ctx.clock.now()).await
}

/// Asks GitHub for the current repository of a name and raises an alert if it is not the pinned one.
pub(in crate::app) async fn check(ctx: &Context, repository: &Repository) -> Result<Meaning, Failure> {
    let name = &repository.name;
    let Some(shown) = ctx.github.repository(name, Purpose::Admit).await? else {
        return Ok(Meaning::Nothing);
    };
    let pinned = pinned(ctx.ledger.as_ref(), repository).await?;
    if pinned.contradict(&shown.ids) {
        ctx.alerts
            .raise_once(changed(name, &pinned, &shown, ctx.clock.now()))
            .await?;
        return Ok(Meaning::Changed);
    }
    pin_first(ctx.ledger.as_ref(), name, shown.ids, ctx.clock.now()).await?;
    Ok(Meaning::Same)
}

fn changed(name: &RepositoryName, pinned: &RepositoryIds, shown: &Shown, now: DateTime<Utc>) -> Alert {
    let what = format!(
        "GitHub shows {} as {}, but {pinned} is pinned: no runner is created there",
        name, shown.ids
    );
    Alert::new(&taken_over(name), None, &what, now)
}

/// Replaces the pinned ids on an operator's request. Returns the new record.
///
/// # Errors
/// The failure of the ledger.
pub async fn accept(
    ledger: &dyn Ledger,
    name: &RepositoryName,
    shown: RepositoryIds,
    (by, why): (&str, &str),
    now: DateTime<Utc>,
) -> Result<PinRecord, Failure> {
    records::update(
        ledger,
        &PinRecord::key(name),
        RETENTION,
        |pin: &mut Option<PinRecord>| {
            let accepted = PinRecord {
                name: name.clone(),
                ids: shown,
                at: now,
                by: Some(by.to_owned()),
                why: Some(why.to_owned()),
                before: pin.as_ref().map(|old| old.ids),
            };
            pin.insert(accepted).clone()
        },
    )
    .await
}

/// Checks the names of repositories at the start and in intervals, until `stop` resolves.
pub async fn watch(ctx: &Context, stop: impl Future<Output = ()>) {
    let watching = async {
        loop {
            let rest = match check_all(ctx).await {
                true => CHECK_INTERVAL,
                false => RETRY_DELAY,
            };
            tokio::time::sleep(rest).await;
        }
    };
    // An interrupted check has changed either nothing or everything that it had to.
    tokio::select! {
        () = stop => {}
        () = watching => {}
    }
}

/// Checks each name once: pins new ids, and raises or ends alerts about changes. Returns false if GitHub or the ledger
/// did not answer for a name.
pub async fn check_all(ctx: &Context) -> bool {
    let mut all = true;
    for repository in &ctx.settings.repositories {
        if let Err(failure) = check_one(ctx, repository).await {
            tracing::debug!(repository = %repository.name, %failure, "failed to identify the repository");
            all = false;
        }
    }
    all
}

async fn check_one(ctx: &Context, repository: &Repository) -> Result<(), Failure> {
    if check(ctx, repository).await? != Meaning::Same {
        return Ok(());
    }
    // GitHub answers for this name, so it is the current name of the repository, and earlier names no longer matter.
    let id = pinned(ctx.ledger.as_ref(), repository).await?.id;
    let pins: Vec<PinRecord> = records::all(ctx.ledger.as_ref()).await?;
    let former = pins
        .iter()
        .filter(|pin| pin.ids.id == id && ctx.settings.repository(pin.name.as_str()).is_none());
    for name in former.map(|pin| &pin.name).chain([&repository.name]) {
        for key in [taken_over(name), renamed(name)] {
            ctx.alerts.over(&key, None).await?;
        }
    }
    Ok(())
}
