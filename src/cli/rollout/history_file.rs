//! The file with recorded runs, which `rollout export` writes and `rollout simulate` reads; `docs/rollout-history.md` is
//! its reference. The parser is strict, so that a typo or a contradiction cannot change a result silently.

use crate::domain::ids::{JobId, RepositoryName, RunId};
use crate::domain::rollout::{Lifecycle, MeasuredJob, MeasuredRun, Mismatch, Tally, WaitParts};
use crate::domain::routing_verdict::RoutingVerdict;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The version of the format.
const VERSION: u32 = 1;
/// Maximum difference between the clocks of GitHub's machines in a valid file.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(60);

/// The recorded runs of a repository.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recording {
    pub(super) repository: RepositoryName,
    pub(super) exported_at: DateTime<Utc>,
    pub(super) runs: Vec<MeasuredRun>,
    /// The routing verdicts of all other jobs.
    pub(super) tally: Tally,
    pub(super) mismatches: Vec<Mismatch>,
}

/// An error in a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("v: is {0}, but this jitgate reads version {VERSION}")]
    Version(u32),
    #[error("{place}: {problem}")]
    Contradiction { place: String, problem: &'static str },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u32,
    repository: RepositoryName,
    exported_at: DateTime<Utc>,
    runs: Vec<FileRun>,
    #[serde(default)]
    verdicts: FileVerdicts,
}

