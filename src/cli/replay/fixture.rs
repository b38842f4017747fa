//! The fixture format (contract 4; `docs/fixtures.md` is its reference), read strictly: a typo is an error with its place.

use crate::simulator::{Change, first_date};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// One scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixture<World = Value> {
    /// What happens, in a few words.
    pub(super) title: String,
    /// Why it matters.
    #[serde(rename = "why")]
    pub(super) _why: String,
    /// Configuration overrides.
    #[serde(default)]
    pub(super) settings: Map<String, Value>,
    /// GitHub at the start.
    pub(super) github: World,
    /// What happens, in order.
    pub(super) steps: Vec<Step<World>>,
    /// How it must end.
    pub(super) end: End,
}

/// One step: exactly one of its first four keys, and what is expected of the latest delivery after it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step<World = Value> {
    /// GitHub delivers.
    pub(super) deliver: Option<Deliver>,
    /// Something changes at GitHub.
    pub(super) github: Option<World>,
    /// Time passes.
    pub(super) advance_s: Option<u32>,
    /// The gate is restarted; its store stays.
    #[serde(default)]
    pub(super) restart: bool,
    /// What the latest delivery's record says now.
    pub(super) expect: Option<Expect>,
}

/// A delivery: of a job of the world, of a whole payload, or of an earlier delivery's very bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deliver {
    /// `X-GitHub-Event`.
    #[serde(default = "workflow_job")]
    pub(super) event: String,
    /// The action, for a payload made from the world.
    pub(super) action: Option<String>,
    /// The job it is about, for a payload made from the world.
    pub(super) job: Option<u64>,
    /// The whole payload; with `job`, what is changed in the one made from the world.
    pub(super) payload: Option<Value>,
    /// Which earlier delivery is sent again, counted from 0.
    pub(super) again: Option<usize>,
    /// `X-GitHub-Delivery`; where it is left out, made up, or that of the delivery sent again.
    pub(super) guid: Option<String>,
    /// How it is signed.
    #[serde(default)]
    pub(super) signature: Signature,
    /// What is expected.
    pub(super) expect: Option<Expect>,
}

fn workflow_job() -> String {
    "workflow_job".to_owned()
}

/// How a delivery is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Signature {
    /// As GitHub does.
    #[default]
    Good,
    /// With another secret.
    Wrong,
    /// Not at all.
    Missing,
    /// With SHA-1 only.
    Sha1,
}

/// What is expected of a delivery; a key that is left out expects nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) status: Option<u16>,
    pub(super) labels_class: Option<String>,
    pub(super) trust: Option<String>,
    /// All reason codes of trust and admission.
    pub(super) reasons: Option<Vec<String>>,
    pub(super) routing: Option<String>,
    pub(super) admission: Option<String>,
    pub(super) actions: Option<Vec<String>>,
    pub(super) would: Option<Vec<String>>,
    pub(super) warnings: Option<Vec<String>>,
}

/// How a scenario must end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Runners made.
    pub(super) minted: Option<u64>,
    /// Jobs that ran on them.
    pub(super) ran: Option<u64>,
    /// Runner records and environments left over.
    pub(super) left: Option<u64>,
    /// Kinds of the alerts raised.
    pub(super) alerts: Option<Vec<String>>,
    /// Kinds of those that are not over.
    pub(super) open_alerts: Option<Vec<String>>,
    /// The routing variable.
    pub(super) variable: Option<String>,
}

/// A fixture cannot be read.
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
    #[error("{}: {date} is a date, which expires: write a time relative to the scenario's, such as \"now-3600s\"", path.display())]
    Date { path: PathBuf, date: String },
    #[error("{} holds no .json file; name fixtures, or a directory of them", .0.display())]
    Empty(PathBuf),
}

impl Fixture {
    /// The jobs of its world.
    pub(super) fn jobs(&self) -> Vec<u64> {
        let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let runs = list(&self.github, "runs");
        let jobs = runs.iter().flat_map(|run| list(run, "jobs"));
        jobs.filter_map(|job| job.get("id")?.as_u64()).collect()
    }

    /// The first date in anything that a gate judges by its own clock.
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

/// Reads one fixture.
pub(super) fn read(path: &Path) -> Result<Fixture, Unreadable> {
    let text = std::fs::read_to_string(path).map_err(|source| Unreadable::File {
        path: path.to_owned(),
        source,
    })?;
    let json = |problem| Unreadable::Json {
        path: path.to_owned(),
        problem,
    };
    // Worlds go to the simulator as they were written, and are read for what they mean first, which knows a typo's place.
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
    ];
    if verbs.iter().filter(|given| **given).count() != 1 {
        return Err("give exactly one of deliver, github, advance_s, restart");
    }
    if let Some(deliver) = &step.deliver {
        match (deliver.job, &deliver.payload, deliver.again) {
            (Some(_), _, None) if deliver.action.is_none() => return Err("a deliver with job needs an action"),
            (Some(_), _, None) | (None, Some(_), None) | (None, None, Some(_)) => {}
            _ => return Err("deliver takes a job (with an optional payload patch), a payload, or again"),
        }
        if deliver.expect.is_some() && step.expect.is_some() {
            return Err("give expect once, inside deliver");
        }
    }
    Ok(())
}

/// All fixture files under `paths`, in order of name.
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
