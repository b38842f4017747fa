//! The step `history` of a fixture: pull requests one after the other, each with one run.
//!
//! The ids of runs and jobs follow from the number of their pull request: run `N00`, jobs `N01`, `N02` and so on.

use super::expected::Expect;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Maximum number of jobs in a run of a history, because their ids follow from the run.
const MAX_JOBS: u64 = 98;
/// Time in which a run of a history without times of its own begins and ends.
const DEFAULT_INTERVAL_S: u32 = 60;

/// The pull requests of a history.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct History {
    /// Number of pull requests.
    pub(super) pulls: u64,
    /// The number of the first pull request.
    pub(super) from: u64,
    /// Time from one pull request to the next.
    #[serde(default = "default_interval")]
    pub(super) every_s: u32,
    /// The pull requests; after the last one, the first one follows again.
    #[serde(default)]
    each: Vec<Kind>,
    /// Other values for single pull requests, by number.
    #[serde(default)]
    except: BTreeMap<u64, Episode>,
}

fn default_interval() -> u32 {
    DEFAULT_INTERVAL_S
}

/// A number of equal pull requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    #[serde(default = "once")]
    times: usize,
    pull: Episode,
}

fn once() -> usize {
    1
}

/// A pull request with one run. An absent key has its default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Episode {
    author: Option<String>,
    association: Option<String>,
    /// The repository of the head.
    head_repository: Option<String>,
    head_branch: Option<String>,
    files: Option<Vec<String>>,
    jobs: Option<Vec<EpisodeJob>>,
    /// Time from the creation of the jobs to the arrival of their deliveries.
    lag_s: Option<u32>,
    /// Time from the claim of a slot to the connection of its runner.
    wait_s: Option<u32>,
    /// Time from the start of the jobs to their first own step.
    setup_s: Option<u32>,
    /// Time from the start of the jobs to their end.
    duration_s: Option<u32>,
    outcome: Option<Ending>,
    /// Expectations on the delivery of each job.
    expect: Option<Expect>,
}

/// A job of an [`Episode`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EpisodeJob {
    name: Option<String>,
    /// The labels. By default they follow the routing variable, like those of a trusted job in the routed workflow.
    labels: Option<Vec<String>>,
}

/// The end of a run in a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    #[default]
    Success,
    /// The jobs run and fail.
    Failure,
    /// The slots of all runners fail before the runners connect.
    BootFailure,
    /// No runner connects.
    RegistrationFailure,
    /// A person cancels the run before a runner connects.
    Cancelled,
}

/// A pull request of a history with all its values.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) lag_s: u32,
    pub(super) wait_s: u32,
    pub(super) duration_s: u32,
    /// The rest of the time until the next pull request.
    pub(super) rest_s: u32,
    pub(super) ending: Ending,
    /// The ids of its jobs.
    pub(super) jobs: Vec<u64>,
    /// The change of the world that opens it and starts its run.
    pub(super) world: Value,
    /// The change of the world that cancels its run.
    pub(super) cancelled: Value,
    pub(super) expect: Option<Expect>,
}

impl History {
    /// Reports a contradiction in the history.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let numbers = self.numbers();
        if self.pulls == 0 || self.from == 0 {
            return Err("history: pulls and from must be at least 1");
        }
        if self.except.keys().any(|number| !numbers.contains(number)) {
            return Err("history: except names a pull request that does not belong to the history");
        }
        let episodes = || numbers.clone().map(|number| self.episode(number));
        if episodes().any(|episode| episode.jobs().len() as u64 > MAX_JOBS || episode.jobs().is_empty()) {
            return Err("history: expected 1 to 98 jobs");
        }
        if episodes().any(|episode| episode.length_s() > self.every_s) {
            return Err("history: every_s must be at least lag_s + wait_s + duration_s");
        }
        if episodes().any(|episode| episode.setup_s > episode.duration_s) {
            return Err("history: setup_s must not exceed duration_s");
        }
        Ok(())
    }

    fn numbers(&self) -> std::ops::Range<u64> {
        self.from..self.from.saturating_add(self.pulls)
    }

    /// Returns the ids of all jobs.
    pub(super) fn jobs(&self) -> impl Iterator<Item = u64> {
        self.numbers()
            .flat_map(|number| job_ids(number, self.episode(number).jobs().len()))
    }

    /// Returns the pull requests in order.
    pub(super) fn planned(&self) -> impl Iterator<Item = Planned> {
        self.numbers()
            .map(|number| self.episode(number).planned(number, self.every_s))
    }

    fn episode(&self, number: u64) -> Episode {
        let cycle: usize = self.each.iter().map(|kind| kind.times).sum();
        let at = usize::try_from(number - self.from).unwrap_or_default() % cycle.max(1);
        let mut kinds = self
            .each
            .iter()
            .flat_map(|kind| std::iter::repeat_n(&kind.pull, kind.times));
        let common = kinds.nth(at).cloned().unwrap_or_default();
        match self.except.get(&number) {
            Some(own) => own.clone().or(common),
            None => common,
        }
    }
}

/// Returns the id of the run of a pull request.
fn run_id(number: u64) -> u64 {
    number.saturating_mul(100)
}

