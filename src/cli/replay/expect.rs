//! Compares the results of a scenario with its expectations.

use super::expected::{End, Expect, RolloutExpect};
use crate::domain::decision::Decision;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// An expectation that was not met.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Difference {
    /// Key in the fixture.
    pub(super) key: String,
    pub(super) expected: String,
    pub(super) found: String,
}

/// The state at the end of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outcome {
    pub(super) minted: u64,
    pub(super) ran: u64,
    pub(super) left: u64,
    pub(super) alerts: BTreeSet<String>,
    pub(super) open_alerts: BTreeSet<String>,
    pub(super) escalations: BTreeSet<String>,
    pub(super) alert_counts: BTreeMap<String, Vec<u64>>,
    pub(super) variable: Option<String>,
    pub(super) reruns: Vec<u64>,
    /// The stage of the canary, if the stage of the play can show it.
    pub(super) stage: Option<usize>,
    /// The changes of the rollout, the oldest first. Those that the mode `observe` only reports begin with `would-`.
    pub(super) history: Vec<String>,
}

/// The state of the rollout after a step.
#[derive(Debug, Clone, Default)]
pub(super) struct RolloutState {
    pub(super) variable: Option<String>,
    /// None if the stage cannot show the canary.
    pub(super) canary: Option<CanaryState>,
}

/// The state of the canary and its triggers.
#[derive(Debug, Clone, Default)]
pub(super) struct CanaryState {
    pub(super) stage: usize,
    pub(super) progress: u32,
    /// The names of the triggers that are hit.
    pub(super) triggers: BTreeSet<String>,
    /// The reason of the latest change.
    pub(super) why: Option<String>,
}

/// Compares the rollout after a step.
pub(super) fn of_rollout(step: usize, expect: &RolloutExpect, state: &RolloutState) -> Vec<Difference> {
    let mut differences = Differences::default();
    let key = |name: &str| format!("step {step}: rollout.{name}");
    let canary = state.canary.as_ref();
    differences.value(&key("variable"), expect.variable.as_deref(), state.variable.as_deref());
    differences.value(&key("stage"), expect.stage.as_ref(), canary.map(|canary| &canary.stage));
    differences.value(
        &key("progress"),
        expect.progress.as_ref(),
        canary.map(|canary| &canary.progress),
    );
    differences.set(
        &key("triggers"),
        expect.triggers.as_deref(),
        canary.map(|canary| canary.triggers.clone()),
    );
    let why = canary.and_then(|canary| canary.why.as_deref());
    if let Some(text) = &expect.why
        && !why.is_some_and(|why| why.contains(text))
    {
        differences.value(&key("why"), Some(text.as_str()), why);
    }
    differences.0
}

/// Compares the answer to a delivery and its decision record.
pub(super) fn of_delivery(expect: &Expect, status: u16, decision: Option<&Decision>) -> Vec<Difference> {
    let mut differences = Differences::default();
    differences.value("status", expect.status.as_ref(), Some(&status));
    let judged = |pick: fn(&Decision) -> &'static str| decision.map(pick);
    differences.value(
        "labels_class",
        expect.labels_class.as_deref(),
        judged(|d| d.labels_class.as_str()),
    );
    differences.value("trust", expect.trust.as_deref(), judged(|d| d.trust.verdict.as_str()));
    differences.value(
        "routing",
        expect.routing.as_deref(),
        judged(|d| d.routing.verdict.as_str()),
    );
    differences.value(
        "admission",
        expect.admission.as_deref(),
        judged(|d| d.admission.verdict.as_str()),
    );
    let codes = |d: &Decision| d.reasons().iter().map(ToString::to_string).collect();
    differences.set("reasons", expect.reasons.as_deref(), decision.map(codes));
    let texts = |actions: &[crate::domain::decision::Action]| actions.iter().map(ToString::to_string).collect();
    differences.set(
        "actions",
        expect.actions.as_deref(),
        decision.map(|d| texts(&d.actions)),
    );
    differences.set("would", expect.would.as_deref(), decision.map(|d| texts(&d.would)));
    let warnings = decision.map(|d| d.warnings.iter().cloned().collect());
    differences.set("warnings", expect.warnings.as_deref(), warnings);
    differences.0
}

/// Compares the state at the end of a scenario.
pub(super) fn of_end(end: &End, outcome: &Outcome) -> Vec<Difference> {
    let mut differences = Differences::default();
    differences.value("end.minted", end.minted.as_ref(), Some(&outcome.minted));
    differences.value("end.ran", end.ran.as_ref(), Some(&outcome.ran));
    differences.value("end.left", end.left.as_ref(), Some(&outcome.left));
    differences.set("end.alerts", end.alerts.as_deref(), Some(outcome.alerts.clone()));
    let open = Some(outcome.open_alerts.clone());
    differences.set("end.open_alerts", end.open_alerts.as_deref(), open);
    let escalations = Some(outcome.escalations.clone());
    differences.set("end.escalations", end.escalations.as_deref(), escalations);
    for (kind, counts) in end.alert_counts.iter().flatten() {
        let found = outcome.alert_counts.get(kind).map(|counts| joined(counts));
        differences.value(
            &format!("end.alert_counts.{kind}"),
            Some(&joined(counts)),
            found.as_ref(),
        );
    }
    differences.value("end.variable", end.variable.as_deref(), outcome.variable.as_deref());
    let (expected, mut reruns) = (end.reruns.clone(), outcome.reruns.clone());
    reruns.sort_unstable();
    let expected = expected.map(|mut expected| {
        expected.sort_unstable();
        joined(&expected)
    });
    differences.value("end.reruns", expected.as_ref(), Some(&joined(&reruns)));
    differences.value("end.stage", end.stage.as_ref(), outcome.stage.as_ref());
    let rollbacks = outcome.history.iter().filter(|what| *what == "rollback").count();
    differences.value("end.rollbacks", end.rollbacks.as_ref(), Some(&rollbacks));
    let history = end.history.as_deref().map(joined);
    differences.value("end.history", history.as_ref(), Some(&joined(&outcome.history)));
    differences.0
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn value<T: PartialEq + Display + ?Sized>(&mut self, key: &str, expected: Option<&T>, found: Option<&T>) {
        let Some(expected) = expected else { return };
        if found != Some(expected) {
            self.0.push(Difference {
                key: key.to_owned(),
                expected: expected.to_string(),
                found: found.map_or_else(|| "nothing".to_owned(), ToString::to_string),
            });
        }
    }

    fn set(&mut self, key: &str, expected: Option<&[String]>, found: Option<BTreeSet<String>>) {
        let Some(expected) = expected else { return };
        let expected: BTreeSet<String> = expected.iter().cloned().collect();
        if found.as_ref() != Some(&expected) {
            self.0.push(Difference {
                key: key.to_owned(),
                expected: list(&expected),
                found: found.as_ref().map_or_else(|| "nothing".to_owned(), list),
            });
        }
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", texts.join(", "))
}

fn list(texts: &BTreeSet<String>) -> String {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    format!("[{}]", texts.join(", "))
}
