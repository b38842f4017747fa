//! Jobs that are lost with their machine after they have started: reported, and re-run once if that is configured.

use super::stage::Stage;
use crate::support::in_process::REPOSITORY;
use chrono::TimeDelta;
use jitgate::app::records::{self, LostRecord, RunnerRecord};
use jitgate::domain::admission::AdmissionVerdict;
use jitgate::domain::alert::{AlertKind, AlertState};
use jitgate::domain::decision::Decision;
use jitgate::domain::ids::{JobId, RepositoryName, RunId};
use jitgate::domain::policy::Permission;
use jitgate::domain::reason::Reason;
use jitgate::domain::routing::RoutingVerdict;
use serde_json::{Value, json};
use std::time::Duration;

const ALL: [AlertState; 3] = [AlertState::Open, AlertState::Acked, AlertState::Resolved];

fn reruns() -> Value {
    json!({"rollout": {"rerun_lost": true}})
}

/// A gate with job 101 running on a runner of ours.
async fn with_a_running_job(settings: Value) -> Stage {
    let stage = Stage::with(settings).await;
    run_job(&stage, 101, json!({})).await;
    stage
}

async fn run_job(stage: &Stage, job: u64, more: Value) {
    let mut about = json!({"id": job, "created_at": "now", "duration_s": 3600});
    for (key, value) in more.as_object().into_iter().flatten() {
        about[key] = value.clone();
    }
    let runs = json!([{"id": 20, "pull": 7, "jobs": [about]}]);
    stage.world(json!({"announces": true, "runs": runs})).await;
    stage.settle().await;
}

