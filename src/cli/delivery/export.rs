//! `jitgate delivery export`: writes a real delivery as a fixture, for a replay elsewhere.
//!
//! The fixture contains the payload, the facts from GitHub, and the settings that decisions depend on. None of them is a
//! secret, and text in a payload that looks like a token is masked.

use super::show::{known, record};
use super::world::world;
use crate::app::records::Entry;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::config::{Loaded, Origin};
use crate::domain::decision::{self, Action, Decision, Input};
use crate::domain::event::JobEvent;
use crate::domain::facts::{Fact, LedgerFacts};
use crate::domain::ids::DeliveryId;
use crate::domain::payload::{self, Parsed};
use crate::domain::policy::{Mode, Policy};
use crate::domain::retry::backoff;
use crate::domain::routing::RoutingState;
use crate::ports::queue::{Delivery, DeliveryState};
use crate::simulator::relate_times;
use anyhow::anyhow;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Maximum number of attempts in the fixture. Later attempts lead to the same decision.
const MAX_ATTEMPTS: u32 = 12;
/// Prefixes of GitHub's tokens.
const TOKENS: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];
const MASK: &str = "***";

pub(super) async fn run(session: &Session, id: &DeliveryId, out: Option<&Path>) -> Outcome {
    let store = session.store()?;
    let delivery = known(store, id).await?;
    let record = record(store, &delivery).await?;
    let is_shrunk = record.as_ref().is_some_and(|record| record.is_shrunk);
    let entry = record.and_then(|record| record.entry(&delivery.id).cloned());
    let Some(entry) = entry.filter(|_| !is_shrunk) else {
        if is_shrunk {
            let error =
                anyhow!("the facts of delivery {id} are deleted, because its job has ended and was never trusted");
            return Err(Failure::new(Exit::Negative, error).remedy("export such a delivery before its job ends"));
        }
        return Err(undecided(&delivery));
    };
    let body = store.queue.body(id).await.map_err(Failure::of_store)?.ok_or_else(|| {
        let error = anyhow!("the body of delivery {id} is deleted (store.bodies_max_bytes), and a fixture requires it");
        Failure::new(Exit::Negative, error)
            .remedy("redeliver it at GitHub after its record is deleted here, and export it before its job ends")
    })?;
    let unreadable = |error: anyhow::Error| Failure::new(Exit::Bug, error.context(format!("delivery {id}")));
    let Parsed::Job(event) = payload::parse(&body).map_err(|error| unreadable(error.into()))? else {
        return Err(unreadable(anyhow!("its action is unknown to this version")));
    };
    let mut payload: Value = serde_json::from_slice(&body).map_err(|error| unreadable(error.into()))?;
    remove_secrets(&mut payload);
    let (settings, policy) = settings(&entry, session.loaded()?)?;
    let expect = expect(&entry, stands_alone(&entry, &event, &policy));
    let is_partial = expect.get("actions").is_none();
    let mut fixture = fixture(&entry, &event, payload, settings, &expect);
    mask_tokens(&mut fixture);
    match out {
        None => output::print_json(&fixture)?,
        Some(path) => write(path, &fixture)?,
    }
    if is_partial {
        output::report(
            "jitgate: warning: the decision depends on earlier actions of jitgate or on earlier settings, which a fixture of one \
             delivery does not contain: it expects only labels and trust",
        );
    }
    Ok(Exit::Done)
}

fn undecided(delivery: &Delivery) -> Failure {
    let id = &delivery.id;
    let (what, remedy) = match delivery.state {
        DeliveryState::Queued | DeliveryState::Leased => (
            "it has no decision yet".to_owned(),
            format!("wait; `jitgate delivery show {id}` shows its state"),
        ),
        DeliveryState::Dead => (
            format!(
                "it became a dead letter before a decision: {}",
                delivery.cause.as_deref().unwrap_or("unknown cause")
            ),
            format!("run `jitgate dead-letter retry {id}`"),
        ),
        DeliveryState::Ignored => (
            "it was ignored, so it has no decision".to_owned(),
            "export a delivery about a job of a configured repository; see `jitgate delivery list`".to_owned(),
        ),
        DeliveryState::Done => (
            "its decision is not stored: none was necessary, or the job had many later decisions".to_owned(),
            format!("run `jitgate delivery replay {id}` for a new decision"),
        ),
    };
    Failure::new(Exit::Negative, anyhow!("delivery {id}: {what}")).remedy(remedy)
}

