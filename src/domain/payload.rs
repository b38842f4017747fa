//! Parses a `workflow_job` payload. It reads only the used fields, borrows them from the body, and tolerates the
//! variants that GitHub sends.
//!
//! Live payloads lack `run_attempt`, `created_at` or `installation`, carry runner id 0 with empty names, and show
//! `started_at` on queued jobs. None of that is an error. A missing id, name or repository is.

use super::event::{Action, Job, JobEvent, JobRunner, JobStatus, MISSING_ATTEMPT, Step};
use super::ids::{AccountId, JobId, RepositoryId, RunId, RunnerId};
use super::pin::RepositoryIds;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};
use serde_json::{Error, Value};
use std::borrow::Cow;

/// A parsed payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// An event with a known action.
    Job(Box<JobEvent>),
    /// A well-formed payload with an unknown action.
    UnknownAction,
}

/// The payload is not JSON, or not a `workflow_job` payload.
#[derive(Debug, thiserror::Error)]
#[error("not a payload: {0}")]
pub struct Malformed(#[from] Error);

/// Parses the raw body of a `workflow_job` delivery.
///
/// # Errors
/// [`Malformed`] with the position of the first problem.
pub fn parse(body: &[u8]) -> Result<Parsed, Malformed> {
    let raw: Raw<'_> = serde_json::from_str(object(body)?)?;
    let Some(action) = Action::parse(&raw.action) else {
        return Ok(Parsed::UnknownAction);
    };
    let job = raw.workflow_job;
    let runner_name = job.runner_name.unwrap_or_default();
    Ok(Parsed::Job(Box::new(JobEvent {
        action,
        synthesized: raw.jitgate.is_some_and(|mark| mark.synthesized),
        ids: RepositoryIds {
            id: raw.repository.id.map(RepositoryId),
            owner_id: raw.repository.owner.and_then(|owner| owner.id).map(AccountId),
        },
        repository: raw.repository.full_name.into_owned(),
        job: Job {
            id: JobId(job.id),
            run_id: RunId(job.run_id),
            run_attempt: job.run_attempt.unwrap_or(MISSING_ATTEMPT),
            name: job.name.unwrap_or_default().into_owned(),
            head_sha: job.head_sha.unwrap_or_default().into_owned(),
            labels: job
                .labels
                .unwrap_or_default()
                .into_iter()
                .map(Text::into_owned)
                .collect(),
            status: JobStatus::parse(job.status.as_deref().unwrap_or_default()),
            conclusion: job.conclusion.map(Text::into_owned),
            created_at: instant(job.created_at.as_deref()),
            started_at: instant(job.started_at.as_deref()),
            completed_at: instant(job.completed_at.as_deref()),
            runner: job.runner_id.filter(|id| *id != 0).map(|id| JobRunner {
                id: RunnerId(id),
                name: runner_name.into_owned(),
            }),
            steps: job.steps.unwrap_or_default().into_iter().map(step).collect(),
        },
    })))
}

/// Checks that a body is JSON. It is used for events that jitgate ignores and for payloads that it cannot parse.
///
/// # Errors
/// [`Malformed`] with the position of the first problem.
pub fn check_json(body: &[u8]) -> Result<(), Malformed> {
    // Serde does not validate the bytes of skipped strings.
    let text = std::str::from_utf8(body).map_err(Error::custom)?;
    serde_json::from_str::<IgnoredAny>(text)?;
    Ok(())
}

/// The readable parts of a payload that cannot be parsed as a whole, enough to find out whether it concerns us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// The action, known or unknown.
    pub action: Option<String>,
    /// The repository as `owner/name`.
    pub repository: Option<String>,
    pub job: Option<JobId>,
}

/// Extracts the readable parts of a `workflow_job` payload, each independently of the others.
#[must_use]
pub fn outline(body: &[u8]) -> Outline {
    let Some(parts) = object(body).ok().and_then(RawOutline::read) else {
        return Outline::default();
    };
    let repository = parts.repository.unwrap_or_default();
    let text = |pointer: &str| repository.pointer(pointer).and_then(Value::as_str);
    let parted = || Some(format!("{}/{}", text("/owner/login")?, text("/name")?));
    Outline {
        action: parts.action.as_ref().and_then(Value::as_str).map(str::to_owned),
        repository: text("/full_name").map(str::to_owned).or_else(parted),
        job: parts
            .workflow_job
            .and_then(|job| job.get("id").and_then(Value::as_u64))
            .map(JobId),
    }
}

/// Returns the text of a body that is a JSON object. Serde would also deserialize a struct from an array by position,
/// and it does not validate the bytes of skipped strings.
fn object(body: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(body).map_err(Error::custom)?;
    if text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        Ok(text)
    } else {
        Err(Error::custom("not an object").into())
    }
}

fn instant(text: Option<&str>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text?).ok().map(|t| t.to_utc())
}

fn step(raw: RawStep<'_>) -> Step {
    Step {
        name: raw.name.unwrap_or_default().into_owned(),
        status: raw.status.unwrap_or_default().into_owned(),
        conclusion: raw.conclusion.map(Text::into_owned),
        started_at: instant(raw.started_at.as_deref()),
    }
}

/// A string that is borrowed from the body if it has no escapes. (`Option<Cow>` and `Vec<Cow>` would always copy.)
#[derive(Deserialize, Default)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// The top-level fields, each of any JSON type.
#[derive(Deserialize)]
struct RawOutline<J> {
    action: Option<Value>,
    repository: Option<Value>,
    workflow_job: Option<J>,
}

