//! The fixture format; `docs/fixtures.md` is its reference. The parser is strict: a typo is an error with its position.

use super::expected::{End, Expect, RolloutExpect};
use super::history::History;
use crate::simulator::{Change, first_date};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixture<World = Value> {
    /// Short description of the events.
    pub(super) title: String,
    /// Purpose of the scenario.
    #[serde(rename = "why")]
    pub(super) _why: String,
    /// Overrides of the configuration.
    #[serde(default)]
    pub(super) settings: Map<String, Value>,
    /// State of the simulated GitHub at the start.
    pub(super) github: World,
    pub(super) steps: Vec<Step<World>>,
    /// Expectations at the end.
    pub(super) end: End,
}

/// A step: exactly one of its first seven keys, and the expectations after the step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step<World = Value> {
    /// Sends a delivery.
    pub(super) deliver: Option<Deliver>,
    /// Changes the simulated GitHub.
    pub(super) github: Option<World>,
    /// Advances the clock.
    pub(super) advance_s: Option<u32>,
    /// Restarts jitgate on the same store.
    #[serde(default)]
    pub(super) restart: bool,
    /// Makes one pass of recovery.
    #[serde(default)]
    pub(super) recover: bool,
    /// Plays pull requests with their runs.
    pub(super) history: Option<History>,
    /// Changes the behaviour of simulated runners.
    pub(super) synthetic: Option<Map<String, Value>>,
    /// Expectations on the current record of the latest delivery.
    pub(super) expect: Option<Expect>,
    /// Expectations on the rollout.
    pub(super) rollout: Option<RolloutExpect>,
}

/// A delivery with a payload made from a job of the world, with a given payload, or with the bytes of an earlier delivery.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deliver {
    /// The `X-GitHub-Event` header.
    #[serde(default = "workflow_job")]
    pub(super) event: String,
    /// Action of a payload that is made from the world.
    pub(super) action: Option<String>,
    /// Job of a payload that is made from the world.
    pub(super) job: Option<u64>,
    /// The payload. With `job`, the changes to the payload that is made from the world.
    pub(super) payload: Option<Value>,
    /// Index of the earlier delivery that is sent again, counted from 0.
    pub(super) again: Option<usize>,
    /// The `X-GitHub-Delivery` header. By default a new GUID, or the GUID of the delivery that is sent again.
    pub(super) guid: Option<String>,
    #[serde(default)]
    pub(super) signature: Signature,
    pub(super) expect: Option<Expect>,
}

fn workflow_job() -> String {
    "workflow_job".to_owned()
}

/// The signature of a delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Signature {
    /// Signed like GitHub's deliveries.
    #[default]
    Good,
    /// Signed with a different secret.
    Wrong,
    /// Without a signature.
    Missing,
    /// With a SHA-1 signature only.
    Sha1,
}

/// An error in a fixture.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {problem}; compare it with docs/fixtures.md", path.display())]
    Json { path: PathBuf, problem: serde_json::Error },
    #[error("{}: step {step}: {problem}; compare it with docs/fixtures.md", path.display())]
    Step {
        path: PathBuf,
        step: usize,
        problem: &'static str,
    },
    #[error("{}: {date} is a fixed date, which becomes outdated; use a time relative to the start of the scenario, such as \"now-3600s\"", path.display())]
    Date { path: PathBuf, date: String },
    #[error("{} contains no .json file; name fixtures, or a directory with fixtures", .0.display())]
    Empty(PathBuf),
}

impl Fixture {
    /// Returns the jobs of the world.
    pub(super) fn jobs(&self) -> Vec<u64> {
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let runs = list(&self.github, "runs");
        let jobs = runs.iter().flat_map(|run| list(run, "jobs"));
        let histories = self.steps.iter().filter_map(|step| step.history.as_ref());
        jobs.filter_map(|job| job.get("id")?.as_u64())
            .chain(histories.flat_map(History::jobs))
            .collect()
    }

    /// Returns true if the fixture expects a state of the canary or a history of the rollout.
    pub(super) fn expects_a_canary(&self) -> bool {
        let End {
            stage,
            rollbacks,
            history,
            ..
        } = &self.end;
        let in_steps = self.steps.iter().any(|step| step.rollout.is_some());
        in_steps || stage.is_some() || rollbacks.is_some() || history.is_some()
    }

    /// Returns the first date in a value that jitgate compares with its own clock.
    fn first_date(&self) -> Option<&str> {
        let changes = self.steps.iter().filter_map(|step| step.github.as_ref());
        let payloads = self
            .steps
            .iter()
            .filter_map(|step| step.deliver.as_ref()?.payload.as_ref());
        [&self.github]
            .into_iter()
            .chain(changes)
            .chain(payloads)
            .find_map(first_date)
    }
}

/// Reads a fixture.
pub(super) fn read(path: &Path) -> Result<Fixture, Unreadable> {
    let text = std::fs::read_to_string(path).map_err(|source| Unreadable::File {
        path: path.to_owned(),
        source,
    })?;
    let json = |problem| Unreadable::Json {
        path: path.to_owned(),
        problem,
    };
    // The simulator receives worlds as they were written. They are parsed here first, because only this error has a position.
    serde_json::from_str::<Fixture<Change>>(&text).map_err(json)?;
    let fixture: Fixture = serde_json::from_str(&text).map_err(json)?;
    if let Some(date) = fixture.first_date() {
        let (path, date) = (path.to_owned(), date.to_owned());
        return Err(Unreadable::Date { path, date });
    }
    for (at, step) in fixture.steps.iter().enumerate() {
        if let Err(problem) = check(step) {
            return Err(Unreadable::Step {
                path: path.to_owned(),
                step: at + 1,
                problem,
            });
        }
    }
    Ok(fixture)
}

fn check(step: &Step) -> Result<(), &'static str> {
    let verbs = [
        step.deliver.is_some(),
        step.github.is_some(),
        step.advance_s.is_some(),
        step.restart,
        step.recover,
        step.history.is_some(),
        step.synthetic.is_some(),
    ];
    if verbs.iter().filter(|given| **given).count() != 1 {
        return Err("expected exactly one of deliver, github, advance_s, restart, recover, history, synthetic");
    }
    if let Some(history) = &step.history {
        history.check()?;
    }
    if let Some(deliver) = &step.deliver {
        match (deliver.job, &deliver.payload, deliver.again) {
            (Some(_), _, None) if deliver.action.is_none() => return Err("deliver with job requires an action"),
            (Some(_), _, None) | (None, Some(_), None) | (None, None, Some(_)) => {}
            _ => return Err("deliver requires a job (with an optional payload patch), a payload, or again"),
        }
        if deliver.expect.is_some() && step.expect.is_some() {
            return Err("expect must be set once, inside deliver");
        }
    }
    Ok(())
}

/// Returns all fixture files under `paths`, sorted by name.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Unreadable> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let listing = |source| Unreadable::File {
            path: path.clone(),
            source,
        };
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(listing)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(listing)?;
        inside.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        if inside.is_empty() {
            return Err(Unreadable::Empty(path.clone()));
        }
        inside.sort();
        found.append(&mut inside);
    }
    Ok(found)
}