fn write(path: &Path, fixture: &Value) -> Result<(), Failure> {
    let text = format!("{fixture:#}\n");
    output::write_file(path, &text)?;
    output::report(&format!(
        "jitgate: wrote {}; play it with `jitgate replay`",
        path.display()
    ));
    Ok(())
}

fn fixture(entry: &Entry, event: &JobEvent, mut payload: Value, settings: Value, expect: &Value) -> Value {
    let decision = &entry.decision;
    let variable = settings["repositories"][0]["variable"].as_str().unwrap_or_default();
    let mut github = world(entry, event, variable);
    let mut steps = Vec::new();
    relate_times(&mut github, decision.received_at);
    relate_times(&mut payload, decision.received_at);
    if let Some(changed) = changed_under_way(entry, &mut github) {
        steps.push(json!({"github": changed}));
    }
    let mut waits = waits(decision, entry.facts.ledger.attempts);
    let mut deliver = json!({"guid": decision.delivery, "payload": payload});
    if waits.is_empty() {
        deliver["expect"] = expect.clone();
    }
    steps.push(json!({"deliver": deliver}));
    if let Some(last) = waits.pop() {
        steps.extend(waits.into_iter().map(|wait| json!({"advance_s": wait})));
        steps.push(json!({"advance_s": last, "expect": expect}));
    }
    let (action, job) = (decision.action.as_str(), &decision.job);
    json!({
        "title": format!("Delivery {}: {action} job {} of {}", decision.delivery, job.id, decision.repository),
        "why": format!(
            "A real delivery with the facts from GitHub at {}: {}, {}, {}.",
            decision.decided_at.to_rfc3339(),
            decision.trust.verdict.as_str(),
            decision.routing.verdict.as_str(),
            decision.admission.verdict.as_str(),
        ),
        "settings": settings,
        "github": github,
        "steps": steps,
        "end": {},
    })
}

/// Returns a change of the variable during the run, which the fixture applies after the start of the run.
fn changed_under_way(entry: &Entry, github: &mut Value) -> Option<Value> {
    let is_unclear = entry.decision.routing.state == RoutingState::Unknown;
    let known = matches!(entry.facts.variable, Fact::Known(_));
    let variables = github.as_object_mut().filter(|_| is_unclear && known)?;
    Some(json!({"variables": variables.remove("variables")?}))
}

/// Returns the delay before each further attempt, so that the same total time passes as for the real delivery.
fn waits(decision: &Decision, attempts: u32) -> Vec<i64> {
    let mut waits: Vec<i64> = (0..attempts.min(MAX_ATTEMPTS))
        .map(|attempt| backoff(attempt, 1.0).num_seconds() + 1)
        .collect();
    let missing = (decision.decided_at - decision.received_at).num_seconds() - waits.iter().sum::<i64>();
    if let Some(last) = waits.last_mut() {
        *last += missing.max(0);
    }
    waits
}

/// Returns true if the facts from GitHub and the current settings lead to the same decision. Other inputs are not part of
/// the fixture.
fn stands_alone(entry: &Entry, event: &JobEvent, policy: &Policy) -> bool {
    let mut facts = entry.facts.clone();
    facts.ledger = LedgerFacts {
        attempts: facts.ledger.attempts,
        catching_up: facts.ledger.catching_up,
        ..LedgerFacts::default()
    };
    let made = &entry.decision;
    let again = decision::decide(&Input {
        delivery: &made.delivery,
        received_at: made.received_at,
        repository: &made.repository,
        event,
        facts: &facts,
        policy,
        now: made.decided_at,
    });
    again == *made
}

