//! `jitgate routing guard` with the slots of jitgate and with each rollback trigger.

use super::stage::Stage;
use crate::support::command::Answer;
use crate::support::in_process::{REPOSITORY, VARIABLE, miss_slots};
use chrono::TimeDelta;
use jitgate::app::records::{self, RolloutRecord};
use jitgate::domain::rollout::Changed;
use jitgate::domain::routing::RoutingVerdict;
use jitgate::http::{Bind, Metrics, Running};
use jitgate::runtime;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::Arc;

/// A stage whose jitgate answers, and whose routing is on since an hour ago.
struct Guarded {
    stage: Stage,
    admin: Running,
}

impl Guarded {
    async fn set() -> Self {
        let stage = Stage::set("observe").await;
        // The commands have the clock of the system.
        let an_hour_ago = stage.now() - TimeDelta::hours(1);
        let retention = stage.gate.settings.retention;
        let on = records::update(
            stage.gate.ledger.as_ref(),
            REPOSITORY,
            retention,
            |record: &mut Option<RolloutRecord>| record.get_or_insert_default().enabled_at = Some(an_hour_ago),
        );
        on.await.expect("the store answers");
        let admin = runtime::open_admin(
            &stage.config,
            stage.gate.clone(),
            runtime::health(&stage.gate),
            Bind::Tcp(([127, 0, 0, 1], 0).into()),
            None,
            SecretString::from("hunter3-hunter3-hunter3"),
            Arc::new(Metrics::default()),
        );
        Self {
            admin: admin.expect("an admin API"),
            stage,
        }
    }

    fn run(&self, args: &[&str]) -> Answer {
        let address = self.admin.address().expect("a port").to_string();
        let place = [("JITGATE__SERVER__ADMIN_LISTEN", address.as_str())];
        self.stage
            .jitgate_with(&[&["--json", "routing", "guard"], args].concat(), &place)
    }

    /// Runs the guard, and expects an exit code.
    fn guard(&self, args: &[&str], code: i32) -> Value {
        let answer = self.run(args);
        assert_eq!(answer.code, code, "{args:?}: {}{}", answer.out, answer.err);
        assert_eq!(code == 1, answer.err.contains("jitgate: remedy: "), "{}", answer.err);
        serde_json::from_str(&answer.out).expect("JSON")
    }

    /// The worker misses its slots since it tried to recover them.
    async fn miss_slots(&self, recovered: TimeDelta) {
        self.miss("0 of at least 1 slots are up", recovered).await;
    }

    async fn miss(&self, what: &str, recovered: TimeDelta) {
        let recovered = self.stage.now() - recovered;
        let gate = &self.stage.gate;
        miss_slots(
            gate.ledger.as_ref(),
            "canary00",
            what,
            recovered,
            gate.settings.retention,
        )
        .await;
    }

    /// The number of writes of the variable.
    async fn writes(&self) -> u64 {
        self.stage
            .tally()
            .await
            .calls
            .get("set-variable")
            .copied()
            .unwrap_or_default()
    }
}

fn subjects(told: &Value) -> Vec<&str> {
    let problems = told["problems"].as_array().expect("a list").iter();
    problems
        .map(|problem| problem["subject"].as_str().expect("text"))
        .collect()
}