/// The machine of a job's runner dies, and GitHub fails the job.
async fn lose(stage: &Stage, job: u64) {
    let name = stage.job(job).await.expect("a job").runner.expect("a runner");
    let runner: Option<RunnerRecord> = records::load(stage.gate.ledger.as_ref(), &name)
        .await
        .expect("the store");
    stage
        .disconnect(runner.and_then(|runner| runner.id).expect("an id").0)
        .await;
    stage.github.settle().await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_job_is_reported_once_and_not_re_run_by_default() {
    let stage = with_a_running_job(json!({})).await;
    stage.recover().await;
    assert_eq!(stage.alerts(&ALL).await, []);
    lose(&stage, 101).await;
    stage.settle().await;
    for _ in 0..3 {
        stage.recover().await;
    }
    assert_eq!(stage.alerts(&ALL).await, [AlertKind::JobLost]);
    let settled: Vec<LostRecord> = records::all(stage.gate.ledger.as_ref()).await.expect("the store");
    assert!(settled.iter().all(|lost| lost.is_settled), "nothing is left to do");
    assert_eq!(stage.calls("rerun").await, 0);
    let moments = stage.job(101).await.expect("a job").moments;
    assert_eq!(
        moments.iter().filter(|moment| moment.what.contains("was lost")).count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn its_run_is_re_run_exactly_once_also_when_the_answer_is_lost_and_the_gate_restarts() {
    for fault in [json!([]), json!([{"endpoint": "rerun", "drop": "after"}])] {
        let mut stage = with_a_running_job(reruns()).await;
        lose(&stage, 101).await;
        stage.settle().await;
        stage.world(json!({"faults": fault})).await;
        for _ in 0..3 {
            // The lost answer is a failure; the next pass looks at GitHub.
            drop(stage.try_to_recover().await);
            stage.come_up().await;
        }
        assert_eq!(stage.calls("rerun").await, 1, "{fault}");
        let tally = stage.tally().await;
        assert!(
            tally.jobs.contains_key(&900_001) && !tally.jobs.contains_key(&900_002),
            "{fault}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_re_run_waits_for_the_other_jobs_of_the_run() {
    let stage = with_a_running_job(reruns()).await;
    run_job(&stage, 102, json!({})).await;
    lose(&stage, 101).await;
    stage.settle().await;
    stage.recover().await;
    assert_eq!(stage.calls("rerun").await, 0);
    stage.advance(3600);
    stage.settle().await;
    stage.recover().await;
    assert_eq!(stage.calls("rerun").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_observe_a_lost_job_is_only_reported() {
    let settings = json!({"rollout": {"rerun_lost": true, "mode": "observe"}});
    let stage = with_a_running_job(settings).await;
    lose(&stage, 101).await;
    stage.settle().await;
    stage.recover().await;
    assert_eq!(stage.alerts(&ALL).await, [AlertKind::JobLost]);
    assert_eq!(stage.calls("rerun").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_by_itself_is_not_lost() {
    let stage = Stage::with(reruns()).await;
    run_job(&stage, 101, json!({"duration_s": 0, "conclusion": "failure"})).await;
    stage.settle().await;
    assert_eq!(stage.tally().await.ran, 1);
    stage.recover().await;
    assert_eq!(stage.alerts(&ALL).await, []);
    assert_eq!(stage.calls("rerun").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_lost_while_the_gate_was_down_is_found_by_polling() {
    let mut stage = with_a_running_job(reruns()).await;
    run_job(&stage, 102, json!({"duration_s": 90_000})).await;
    stage.go_down().await;
    lose(&stage, 101).await;
    stage.advance(4 * 3600);
    // The delivery log is out of reach, and the run goes on because of its other job.
    stage
        .world(json!({"faults": [{"endpoint": "deliveries", "status": 503, "times": 9}]}))
        .await;
    stage.come_up().await;
    stage.try_to_recover().await.expect_err("no delivery log");
    stage.settle().await;
    stage.try_to_recover().await.expect_err("no delivery log");
    assert_eq!(stage.alerts(&ALL).await, [AlertKind::JobLost]);
    assert!(stage.synthesized(101).await.contains(&true));
}

/// The run of the lost job is re-run, and GitHub's delivery about its second attempt waits.
async fn re_run(settings: Value) -> Stage {
    let stage = with_a_running_job(settings).await;
    lose(&stage, 101).await;
    stage.settle().await;
    stage.recover().await;
    assert_eq!(stage.calls("rerun").await, 1);
    stage
}

/// The first decision on a job.
async fn decision(stage: &Stage, job: u64) -> Decision {
    let record = stage.job(job).await.expect("a job");
    record.decisions.first().expect("a decision").decision.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_attempt_gets_a_runner_of_ours_and_is_not_re_run_when_it_is_lost_too() {
    for fault in [json!([]), json!([{"endpoint": "rerun", "drop": "after"}])] {
        let stage = with_a_running_job(reruns()).await;
        lose(&stage, 101).await;
        stage.settle().await;
        stage.world(json!({"faults": fault})).await;
        // The lost answer is a failure.
        drop(stage.try_to_recover().await);
        stage.settle().await;
        let second = stage.job(900_001).await.expect("a job");
        assert!(second.decisions[0].decision.own_rerun, "{fault}");
        assert!(second.runner.is_some(), "{fault}: {:#?}", second.decisions[0].decision);
        lose(&stage, 900_001).await;
        stage.settle().await;
        for _ in 0..3 {
            stage.recover().await;
            stage.settle().await;
        }
        assert_eq!(stage.calls("rerun").await, 1, "{fault}");
        assert_eq!(stage.alerts(&ALL).await, [AlertKind::JobLost], "{fault}");
        assert_eq!(stage.calls("set-variable").await, 0, "{fault}");
        assert_eq!(stage.calls("cancel").await, 0, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_may_send_the_second_attempt_to_hosted_runners() {
    let stage = re_run(reruns()).await;
    stage.github.outbox().await.expect("deliveries");
    let hosted = json!({"id": 900_001, "labels": ["ubuntu-latest"]});
    stage
        .world(json!({"announces": false, "runs": [{"id": 20, "jobs": [hosted]}]}))
        .await;
    let queued = stage
        .github
        .render("workflow_job", "queued", 900_001, None)
        .await
        .expect("a payload");
    assert_eq!(stage.post("guid-hosted", "workflow_job", &queued).await, 202);
    stage.settle().await;
    let decision = decision(&stage, 900_001).await;
    assert_eq!(decision.routing.verdict, RoutingVerdict::Correct, "{decision:#?}");
    assert!(decision.own_rerun);
    assert_eq!(stage.alerts(&ALL).await, [AlertKind::JobLost]);
    assert_eq!(stage.calls("set-variable").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_that_another_bot_started_gets_no_runner() {
    let stage = re_run(reruns()).await;
    stage
        .world(json!({"announces": false, "runs": [{"id": 20, "triggering_actor": "merger[bot]"}]}))
        .await;
    stage.settle().await;
    let decision = decision(&stage, 900_001).await;
    assert_eq!(decision.admission.reasons, [Reason::BotTriggeringActor]);
    assert!(!decision.own_rerun && stage.job(900_001).await.expect("a job").runner.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_the_apps_bot_without_a_loss_gets_no_runner() {
    let stage = Stage::with(reruns()).await;
    let runs = json!([{"id": 20, "pull": 7, "attempt": 2, "triggering_actor": "jitgate[bot]",
                       "jobs": [{"id": 105, "created_at": "now"}]}]);
    stage.world(json!({"announces": true, "runs": runs})).await;
    stage.settle().await;
    assert_eq!(
        decision(&stage, 105).await.admission.reasons,
        [Reason::BotTriggeringActor]
    );
    assert_eq!(stage.calls("app").await, 0, "the ledger decides without a question");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_re_runs_it_at_the_same_time_is_judged_like_everyone() {
    let stage = with_a_running_job(reruns()).await;
    lose(&stage, 101).await;
    stage.settle().await;
    stage
        .world(json!({"faults": [{"endpoint": "rerun", "status": 500}]}))
        .await;
    stage.try_to_recover().await.expect_err("GitHub fails");
    let runs = json!([{"id": 20, "attempt": 2, "triggering_actor": "mallory",
                       "jobs": [{"id": 105, "created_at": "now"}]}]);
    stage
        .world(json!({"announces": true, "permissions": {"mallory": "read"}, "runs": runs}))
        .await;
    stage.settle().await;
    let decision = decision(&stage, 105).await;
    let refused = Reason::TriggeringActorPermission(Permission::Read);
    assert_eq!(
        (&decision.admission.reasons[..], decision.own_rerun),
        (&[refused][..], false)
    );
    stage.recover().await;
    assert_eq!(stage.calls("rerun").await, 1, "the person's attempt is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_attempt_waits_while_github_does_not_name_the_app() {
    let stage = re_run(reruns()).await;
    stage
        .world(json!({"faults": [{"endpoint": "app", "status": 503}]}))
        .await;
    stage.settle().await;
    assert_eq!(
        decision(&stage, 900_001).await.admission.verdict,
        AdmissionVerdict::Hold
    );
    stage.advance(30);
    stage.settle().await;
    assert!(stage.job(900_001).await.expect("a job").runner.is_some());
    assert_eq!(stage.alerts(&ALL).await, [AlertKind::JobLost]);
}

/// Changes the record of the loss of job 101.
async fn change_loss(stage: &Stage, change: impl Fn(&mut LostRecord) + Send + Sync) {
    let (ledger, day) = (stage.gate.ledger.as_ref(), Duration::from_secs(86_400));
    let changed = records::change(ledger, "101", day, |record: &mut LostRecord| change(record)).await;
    assert!(changed.expect("the store answers").is_some(), "the loss is noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_run_that_github_does_not_show_yet_is_not_requested_again() {
    let stage = re_run(reruns()).await;
    // The worker died before it settled the loss, and its successor reads a copy of GitHub that lags behind.
    change_loss(&stage, |lost| lost.is_settled = false).await;
    stage
        .world(json!({"announces": false, "runs": [{"id": 20, "attempt": 1}]}))
        .await;
    stage.recover().await;
    assert_eq!(stage.calls("rerun").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_of_a_day_ago_is_left_alone() {
    let stage = with_a_running_job(reruns()).await;
    lose(&stage, 101).await;
    stage.settle().await;
    change_loss(&stage, |lost| lost.at -= TimeDelta::hours(24)).await;
    stage.recover().await;
    assert_eq!(stage.alerts(&ALL).await, []);
    assert_eq!(stage.calls("rerun").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn github_must_confirm_a_loss() {
    for (conclusion, alerts, reruns_of_it) in [("success", vec![], 0), ("failure", vec![AlertKind::JobLost], 1)] {
        let stage = with_a_running_job(reruns()).await;
        let on = stage.job(101).await.expect("a job").runner.expect("a runner");
        let lost = LostRecord {
            job: JobId(101),
            run: RunId(20),
            attempt: 1,
            repository: RepositoryName::parse(REPOSITORY).expect("a name"),
            runner: on,
            at: stage.now(),
            is_settled: false,
        };
        let (ledger, day) = (stage.gate.ledger.as_ref(), Duration::from_secs(86_400));
        records::update(ledger, "101", day, |record| *record = Some(lost.clone()))
            .await
            .expect("the store answers");
        stage.recover().await;
        assert_eq!(stage.alerts(&ALL).await, [], "the job still runs");
        let over = json!({"id": 101, "status": "completed", "conclusion": conclusion});
        stage.world(json!({"runs": [{"id": 20, "jobs": [over]}]})).await;
        stage.recover().await;
        assert_eq!(stage.alerts(&ALL).await, alerts, "{conclusion}");
        assert_eq!(stage.calls("rerun").await, reruns_of_it, "{conclusion}");
    }
}