fn expect(entry: &Entry, stands_alone: bool) -> Value {
    let decision = &entry.decision;
    let mut expect = json!({
        "status": 202,
        "labels_class": decision.labels_class,
        "trust": decision.trust.verdict,
    });
    if stands_alone {
        let mut reasons = decision.reasons();
        reasons.sort_by_key(ToString::to_string);
        expect["reasons"] = json!(reasons);
        expect["routing"] = json!(decision.routing.verdict.as_str());
        expect["admission"] = json!(decision.admission.verdict);
        expect["actions"] = json!(decision.actions);
        expect["would"] = json!(decision.would);
        expect["warnings"] = json!(decision.warnings);
    }
    expect
}

/// Returns the settings that decisions depend on and that differ from the defaults, and the resulting policy. None of them
/// is a secret.
fn settings(entry: &Entry, loaded: &Loaded) -> Result<(Value, Policy), Failure> {
    let name = &entry.decision.repository;
    let served = loaded.config.repositories.iter().find(|served| served.name == *name);
    let served = served.ok_or_else(|| {
        Failure::new(Exit::Configuration, anyhow!("{name} is no longer configured"))
            .remedy("add its [[repositories]] table, because decisions depend on it")
    })?;
    let mut repository = json!({"full_name": name, "variable": served.variable});
    let mut sections = Map::new();
    let of_repository = format!("repositories[{name}].");
    for (key, setting) in &loaded.settings {
        let Some(text) = setting
            .value
            .as_ref()
            .filter(|_| setting.origin != Some(Origin::Default))
        else {
            continue;
        };
        let value: Value = text.parse().unwrap_or_default();
        if let Some(name) = key.strip_prefix(&of_repository) {
            repository[name] = value;
        } else if let Some((section @ ("routing" | "trust"), name)) = key.split_once('.') {
            sections.entry(section).or_insert_with(|| json!({}))[name] = value;
        }
    }
    let policy = Policy {
        mode: mode_then(&entry.decision, served.policy.mode),
        ..served.policy.clone()
    };
    let rollout = json!({
        "mode": policy.mode,
        "rollback_on_attempt": policy.rollback_on_attempt,
        "rerun_stuck": policy.rerun_stuck,
    });
    sections.insert("rollout".to_owned(), rollout);
    sections.insert("repositories".to_owned(), json!([repository]));
    Ok((Value::Object(sections), policy))
}

/// Returns the mode at the time of the decision. The record shows it if it made a difference.
fn mode_then(decision: &Decision, now: Mode) -> Mode {
    if !decision.would.is_empty() {
        Mode::Observe
    } else if decision.actions.iter().any(|action| is_enforced(*action)) {
        Mode::Enforce
    } else {
        now
    }
}

fn is_enforced(action: Action) -> bool {
    matches!(
        action,
        Action::CancelRun | Action::ForceCancelRun | Action::RerunRun | Action::Rollback
    )
}

/// Masks text that looks like a token. GitHub puts no secret into this payload today.
fn remove_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !key.contains("token") && !key.contains("secret"));
            fields.values_mut().for_each(remove_secrets);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_secrets),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Masks tokens, which people can put into names. No decision depends on them.
fn mask_tokens(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(mask_tokens),
        Value::Array(items) => items.iter_mut().for_each(mask_tokens),
        Value::String(text) => mask_tokens_in(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn mask_tokens_in(text: &mut String) {
    for start in TOKENS {
        while let Some(at) = text.find(start) {
            let tail = text.get(at..).unwrap_or_default();
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = tail.find(|c| !is_part(c)).map_or(text.len(), |length| at + length);
            text.replace_range(at..end, MASK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_masked_wherever_it_is() {
        let mut payload = json!({
            "repository": {"temp_clone_token": "AAAA", "full_name": "octo-org/chem"},
            "workflow_job": {"name": "web (ghp_abc123, github_pat_11AA_bb) é", "steps": [{"name": "ghs_x"}]},
        });
        remove_secrets(&mut payload);
        mask_tokens(&mut payload);
        let expected = json!({
            "repository": {"full_name": "octo-org/chem"},
            "workflow_job": {"name": "web (***, ***) é", "steps": [{"name": "***"}]},
        });
        assert_eq!(payload, expected);
    }
}