fn job_ids(number: u64, count: usize) -> Vec<u64> {
    let first = run_id(number) + 1;
    (first..).take(count).collect()
}

impl Episode {
    /// Returns these values, and those of `other` where a value is absent.
    fn or(self, other: Self) -> Self {
        Self {
            author: self.author.or(other.author),
            association: self.association.or(other.association),
            head_repository: self.head_repository.or(other.head_repository),
            head_branch: self.head_branch.or(other.head_branch),
            files: self.files.or(other.files),
            jobs: self.jobs.or(other.jobs),
            lag_s: self.lag_s.or(other.lag_s),
            wait_s: self.wait_s.or(other.wait_s),
            setup_s: self.setup_s.or(other.setup_s),
            duration_s: self.duration_s.or(other.duration_s),
            outcome: self.outcome.or(other.outcome),
            expect: self.expect.or(other.expect),
        }
    }

    fn jobs(&self) -> Vec<EpisodeJob> {
        self.jobs.clone().unwrap_or_else(|| vec![EpisodeJob::default()])
    }

    /// Returns the time from the creation of the jobs to their end.
    fn length_s(&self) -> u32 {
        [self.lag_s, self.wait_s, self.duration_s]
            .into_iter()
            .flatten()
            .fold(0, u32::saturating_add)
    }

    fn planned(&self, number: u64, every_s: u32) -> Planned {
        let ids = job_ids(number, self.jobs().len());
        let ending = self.outcome.unwrap_or_default();
        let conclusion = if ending == Ending::Failure {
            "failure"
        } else {
            "success"
        };
        let jobs: Vec<Value> = ids
            .iter()
            .zip(self.jobs())
            .map(|(id, job)| {
                present(json!({
                    "id": id,
                    "name": job.name,
                    "routed": job.labels.is_none().then_some(true),
                    "labels": job.labels,
                    "conclusion": conclusion,
                    "setup_s": self.setup_s,
                    "duration_s": self.duration_s,
                }))
            })
            .collect();
        let head = present(json!({"repository": self.head_repository, "branch": self.head_branch}));
        let pull = present(json!({
            "number": number,
            "author": self.author,
            "association": self.association,
            "head": Some(head).filter(|head| head.as_object().is_some_and(|head| !head.is_empty())),
            "files": self.files,
        }));
        let over: Vec<Value> = ids
            .iter()
            .map(|id| json!({"id": id, "status": "completed", "conclusion": "cancelled"}))
            .collect();
        Planned {
            lag_s: self.lag_s.unwrap_or_default(),
            wait_s: self.wait_s.unwrap_or_default(),
            duration_s: self.duration_s.unwrap_or_default(),
            rest_s: every_s.saturating_sub(self.length_s()),
            ending,
            jobs: ids,
            world: json!({"pulls": [pull], "runs": [{"id": run_id(number), "pull": number, "jobs": jobs}]}),
            cancelled: json!({"runs": [{"id": run_id(number), "jobs": over}]}),
            expect: self.expect.clone(),
        }
    }
}

/// Returns an object without its null values.
fn present(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(text: &str) -> History {
        serde_json::from_str(text).expect("a history")
    }

    #[test]
    fn pull_requests_follow_in_a_cycle_except_for_single_ones() {
        let history = history(
            r#"{"pulls": 4, "from": 10, "every_s": 90,
                "each": [{"times": 2, "pull": {"author": "alice", "wait_s": 5}}, {"pull": {"duration_s": 7}}],
                "except": {"11": {"wait_s": 6, "jobs": [{"name": "a"}, {"labels": ["b"]}]}}}"#,
        );
        assert_eq!(history.check(), Ok(()));
        assert_eq!(history.jobs().collect::<Vec<_>>(), [1001, 1101, 1102, 1201, 1301]);
        let planned: Vec<Planned> = history.planned().collect();
        let times: Vec<_> = planned
            .iter()
            .map(|one| (one.wait_s, one.duration_s, one.rest_s))
            .collect();
        assert_eq!(times, [(5, 0, 85), (6, 0, 84), (0, 7, 83), (5, 0, 85)]);
        let second = &planned[1].world;
        assert_eq!(second["pulls"][0], json!({"number": 11, "author": "alice"}));
        let jobs = json!([
            {"id": 1101, "name": "a", "routed": true, "conclusion": "success"},
            {"id": 1102, "labels": ["b"], "conclusion": "success"},
        ]);
        assert_eq!(second["runs"][0], json!({"id": 1100, "pull": 11, "jobs": jobs}));
    }

    #[test]
    fn a_contradiction_is_refused() {
        for text in [
            r#"{"pulls": 0, "from": 10}"#,
            r#"{"pulls": 1, "from": 10, "except": {"11": {}}}"#,
            r#"{"pulls": 1, "from": 10, "except": {"10": {"jobs": []}}}"#,
            r#"{"pulls": 1, "from": 10, "every_s": 9, "each": [{"pull": {"lag_s": 4, "wait_s": 4, "duration_s": 4}}]}"#,
            r#"{"pulls": 1, "from": 10, "each": [{"pull": {"setup_s": 4}}]}"#,
        ] {
            assert!(history(text).check().is_err(), "{text}");
        }
    }
}
