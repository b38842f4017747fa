//! `jitgate runner list` and `/api/v1/runners`: which runners there are, and which jobs wait for one.

use super::stage::Stage;
use chrono::{SecondsFormat, TimeDelta};
use jitgate::app::pool::pass;
use jitgate::app::records::{self, PoolRecord};
use jitgate::domain::slot::KeptDisk;
use jitgate::ports::Clock;
use serde_json::{Value, json};

/// The values under a key in each row.
fn each<'a>(rows: &'a Value, key: &str) -> Vec<&'a Value> {
    rows.as_array().expect("a list").iter().map(|row| &row[key]).collect()
}

/// Ends job 101 and its runner.
async fn end_job(stage: &Stage) {
    stage
        .world(json!({"runs": [{"id": 20, "jobs": [{"id": 101, "duration_s": 0}]}]}))
        .await;
    stage.github.settle().await.expect("the simulator goes on");
    stage.deliver("guid-2", "completed", 101).await;
    stage.work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_and_waiting_jobs_are_listed_as_in_the_admin_api() {
    let stage = Stage::with_a_full_pool().await;
    let told = stage.jitgate(&["runner", "list"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let lines: Vec<&str> = told.out.lines().collect();
    assert_eq!(lines.len(), 5 + 1 + 2, "{}", told.out);
    let words: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        words,
        ["NAME", "STATE", "OUTCOME", "REPOSITORY", "JOB", "SIZE", "SINCE", "ID"]
    );
    for line in &lines[1..5] {
        assert!(line.starts_with("chem-jit-commands-20"), "{line}");
        assert!(line.contains(" running  -  "), "{line}");
        assert!(line.contains("octo-org/chem-model"), "{line}");
    }
    assert!(lines[6].starts_with("WAITING JOB"), "{}", told.out);
    assert!(lines[7].starts_with("205 "), "{}", told.out);

    let listed = stage.jitgate(&["--json", "runner", "list"]).json();
    assert_eq!(stage.ask_json("/api/v1/runners").await, listed);
    assert_eq!(each(&listed["runners"], "state"), vec!["running"; 4]);
    assert_eq!(each(&listed["waiting"], "job"), [205]);
    assert_eq!(listed["waiting"][0]["repository"], "octo-org/chem-model");
    assert_eq!(listed["waiting"][0]["holder"], Value::Null);
    assert!(listed["runners"][0]["since"].is_string() && listed["runners"][0]["id"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_the_listed_runners() {
    let stage = Stage::with_a_full_pool().await;
    let none = json!({"runners": [], "waiting": [], "kept_disks": []});
    for (args, query) in [
        (&["--state", "gated"][..], "state=gated"),
        (&["--state", "destroyed"], "state=destroyed"),
        (&["--repo", "octo-org/other"], "repository=octo-org/other"),
    ] {
        let args = [&["--json", "runner", "list"], args].concat();
        assert_eq!(stage.jitgate(&args).json(), none, "{args:?}");
        assert_eq!(
            stage.ask_json(&format!("/api/v1/runners?{query}")).await,
            none,
            "{query}"
        );
    }
    let running = stage
        .ask_json("/api/v1/runners?state=gated,running&repository=Octo-Org/Chem-Model")
        .await;
    assert_eq!(each(&running["runners"], "state"), vec!["running"; 4]);
    assert_eq!(
        running["waiting"],
        json!([]),
        "a job that waits is in no state of a runner"
    );

    let few = stage.jitgate(&["runner", "list", "--limit", "2"]);
    assert_eq!(few.out.lines().count(), 3 + 1 + 2, "{}", few.out);
    assert!(few.err.contains("there may be more than these 2"), "{}", few.err);
    assert_eq!(
        each(&stage.ask_json("/api/v1/runners?limit=3").await["runners"], "state").len(),
        3
    );

    for wrong in ["state=lost", "limit=many", "colour=red", "all=maybe"] {
        assert_eq!(stage.ask(&format!("/api/v1/runners?{wrong}")).await.0, 400, "{wrong}");
    }
    for wrong in [&["--state", "lost"][..], &["--limit", "0"], &["--limit", "1001"]] {
        let told = stage.jitgate(&[&["runner", "list"], wrong].concat());
        assert_eq!(told.code, 2, "{wrong:?}: {}", told.err);
    }
    assert_eq!(stage.ask_as("/api/v1/runners", "guess").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_gone_is_listed_with_its_outcome_on_request() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    end_job(&stage).await;

    let now = stage.ask_json("/api/v1/runners").await;
    assert_eq!(now, json!({"runners": [], "waiting": [], "kept_disks": []}));
    let all = stage.ask_json("/api/v1/runners?all=true").await;
    assert_eq!(each(&all["runners"], "outcome"), ["completed"]);
    let told = stage.jitgate(&["runner", "list", "--all"]);
    assert!(
        told.out.contains("chem-jit-commands-101-1  destroyed  completed"),
        "{}",
        told.out
    );
    assert_eq!(
        stage
            .jitgate(&["--json", "runner", "list", "--state", "destroyed"])
            .json(),
        all
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_past_runner_are_listed_with_their_times_or_reasons() {
    let stage = Stage::set().await;
    stage.deliver("guid-1", "queued", 101).await;
    stage.work().await;
    let table = |told: &str| -> Vec<String> {
        let lines = told.lines().skip_while(|line| !line.starts_with("PROOF OF "));
        lines.map(str::to_owned).collect()
    };
    let living = table(&stage.jitgate(&["runner", "list", "--all"]).out);
    assert_eq!(living[0], "PROOF OF chem-jit-commands-101-1");
    assert!(living[1].starts_with("STEP ") && living.len() == 12, "{living:#?}");
    let waits: Vec<&String> = living.iter().filter(|line| line.ends_with("not yet")).collect();
    assert_eq!(waits.len(), 4, "{living:#?}");

    end_job(&stage).await;
    let past = table(&stage.jitgate(&["runner", "list", "--all"]).out);
    assert_eq!(past.len(), 12, "{past:#?}");
    assert!(past[2..].iter().all(|line| line.ends_with("Z  -")), "{past:#?}");
    let short = stage.jitgate(&["runner", "list"]).out;
    assert!(!short.contains("PROOF"), "{short}");
    let story = stage.jitgate(&["why", "101"]).out;
    let shown = story
        .lines()
        .skip_while(|line| *line != "proof of runner chem-jit-commands-101-1");
    let shown: Vec<&str> = shown.skip(1).take_while(|line| !line.is_empty()).collect();
    assert_eq!(shown.len(), 10, "{story}");
    for (line, listed) in shown.iter().zip(&past[2..]) {
        let words = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(line), words(listed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_disks_of_failed_slots_are_listed_until_a_pass_finds_them_removed() {
    let stage = Stage::set().await;
    stage.work().await;
    let until = stage.clock.now() + TimeDelta::hours(1);
    let disk = KeptDisk {
        slot: "slot-1".to_owned(),
        runner: Some("chem-jit-commands-101-1".to_owned()),
        path: format!("/state/qemu/commands/failed/{}", "x".repeat(100)),
        bytes: 5 * 1024 * 1024 - 1,
        until,
    };
    let (ledger, retention) = (stage.gate.ledger.as_ref(), stage.gate.settings.retention);
    let noted = records::change(ledger, "commands", retention, |record: &mut PoolRecord| {
        record.kept_disks = vec![disk.clone()];
    });
    noted.await.expect("the store answers").expect("a record of the pool");
    let told = stage.jitgate(&["runner", "list"]);
    for part in [
        "KEPT DISK OF slot-1",
        "runner   chem-jit-commands-101-1",
        &disk.path,
        "size     5 MiB",
    ] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    let removal = format!("removal  {}", until.to_rfc3339_opts(SecondsFormat::Secs, true));
    assert!(told.out.contains(&removal), "{}", told.out);
    let listed = stage.jitgate(&["--json", "runner", "list"]).json();
    assert_eq!(listed["kept_disks"], json!([disk]));
    let some = stage
        .jitgate(&["--json", "runner", "list", "--state", "running"])
        .json();
    assert_eq!(some["kept_disks"], json!([]), "a disk is in no state of a runner");

    // Its host keeps none.
    pass::record_state(&stage.gate).await.expect("a pass");
    let listed = stage.jitgate(&["--json", "runner", "list"]).json();
    assert_eq!(listed["kept_disks"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_has_examples() {
    let stage = Stage::set().await;
    for args in [&["runner", "--help"][..], &["runner", "list", "--help"]] {
        let told = stage.jitgate(args);
        assert_eq!(told.code, 0, "{}", told.err);
        assert!(told.out.contains("Examples:\n  jitgate runner list"), "{}", told.out);
    }
}
