//! `jitgate rollout hold`, `resume` and `advance`: the changes of a canary by a person.

use super::{args, status};
use crate::app::records::{self, RolloutRecord};
use crate::app::rollout::status::{RolloutStatus, StageStatus};
use crate::app::rollout::switch;
use crate::app::settings::Repository;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::domain::rollout::{Origin, Phase, Refused, RolloutPolicy};
use crate::ports::github::Purpose;
use crate::runtime;
use anyhow::anyhow;

/// A change of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Advance,
    Hold,
    Resume,
}

impl Step {
    /// Applies the change to the record.
    fn apply(self, record: &mut RolloutRecord, origin: Origin, stages: &[u32]) -> Result<(), Refused> {
        match self {
            Self::Advance => record.advance(origin, stages).map(|_| ()),
            Self::Hold => record.hold(origin, stages),
            Self::Resume => record.resume(origin, stages),
        }
    }
}

/// The subject of a change.
struct Change<'a> {
    session: &'a Session,
    repository: Repository,
    policy: RolloutPolicy,
    origin: Origin,
}

/// Runs the change.
pub(super) async fn run(step: Step, args: &args::Change, session: &Session) -> Outcome {
    let origin = args.person.origin(session.clock.now())?;
    let config = session.config()?;
    let change = Change {
        session,
        repository: args.which.configured(config)?,
        policy: runtime::rollout_policy(&config.rollout),
        origin,
    };
    let before = status::load(session, &change.repository).await?;
    if step == Step::Advance
        && let Some(hit) = before.hits().next()
    {
        let error = anyhow!("trigger {} is hit: {}", hit.name.as_str(), hit.evidence.summary);
        return Err(Failure::new(Exit::Negative, error)
            .remedy("find the cause; `jitgate routing enable --force --why TEXT` overrides the trigger"));
    }
    let mut preview = change.record().await?;
    let is_stopped = preview.canary.phase == Phase::Stopped;
    let previewed = step.apply(&mut preview, change.origin.clone(), &change.policy.stages);
    previewed.map_err(|refused| refusal(&refused))?;
    if !args.dry_run {
        match step {
            Step::Advance if is_stopped => change.switch_on().await?,
            _ => change.store(step).await?,
        }
    }
    let after = match args.dry_run {
        true => RolloutStatus {
            reached: StageStatus {
                stage: preview.canary.stage_of(&change.policy.stages),
                stage_size: preview.canary.stage_size(&change.policy.stages),
                progress: preview.canary.progress,
                ..before.reached
            },
            ..before
        },
        false => status::load(session, &change.repository).await?,
    };
    session.answer(&after, |out| {
        let done = match (step, args.dry_run) {
            (Step::Hold, false) => "is held in".to_owned(),
            (Step::Hold, true) => "would be held in".to_owned(),
            (Step::Resume, false) => "goes on from".to_owned(),
            (Step::Resume, true) => "would go on from".to_owned(),
            (Step::Advance, false) => "has advanced to".to_owned(),
            (Step::Advance, true) => "would advance to".to_owned(),
        };
        writeln!(
            out,
            "the canary of {} {done} stage {}",
            after.reached.repository, after.reached.stage
        )
    })?;
    Ok(Exit::Done)
}

fn refusal(refused: &Refused) -> Failure {
    let remedy = match refused {
        Refused::Held(_) => "let it go on first: jitgate rollout resume --why TEXT",
        Refused::NotHeld => "nothing to do; `jitgate rollout status` shows what keeps it in its stage",
        Refused::LastStage => "nothing to do: all trusted pull requests are routed",
        Refused::Off => "find out why, then switch it on: jitgate routing enable --why TEXT",
    };
    Failure::new(Exit::Negative, anyhow!("{refused}")).remedy(remedy)
}

impl Change<'_> {
    async fn record(&self) -> Result<RolloutRecord, Failure> {
        let ledger = self.session.store()?.ledger.as_ref();
        let record = records::load(ledger, self.repository.name.as_str()).await;
        Ok(record.map_err(Failure::of_store)?.unwrap_or_default())
    }

    /// Changes the record alone.
    async fn store(&self, step: Step) -> Result<(), Failure> {
        let (ledger, retention) = (
            self.session.store()?.ledger.as_ref(),
            self.session.config()?.store.retention,
        );
        let id = self.repository.name.as_str();
        let (origin, stages) = (&self.origin, &self.policy.stages);
        let outcome = records::update(ledger, id, retention, |stored: &mut Option<RolloutRecord>| {
            let mut record = stored.clone().unwrap_or_default();
            let outcome = step.apply(&mut record, origin.clone(), stages);
            if outcome.is_ok() {
                *stored = Some(record);
            }
            outcome
        });
        outcome
            .await
            .map_err(Failure::of_store)?
            .map_err(|refused| refusal(&refused))
    }

    /// Switches routing on, which starts the next stage. The person and the reason are recorded first, so that a crash in
    /// between loses nothing.
    async fn switch_on(&self) -> Result<(), Failure> {
        let (ledger, retention) = (
            self.session.store()?.ledger.as_ref(),
            self.session.config()?.store.retention,
        );
        let (repository, github) = (&self.repository, self.session.github()?);
        let (name, variable) = (&repository.name, &repository.variable);
        let announced = switch::announce(ledger, retention, repository, true, &self.origin).await;
        announced.map_err(Failure::of_store)?;
        let access = "give the app or token the permission Variables (read and write), and run the command again";
        let set = github.set_variable(name, variable, "true").await;
        set.map_err(|failure| {
            Failure::of_github(anyhow!("{name}: cannot set {variable}: {failure}"), &failure, access)
        })?;
        let asked_at = self.session.clock.now();
        let shown = github.variable(name, variable, Purpose::Admit).await;
        let shown = shown.map_err(|failure| {
            Failure::of_github(
                anyhow!("{name}: cannot read {variable} back: {failure}"),
                &failure,
                access,
            )
        })?;
        let seen = switch::seen(shown.as_ref(), asked_at);
        if !seen.on {
            let error = anyhow!("{name}: GitHub does not show {variable} as true");
            return Err(Failure::new(Exit::Github, error).remedy("run the command again; nothing else is lost"));
        }
        let now = self.session.clock.now();
        let noted = switch::note_in(ledger, retention, repository, seen, &self.policy.stages, now).await;
        noted.map_err(Failure::of_store)
    }
}