impl RawOutline<Value> {
    /// Parses the fields, without the job if it is nested too deeply or contains invalid text or numbers.
    fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().or_else(|| {
            let rest: RawOutline<IgnoredAny> = serde_json::from_str(text).ok()?;
            Some(Self {
                action: rest.action,
                repository: rest.repository,
                workflow_job: None,
            })
        })
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(borrow)]
    repository: RawRepository<'a>,
    #[serde(borrow)]
    workflow_job: RawJob<'a>,
    /// jitgate's own mark.
    jitgate: Option<RawMark>,
}

#[derive(Deserialize)]
struct RawMark {
    synthesized: bool,
}

#[derive(Deserialize)]
struct RawRepository<'a> {
    #[serde(borrow)]
    full_name: Text<'a>,
    id: Option<u64>,
    owner: Option<RawOwner>,
}

#[derive(Deserialize)]
struct RawOwner {
    id: Option<u64>,
}

#[derive(Deserialize)]
struct RawJob<'a> {
    id: u64,
    run_id: u64,
    run_attempt: Option<u32>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    head_sha: Option<Text<'a>>,
    #[serde(borrow)]
    labels: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    conclusion: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
    #[serde(borrow)]
    started_at: Option<Text<'a>>,
    #[serde(borrow)]
    completed_at: Option<Text<'a>>,
    runner_id: Option<u64>,
    #[serde(borrow)]
    runner_name: Option<Text<'a>>,
    #[serde(borrow)]
    steps: Option<Vec<RawStep<'a>>>,
}

#[derive(Deserialize)]
struct RawStep<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    conclusion: Option<Text<'a>>,
    #[serde(borrow)]
    started_at: Option<Text<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(text: &str) -> JobEvent {
        match parse(text.as_bytes()).expect("well-formed") {
            Parsed::Job(event) => *event,
            Parsed::UnknownAction => panic!("the action is known"),
        }
    }

    #[test]
    fn the_barest_payload_github_sends_is_enough() {
        let event = job(r#"{"action":"queued","repository":{"id":1,"full_name":"o/r"},
                "workflow_job":{"id":18446744073709551615,"run_id":2,"labels":null,"runner_id":0,"runner_name":"","steps":null}}"#);
        assert_eq!(event.job.id, JobId(u64::MAX));
        assert_eq!(event.job.run_attempt, MISSING_ATTEMPT);
        assert_eq!(event.job.runner, None);
        assert_eq!(event.job.status, JobStatus::Other);
    }

    #[test]
    fn a_date_we_cannot_read_is_no_date() {
        let event = job(r#"{"action":"completed","repository":{"id":1,"full_name":"o/r"},
                "workflow_job":{"id":1,"run_id":2,"created_at":"yesterday","started_at":"2026-11-23T10:00:00+02:00"}}"#);
        assert_eq!(event.job.created_at, None);
        assert_eq!(
            event.job.started_at.map(|t| t.to_rfc3339()),
            Some("2026-11-23T08:00:00+00:00".to_owned())
        );
    }

    #[test]
    fn escapes_in_names_are_read_not_refused() {
        let event = job(r#"{"action":"queued","repository":{"id":1,"full_name":"o/r"},
                "workflow_job":{"id":1,"run_id":2,"name":"a\n\"b\" \ud83d\ude00","labels":["X\u00364"]}}"#);
        assert_eq!(event.job.name, "a\n\"b\" 😀");
        assert_eq!(event.job.labels, ["X64"]);
    }

    #[test]
    fn what_is_no_workflow_job_is_malformed() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for text in [
            "",
            "{",
            "null",
            "[]",
            r#"{"action":"queued"}"#,
            r#"["queued",[1,"o/r"],[1,2]]"#,
            r#"{"action":"queued","repository":{"id":1,"full_name":"o/r"},"workflow_job":{"id":-1,"run_id":2}}"#,
            deep.as_str(),
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:.40} was taken");
        }
        assert!(parse(b"\xff\xfe").is_err() && check_json(b"{\"skipped\": \"\xff\"}").is_err());
        assert!(check_json(b"[").is_err() && check_json(b" \r\n\t{}").is_ok() && check_json(deep.as_bytes()).is_ok());
    }

    #[test]
    fn an_action_of_the_future_is_known_to_be_unknown() {
        let text = r#"{"action":"paused","repository":{"id":1,"full_name":"o/r"},"workflow_job":{"id":1,"run_id":2}}"#;
        assert_eq!(parse(text.as_bytes()).expect("well-formed"), Parsed::UnknownAction);
    }

    #[test]
    fn of_what_cannot_be_read_the_rest_is() {
        let outlined = |text: &str| {
            let Outline {
                action,
                repository,
                job,
            } = outline(text.as_bytes());
            (action.unwrap_or_default(), repository.unwrap_or_default(), job)
        };
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for (text, action, repository, job) in [
            ("[]", "", "", None),
            (
                r#"{"action":7,"repository":{"full_name":"o/r"},"workflow_job":null}"#,
                "",
                "o/r",
                None,
            ),
            (
                r#"{"action":"queued","repository":{"name":"r","owner":{"login":"o"}},"workflow_job":[]}"#,
                "queued",
                "o/r",
                None,
            ),
            (
                r#"{"action":"queued","repository":null,"workflow_job":{"id":7,"run_id":"x"}}"#,
                "queued",
                "",
                Some(JobId(7)),
            ),
            (
                &format!(r#"{{"workflow_job":{deep},"action":"queued"}}"#),
                "queued",
                "",
                None,
            ),
            (
                r#"{"action":"queued","workflow_job":{"name":"\ud800"}}"#,
                "queued",
                "",
                None,
            ),
        ] {
            assert_eq!(
                outlined(text),
                (action.to_owned(), repository.to_owned(), job),
                "{text:.60}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            drop(parse(&bytes));
            drop(outline(&bytes));
        }
    }
}
