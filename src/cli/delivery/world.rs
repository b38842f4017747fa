//! The world of a fixture (`docs/fixtures.md`) in which GitHub gives the answers that a decision was based on.
//!
//! It is made from facts, which contain no secrets. Names that facts do not contain are invented, because only ids and
//! owners are compared.

use crate::app::records::Entry;
use crate::domain::event::{JobEvent, JobStatus};
use crate::domain::facts::{Cause, Fact, Facts, HeadRepository, Pull, Run, User};
use crate::domain::ids::RepositoryName;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

/// Stands for a deleted account.
const GHOST: &str = "ghost";
/// A time that is longer than any scenario.
const FOREVER_S: u32 = 3_000_000_000;

/// Returns the `github` object for a decision on `event`, with the name of the routing variable.
pub(super) fn world(entry: &Entry, event: &JobEvent, variable: &str) -> Value {
    let (facts, name) = (&entry.facts, &entry.decision.repository);
    let run = facts.run.known();
    let mut world = json!({
        "repositories": [{"full_name": name}],
        "users": users(facts, name),
        "runs": [run_of(entry, event)],
        "permissions": permissions(facts),
    });
    if let Some(run) = run {
        world["repositories"][0]["id"] = json!(run.repository_id);
        let pulls = facts.pulls.known().into_iter().flatten();
        let pulls: Vec<Value> = pulls.map(|pull| pull_of(pull, run, facts, name)).collect();
        world["pulls"] = json!(pulls);
        world["forks"] = json!(fork_of(run, name).into_iter().collect::<Vec<_>>());
    }
    if let Fact::Known(known) = &facts.variable {
        world["variables"] = json!({variable: known.value});
    }
    world["faults"] = json!(faults(facts));
    if let Value::Object(fields) = &mut world {
        fields.retain(|_, value| *value != json!([]) && *value != json!({}));
    }
    world
}

fn run_of(entry: &Entry, event: &JobEvent) -> Value {
    let (facts, job) = (&entry.facts, &event.job);
    let received_at = entry.decision.received_at;
    let mut run = json!({"id": job.run_id, "attempt": job.run_attempt, "jobs": [job_of(facts, event, received_at)]});
    match &facts.run {
        Fact::Known(known) => {
            run["event"] = json!(known.event);
            run["attempt"] = json!(known.run_attempt);
            run["path"] = json!(known.path);
            run["actor"] = json!(login(known.actor.as_ref()));
            run["triggering_actor"] = json!(login(known.triggering_actor.as_ref()));
            run["created_at"] = json!(known.created_at.unwrap_or(received_at));
            run["head"] = head(known, &known.head_sha, &entry.decision.repository);
        }
        Fact::Gone => run["deleted"] = json!(true),
        // GitHub shows the commit of the run for a job.
        Fact::NotAsked | Fact::Failed(_) => run["head"] = json!({"branch": GHOST, "sha": job.head_sha}),
    }
    run
}

fn job_of(facts: &Facts, event: &JobEvent, received_at: DateTime<Utc>) -> Value {
    let job = &event.job;
    let status = match &facts.live_job {
        Fact::Known(live) => live.status,
        _ => job.status,
    };
    let mut shown = json!({
        "id": job.id,
        "name": job.name,
        "labels": job.labels,
        "created_at": job.created_at.unwrap_or(received_at),
    });
    match status {
        JobStatus::Queued => {}
        JobStatus::InProgress => {
            shown["status"] = json!("in_progress");
            shown["duration_s"] = json!(FOREVER_S);
        }
        JobStatus::Completed => shown["status"] = json!("completed"),
        JobStatus::Waiting | JobStatus::Other => shown["status"] = json!("waiting"),
    }
    if facts.live_job == Fact::Gone {
        shown["deleted"] = json!(true);
    }
    shown
}

