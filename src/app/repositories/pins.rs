//! Pins: which repository a configured name means, by GitHub's ids. They are pinned when GitHub first shows them, and change
//! only by the word of a person (`jitgate repository accept`, or the configuration): whoever takes over the name of a
//! renamed repository or account gets nothing.

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

/// How often GitHub is asked whether the names still mean the same, apart from each time a runner is made.
const CHECK_INTERVAL: Duration = Duration::from_secs(3600);
/// How soon after GitHub or the ledger did not answer.
const RETRY_DELAY: Duration = Duration::from_secs(60);
/// Pins are kept until they are replaced.
const RETENTION: Duration = Duration::MAX;

/// The alert of another repository under a configured name.
#[must_use]
pub fn taken_over(name: &RepositoryName) -> AlertKey {
    AlertKey::new(AlertKind::RepositoryChanged, Some(name))
}

/// The alert of a configured repository under another name.
#[must_use]
pub fn renamed(name: &RepositoryName) -> AlertKey {
    taken_over(name).caused_by("renamed")
}

/// What a look at GitHub says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Meaning {
    /// The pinned repository.
    Same,
    /// Another repository, or the same one of another account.
    Changed,
    /// GitHub shows none.
    Nothing,
}

/// The ids that a name must have: those of the configuration first, then those in the ledger.
///
/// # Errors
/// The ledger's failure.
pub async fn pinned(ledger: &dyn Ledger, repository: &Repository) -> Result<RepositoryIds, Failure> {
    let record: Option<PinRecord> = records::load(ledger, &PinRecord::key(&repository.name)).await?;
    let seen = record.map(|record| record.ids).unwrap_or_default();
    Ok(repository.configured_ids.or(seen))
}

/// Pins what GitHub shows, where nothing else was pinned before.
async fn pin_first(
    ledger: &dyn Ledger,
    name: &RepositoryName,
    shown: RepositoryIds,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let mut is_new = false;
    records::update(ledger, &PinRecord::key(name), RETENTION, |old: Option<PinRecord>| {
        is_new = old.is_none();
        let mut record = old.unwrap_or_else(|| PinRecord {
            name: name.clone(),
            ids: RepositoryIds::default(),
            at: now,
            by: None,
            why: None,
            before: None,
        });
        let all = record.ids.or(shown);
        let changed = all != record.ids && !record.ids.contradict(&shown);
        record.ids = all;
        changed.then_some(record)
    })
    .await?;
    if is_new {
        tracing::info!(repository = %name, "{name} is {shown} from now on");
    }
    Ok(())
}

/// Pins the repository of a run that GitHub has shown, at first sight.
pub(in crate::app) async fn see(ctx: &Context, repository: &Repository, facts: &Facts) -> Result<(), Failure> {
    let Some(run) = facts.run.known() else { return Ok(()) };
    let (pinned, shown) = (facts.ledger.pinned, run.of());
    if pinned.or(shown) == pinned || pinned.contradict(&shown) {
        return Ok(());
    }
    pin_first(ctx.ledger.as_ref(), &repository.name, shown, ctx.clock.now()).await
}

/// Asks GitHub which repository a name means now. One that is not the pinned one is told of.
pub(in crate::app) async fn look(ctx: &Context, repository: &Repository) -> Result<Meaning, Failure> {
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
        "GitHub shows {} as {}, and {pinned} is pinned: no runner is made there",
        name, shown.ids
    );
    Alert::new(&taken_over(name), None, &what, now)
}

/// Replaces what is pinned, by the word of a person. Gives the record as it is then.
///
/// # Errors
/// The ledger's failure.
pub async fn accept(
    ledger: &dyn Ledger,
    name: &RepositoryName,
    shown: RepositoryIds,
    (by, why): (&str, &str),
    now: DateTime<Utc>,
) -> Result<Option<PinRecord>, Failure> {
    records::update(ledger, &PinRecord::key(name), RETENTION, |old: Option<PinRecord>| {
        let before = old.map(|old| old.ids);
        Some(PinRecord {
            name: name.clone(),
            ids: shown,
            at: now,
            by: Some(by.to_owned()),
            why: Some(why.to_owned()),
            before,
        })
    })
    .await
}

/// Looks at start and from time to time whether the names of repositories still mean the same, until `stop` resolves.
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
    // A look that is broken off has changed nothing, or all it had to.
    tokio::select! {
        () = stop => {}
        () = watching => {}
    }
}

/// One look at each name: pins what was never seen, tells of what has changed, and that it is over. Gives false when
/// GitHub or the ledger left one open.
pub async fn check_all(ctx: &Context) -> bool {
    let mut all = true;
    for repository in &ctx.settings.repositories {
        if let Err(failure) = look_at(ctx, repository).await {
            tracing::debug!(repository = %repository.name, %failure, "cannot tell which repository that is");
            all = false;
        }
    }
    all
}

async fn look_at(ctx: &Context, repository: &Repository) -> Result<(), Failure> {
    if look(ctx, repository).await? != Meaning::Same {
        return Ok(());
    }
    // GitHub answers under this name, so it is the repository's own, and no name before it matters any more.
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