/// Comes to the threshold of a trigger, or goes beyond it.
async fn approach(guarded: &Guarded, trigger: &str, beyond: bool) {
    let stage = &guarded.stage;
    match trigger {
        "boot-failures" => stage.failed_to_boot(if beyond { 2 } else { 1 }).await,
        "queue-wait" => {
            let (numbers, wait) = if beyond { (10..=10, 121) } else { (1..=9, 121) };
            for pull_request in numbers {
                stage.ran(pull_request, wait).await;
            }
        }
        "offline" => {
            guarded
                .miss_slots(TimeDelta::seconds(if beyond { 700 } else { 500 }))
                .await
        }
        _ if beyond => stage.mismatched(4, RoutingVerdict::NotRouted).await,
        _ => stage.ran(4, 5).await,
    }
    stage.advance(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trigger_that_is_hit_switches_routing_off_and_is_recorded() {
    for trigger in ["boot-failures", "queue-wait", "offline", "route-mismatch"] {
        let guarded = Guarded::set().await;
        let stage = &guarded.stage;
        // Slots that are missing are a fault of their own, which the flag accepts.
        let accept = ["--allow-zero-capacity"];
        approach(&guarded, trigger, false).await;
        let told = guarded.guard(&accept, 0);
        assert_eq!(
            (&told["healthy"], &told["action"]),
            (&json!(true), &json!("none")),
            "{trigger}: {told}"
        );
        assert_eq!(
            (&told["triggers_judged"], &told["by"], &told["why"]),
            (&json!(true), &Value::Null, &Value::Null)
        );

        approach(&guarded, trigger, true).await;
        let subject = format!("trigger {trigger}");
        for (flag, action) in [("--no-toggle", "reported"), ("--dry-run", "would-disable")] {
            let told = guarded.guard(&[&accept[..], &[flag]].concat(), 1);
            assert_eq!(
                (subjects(&told), &told["action"]),
                (vec![subject.as_str()], &json!(action)),
                "{told}"
            );
            assert_eq!(told["recorded"], false);
            assert_eq!(
                (stage.variable().await.as_str(), guarded.writes().await),
                ("true", 0),
                "{trigger} {flag}"
            );
            assert_eq!(stage.changes(Changed::Disable).await, [], "{trigger} {flag}");
        }
        let told = guarded.guard(&[&accept[..], &["--by", "timer"]].concat(), 1);
        assert_eq!(
            (&told["action"], &told["recorded"]),
            (&json!("disabled"), &json!(true)),
            "{told}"
        );
        assert_eq!(
            (stage.variable().await.as_str(), guarded.writes().await),
            ("false", 1),
            "{trigger}"
        );
        let changes = stage.changes(Changed::Disable).await;
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].by.as_deref(), Some("timer"));
        let why = changes[0].why.as_deref().expect("a reason");
        assert!(why.starts_with(&subject), "{why}");
        assert_eq!(told["why"], why);

        let again = guarded.run(&accept);
        let again: Value = serde_json::from_str(&again.out).expect("JSON");
        assert_ne!(again["action"], "disabled", "{again}");
        assert_eq!(guarded.writes().await, 1, "{trigger}: a second run changes nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_count_where_no_own_runner_is_configured() {
    let guarded = Guarded::set().await;
    let stage = &guarded.stage;
    assert_eq!(guarded.guard(&[], 0)["healthy"], true);
    // Too short for the trigger.
    guarded.miss_slots(TimeDelta::seconds(30)).await;
    let told = guarded.guard(&["--no-toggle"], 1);
    assert_eq!(subjects(&told), ["slots"], "{told}");
    assert_eq!(guarded.guard(&["--allow-zero-capacity"], 0)["action"], "none");
    let text = stage.jitgate(&["routing", "guard", "--allow-zero-capacity", "--dry-run"]);
    assert_eq!(text.code, 1, "no jitgate answers at the configured place: {}", text.err);
    assert!(text.err.contains("jitgate: jitgate: "), "{}", text.err);
    assert_eq!(
        text.out,
        format!("{REPOSITORY}: degraded (1 fault); would set {VARIABLE} to false\n")
    );
    assert_eq!(guarded.writes().await, 0);

    let told = guarded.guard(&["--why", "the rack moves", "--by", "alice"], 1);
    assert_eq!(
        (&told["action"], &told["why"]),
        (&json!("disabled"), &json!("the rack moves"))
    );
    let change = stage.changes(Changed::Disable).await.remove(0);
    assert_eq!(
        (change.by.as_deref(), change.why.as_deref()),
        (Some("alice"), Some("the rack moves"))
    );
    let again = guarded.guard(&[], 1);
    assert_eq!(
        (&again["action"], &again["recorded"]),
        (&json!("already-off"), &json!(false))
    );
    assert_eq!(stage.changes(Changed::Disable).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_out_of_reach_is_exit_code_4_and_changes_nothing() {
    let guarded = Guarded::set().await;
    guarded.miss_slots(TimeDelta::seconds(700)).await;
    for args in [&[][..], &["--strict-gh"], &["--strict-gh", "--allow-zero-capacity"]] {
        let fault =
            json!([{"endpoint": "list-runners", "times": 0}, {"endpoint": "list-runners", "status": 503, "times": 99}]);
        guarded.stage.world(json!({"faults": fault})).await;
        let answer = guarded.run(args);
        assert_eq!((answer.code, answer.out.as_str()), (4, ""), "{args:?}: {}", answer.err);
        assert!(
            answer.err.contains("jitgate: remedy: check the network"),
            "{}",
            answer.err
        );
    }
    assert_eq!(guarded.writes().await, 0);
    assert_eq!(guarded.stage.changes(Changed::Disable).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_the_guard_writes_itself_is_bounded() {
    let guarded = Guarded::set().await;
    guarded.miss(&"x".repeat(600), TimeDelta::seconds(30)).await;
    let told = guarded.guard(&[], 1);
    let why = told["why"].as_str().expect("a reason");
    assert!(why.starts_with("slots: xxx") && why.chars().count() == 500, "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_variable_is_switched_by_its_name() {
    let guarded = Guarded::set().await;
    guarded.stage.world(json!({"variables": {"OTHER": "true"}})).await;
    guarded.miss_slots(TimeDelta::seconds(30)).await;
    let told = guarded.guard(&["--var-name", "OTHER"], 1);
    assert_eq!(
        (&told["variable"], &told["action"], &told["recorded"]),
        (&json!("OTHER"), &json!("disabled"), &json!(false))
    );
    let variables = guarded.stage.tally().await.variables;
    assert_eq!(
        (variables["OTHER"].as_str(), variables[VARIABLE].as_str()),
        ("false", "true")
    );
    assert_eq!(guarded.stage.changes(Changed::Disable).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_outside_of_the_configuration_has_no_trigger_and_no_record() {
    let guarded = Guarded::set().await;
    let other = json!({"full_name": "octo-org/other", "variables": {VARIABLE: "true"}});
    guarded.stage.world(json!({"repositories": [other]})).await;
    guarded.miss_slots(TimeDelta::seconds(30)).await;
    let told = guarded.guard(&["--repo", "octo-org/other"], 1);
    assert_eq!(
        (&told["triggers_judged"], &told["recorded"]),
        (&json!(false), &json!(false)),
        "{told}"
    );
    assert_eq!(told["action"], "disabled");
    let variables = guarded.stage.tally().await.variables;
    assert_eq!(variables[&format!("octo-org/other/{VARIABLE}")], "false");
    assert_eq!(guarded.stage.changes(Changed::Disable).await, []);
}