fn pull_of(pull: &Pull, run: &Run, facts: &Facts, name: &RepositoryName) -> Value {
    let mut shown = json!({
        "number": pull.number,
        "author": login(pull.author.as_ref()),
        "association": pull.author_association,
        "state": if pull.open { "open" } else { "closed" },
        "head": head(run, &pull.head_sha, name),
    });
    // An unanswered question about the commit counts against the outsider like a change.
    if matches!(facts.changes_workflows, Fact::Known(true) | Fact::Gone) {
        shown["files"] = json!([".github/workflows/ci.yml"]);
    }
    shown
}

fn head(run: &Run, sha: &str, name: &RepositoryName) -> Value {
    let mut head = json!({"branch": run.head_branch.as_deref().unwrap_or(GHOST), "sha": sha});
    if let Some(fork) = fork_of(run, name) {
        head["repository"] = fork["full_name"].clone();
    }
    head
}

/// Returns the repository of the code if it differs from the base repository.
fn fork_of(run: &Run, name: &RepositoryName) -> Option<Value> {
    match &run.head_repository {
        None => Some(json!({"full_name": format!("{GHOST}/{}", name.name()), "deleted": true})),
        Some(head) if head.id == run.repository_id => None,
        Some(head) => Some(json!({"full_name": name_of(head, name), "id": head.id})),
    }
}

fn name_of(fork: &HeadRepository, of: &RepositoryName) -> String {
    let suffix = if fork.owner.eq_ignore_ascii_case(of.owner()) {
        "-fork"
    } else {
        ""
    };
    format!("{}/{}{suffix}", fork.owner, of.name())
}

fn login(user: Option<&User>) -> &str {
    user.map_or(GHOST, |user| &user.login)
}

fn users(facts: &Facts, name: &RepositoryName) -> Vec<Value> {
    let run = facts.run.known();
    let of_run = run.into_iter().flat_map(|run| [&run.actor, &run.triggering_actor]);
    let authors = facts.pulls.known().into_iter().flatten().map(|pull| &pull.author);
    let mut users = Map::new();
    for user in of_run.chain(authors) {
        let shown = match user {
            None => json!({"login": GHOST, "deleted": true}),
            Some(user) => json!({"login": user.login, "type": kind(&user.kind)}),
        };
        users.insert(login(user.as_ref()).to_owned(), shown);
    }
    if let Some(id) = run.and_then(|run| run.repository_owner_id) {
        let owner = users
            .entry(name.owner())
            .or_insert_with(|| json!({"login": name.owner()}));
        owner["id"] = json!(id);
    }
    users.into_iter().map(|(_, user)| user).collect()
}

/// Returns the kind of account in a fixture. Unknown kinds count as users.
fn kind(word: &str) -> &str {
    match word {
        "Bot" | "Organization" | "Mannequin" => word,
        _ => "User",
    }
}

fn permissions(facts: &Facts) -> Map<String, Value> {
    let known = facts.permissions.iter().filter_map(|(login, fact)| match fact {
        Fact::Known(permission) => Some((login.clone(), json!(permission))),
        Fact::Gone => Some((login.clone(), json!("none"))),
        Fact::NotAsked | Fact::Failed(_) => None,
    });
    known.collect()
}

/// Returns faults for the questions that GitHub did not answer.
fn faults(facts: &Facts) -> Vec<Value> {
    let of_permissions = facts.permissions.values().find_map(cause);
    let failed = [
        ("get-run", cause(&facts.run)),
        ("list-pulls", cause(&facts.pulls)),
        ("pull-files", cause(&facts.changes_workflows)),
        ("get-variable", cause(&facts.variable)),
        ("permission", of_permissions),
        ("get-job", cause(&facts.live_job)),
    ];
    let fault = |(endpoint, cause): (&str, Option<Cause>)| {
        let status = match cause? {
            Cause::Unavailable => 503,
            Cause::RateLimited | Cause::OverBudget => 429,
        };
        Some(json!({"endpoint": endpoint, "status": status, "times": 1000}))
    };
    failed.into_iter().filter_map(fault).collect()
}

fn cause<T>(fact: &Fact<T>) -> Option<Cause> {
    match fact {
        Fact::Failed(cause) => Some(*cause),
        _ => None,
    }
}