/// Only the version, because other versions can have any further keys.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRun {
    run: RunId,
    attempt: u32,
    pull_request: u64,
    created_at: DateTime<Utc>,
    jobs: Vec<FileJob>,
    #[serde(default)]
    tally_before: FileTally,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJob {
    job: JobId,
    verdict: RoutingVerdict,
    lifecycle: Lifecycle,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    setup_ms: Option<u64>,
    #[serde(default)]
    wait: FileWait,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWait {
    delivery_lag_ms: Option<u64>,
    decision_ms: Option<u64>,
    slot_ms: Option<u64>,
    mint_ms: Option<u64>,
    boot_ms: Option<u64>,
    pickup_ms: Option<u64>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTally {
    correct: u64,
    wrong: u64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileVerdicts {
    #[serde(default)]
    tally: FileTally,
    #[serde(default)]
    mismatches: Vec<FileMismatch>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMismatch {
    job: JobId,
    run: RunId,
    pull_request: Option<u64>,
    verdict: RoutingVerdict,
    run_created_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
}

/// Parses a file.
pub(super) fn parse(text: &str) -> Result<Recording, Unreadable> {
    let Versioned { v } = serde_json::from_str(text)?;
    if v != VERSION {
        return Err(Unreadable::Version(v));
    }
    let file: File = serde_json::from_str(text)?;
    check(&file)?;
    Ok(Recording {
        repository: file.repository,
        exported_at: file.exported_at,
        runs: file.runs.into_iter().map(FileRun::measured).collect(),
        tally: file.verdicts.tally.tally(),
        mismatches: file
            .verdicts
            .mismatches
            .into_iter()
            .map(FileMismatch::mismatch)
            .collect(),
    })
}

/// Returns the JSON text of a recording.
pub(super) fn render(recording: &Recording) -> Result<String, serde_json::Error> {
    let file = File {
        v: VERSION,
        repository: recording.repository.clone(),
        exported_at: recording.exported_at,
        runs: recording.runs.iter().map(FileRun::of).collect(),
        verdicts: FileVerdicts {
            tally: FileTally::of(recording.tally),
            mismatches: recording.mismatches.iter().map(FileMismatch::of).collect(),
        },
    };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

fn check(file: &File) -> Result<(), Unreadable> {
    let (mut runs, mut jobs) = (BTreeSet::new(), BTreeSet::new());
    for (at, run) in file.runs.iter().enumerate() {
        let fault = |key: &str, problem| Unreadable::Contradiction {
            place: format!("runs[{at}]{key} (run {})", run.run),
            problem,
        };
        if !runs.insert((run.run, run.attempt)) {
            return Err(fault("", "this attempt of the run is listed twice"));
        }
        if run.attempt == 0 {
            return Err(fault(".attempt", "must be at least 1"));
        }
        if run.created_at > file.exported_at {
            return Err(fault(".created_at", "is after exported_at"));
        }
        if run.jobs.is_empty() {
            return Err(fault(".jobs", "must contain a job"));
        }
        for (number, job) in run.jobs.iter().enumerate() {
            let fault = |key: &str, problem| fault(&format!(".jobs[{number}].{key}"), problem);
            if !jobs.insert(job.job) {
                return Err(fault("job", "this job is listed twice"));
            }
            if let Some((key, problem)) = job.contradiction() {
                return Err(fault(key, problem));
            }
        }
    }
    Ok(())
}

impl FileRun {
    fn of(run: &MeasuredRun) -> Self {
        Self {
            run: run.run,
            attempt: run.attempt,
            pull_request: run.pull_request,
            created_at: run.created_at,
            jobs: run.jobs.iter().map(|(id, job)| FileJob::of(*id, job, run)).collect(),
            tally_before: FileTally::of(run.tally_before),
        }
    }

    fn measured(self) -> MeasuredRun {
        MeasuredRun {
            run: self.run,
            attempt: self.attempt,
            pull_request: self.pull_request,
            created_at: self.created_at,
            jobs: self.jobs.into_iter().map(|job| (job.job, job.measured())).collect(),
            tally_before: self.tally_before.tally(),
        }
    }
}

impl FileJob {
    fn of(id: JobId, job: &MeasuredJob, run: &MeasuredRun) -> Self {
        let parts = job.parts;
        Self {
            job: id,
            verdict: job.verdict,
            lifecycle: job.lifecycle,
            created_at: job.created_at.unwrap_or(run.created_at),
            started_at: job.started_at,
            ended_at: job.ended_at,
            setup_ms: job.setup_ms,
            wait: FileWait {
                delivery_lag_ms: parts.delivery_lag_ms,
                decision_ms: parts.decision_ms,
                slot_ms: parts.slot_ms,
                mint_ms: parts.mint_ms,
                boot_ms: parts.boot_ms,
                pickup_ms: parts.pickup_ms,
            },
        }
    }

    fn measured(self) -> MeasuredJob {
        let wait = self.wait;
        MeasuredJob {
            verdict: self.verdict,
            created_at: Some(self.created_at),
            started_at: self.started_at,
            ended_at: self.ended_at,
            parts: WaitParts {
                delivery_lag_ms: wait.delivery_lag_ms,
                decision_ms: wait.decision_ms,
                slot_ms: wait.slot_ms,
                mint_ms: wait.mint_ms,
                boot_ms: wait.boot_ms,
                pickup_ms: wait.pickup_ms,
            },
            setup_ms: self.setup_ms,
            lifecycle: self.lifecycle,
            live: None,
        }
    }

    /// Returns the key with a value that contradicts another one, and the problem.
    fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let begin = self.started_at.unwrap_or(self.created_at);
        let is_before = |at: Option<DateTime<Utc>>, other| at.is_some_and(|at| at + MAX_SKEW < other);
        if is_before(self.started_at, self.created_at) {
            return Some(("started_at", "is before created_at"));
        }
        is_before(self.ended_at, begin).then_some(("ended_at", "is before the start of the job"))
    }
}

impl FileTally {
    fn of(tally: Tally) -> Self {
        Self {
            correct: tally.correct,
            wrong: tally.wrong,
        }
    }

    fn tally(self) -> Tally {
        Tally {
            correct: self.correct,
            wrong: self.wrong,
        }
    }
}

impl FileMismatch {
    fn of(mismatch: &Mismatch) -> Self {
        Self {
            job: mismatch.job,
            run: mismatch.run,
            pull_request: mismatch.pull_request,
            verdict: mismatch.verdict,
            run_created_at: mismatch.run_created_at,
            at: mismatch.at,
        }
    }

    fn mismatch(self) -> Mismatch {
        Mismatch {
            job: self.job,
            run: self.run,
            pull_request: self.pull_request,
            verdict: self.verdict,
            run_created_at: self.run_created_at,
            at: self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "v": 1, "repository": "octo-org/chem-model", "exported_at": "1970-01-01T01:00:00Z",
        "runs": [{"run": 5, "attempt": 1, "pull_request": 7, "created_at": "1970-01-01T00:00:10Z",
            "tally_before": {"correct": 3, "wrong": 0},
            "jobs": [{"job": 51, "verdict": "correct", "lifecycle": "success", "created_at": "1970-01-01T00:00:10Z",
                "started_at": "1970-01-01T00:00:30Z", "ended_at": "1970-01-01T00:01:30Z", "setup_ms": 9000,
                "wait": {"delivery_lag_ms": 2000}}]}],
        "verdicts": {"tally": {"correct": 4, "wrong": 1}, "mismatches": [
            {"job": 61, "run": 6, "pull_request": null, "verdict": "misroute", "run_created_at": null,
                "at": "1970-01-01T00:02:00Z"}]}
    }"#;

    #[test]
    fn a_file_is_the_same_after_reading_and_writing() {
        let recording = parse(FILE).expect("a recording");
        assert_eq!((recording.runs.len(), recording.mismatches.len()), (1, 1));
        assert_eq!(recording.runs[0].jobs[&JobId(51)].parts.delivery_lag_ms, Some(2000));
        let text = render(&recording).expect("JSON");
        assert_eq!(parse(&text).expect("a recording"), recording);
        for value in ["\"setup_ms\": 9000", "\"correct\": 4", "\"misroute\""] {
            assert!(text.contains(value), "{value} in {text}");
        }
    }

    #[test]
    fn faults_are_named_with_their_place() {
        for (from, to, expected) in [
            ("\"v\": 1", "\"v\": 2", "v: is 2"),
            ("\"attempt\"", "\"atempt\"", "unknown field `atempt`"),
            (
                "\"attempt\": 1",
                "\"attempt\": 0",
                "runs[0].attempt (run 5): must be at least 1",
            ),
            (
                "\"created_at\": \"1970-01-01T00:00:10Z\",\n                \"started_at\"",
                "\"created_at\": \"1970-01-01T00:01:31Z\",\n                \"started_at\"",
                "runs[0].jobs[0].started_at (run 5): is before created_at",
            ),
            (
                "00:00:30Z",
                "00:02:31Z",
                "runs[0].jobs[0].ended_at (run 5): is before the start of the job",
            ),
            ("\"success\"", "\"great\"", "unknown variant `great`"),
            (
                "01:00:00Z",
                "00:00:01Z",
                "runs[0].created_at (run 5): is after exported_at",
            ),
            ("\"correct\": 4", "\"correct\": -4", "invalid value"),
        ] {
            let text = FILE.replacen(from, to, 1);
            assert_ne!(text, FILE, "{from}");
            let error = parse(&text).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected} in {error}");
        }
    }

    #[test]
    fn a_run_is_listed_once() {
        let run = &FILE[FILE.find("{\"run\"").expect("a run")..FILE.find("],\n        \"verdicts\"").expect("the end")];
        let twice = FILE.replacen(run, &format!("{run}, {run}"), 1);
        let error = parse(&twice).expect_err("twice").to_string();
        assert!(
            error.contains("runs[1] (run 5): this attempt of the run is listed twice"),
            "{error}"
        );
        let error = parse(&twice.replacen("\"attempt\": 1", "\"attempt\": 2", 1)).expect_err("one job");
        assert!(error.to_string().contains("runs[1].jobs[0].job (run 5)"), "{error}");
    }
}
