//! The service levels of a history of 60 runs agree with an independent script.

use super::stage::Stage;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const RUNS: u64 = 60;

/// Plays the run of pull request 100 + `number`, with the jobs 10,000 + 10 * `number` and so on.
async fn play(stage: &mut Stage, number: u64) {
    let (pull, first) = (100 + number, 10_000 + 10 * number);
    let (lag, wait, setup) = (number % 4 * 3, number * 7 % 90, 10 + number * 13 % 150);
    let (lag, wait) = (i64::try_from(lag).expect("small"), i64::try_from(wait).expect("small"));
    let jobs: Vec<u64> = (first..first + 1 + u64::from(number.is_multiple_of(6))).collect();
    match number {
        // Cancelled before a runner came.
        5 | 33 => {
            stage.create(pull, &jobs, setup, &json!({})).await;
            stage.deliver("queued", first).await;
            let over = json!({"id": first, "status": "completed", "conclusion": "cancelled"});
            stage.world(json!({"runs": [{"id": pull * 10, "jobs": [over]}]})).await;
            stage.deliver("completed", first).await;
            stage.work().await;
        }
        // No runner comes up, and a person gives up on the run.
        17 | 44 | 57 => {
            stage.next_runners_die(100);
            stage.create(pull, &jobs, setup, &json!({})).await;
            stage.deliver("queued", first).await;
            for _ in 0..20 {
                stage.work().await;
                stage.advance(5);
            }
            stage.next_runners_die(0);
            let over = json!({"id": first, "status": "completed", "conclusion": "cancelled"});
            stage.world(json!({"runs": [{"id": pull * 10, "jobs": [over]}]})).await;
            stage.deliver("completed", first).await;
            stage.work().await;
        }
        // The first runner does not come up, the second one does.
        23 => {
            stage.create(pull, &jobs, setup, &json!({})).await;
            stage.next_runners_die(1);
            stage.deliver("queued", first).await;
            for _ in 0..10 {
                stage.work().await;
                stage.advance(5);
            }
            stage.finish(&jobs, setup).await;
        }
        // Not routed, beside a job that was.
        38 => {
            stage.serve(pull, &jobs, lag, wait, setup).await;
            stage.hosted(pull * 10, pull, first + 5, "web").await;
        }
        31 => stage.serve(pull, &jobs, lag, 400, setup).await,
        41 => stage.serve(pull, &jobs, lag, wait, 300).await,
        // The jobs start one after the other.
        _ => stage.serve(pull, &jobs, lag, wait, setup).await,
    }
    if number.is_multiple_of(3) {
        stage.hosted(30, 8, first + 7, "web").await;
    }
    if number.is_multiple_of(4) {
        stage.hosted(pull * 10, pull, first + 8, "changes").await;
    }
    stage.advance(60);
}

/// Returns the answer of the script.
fn computed(stage: &Stage, window: usize, targets: &Value) -> Value {
    let mut runners = stage.records("past_runner");
    runners.extend(stage.records("runner"));
    let input = json!({
        "deliveries": stage.deliveries,
        "records": {"job": stage.records("job"), "runner": runners},
        "window": window,
        "targets": targets,
    });
    let mut node = Command::new("node")
        .arg("slo.mjs")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node; run ./tests/run, which installs it");
    let mut stdin = node.stdin.take().expect("a pipe");
    stdin.write_all(input.to_string().as_bytes()).expect("node reads");
    drop(stdin);
    let output = node.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the script fails");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Returns the parts of a report that the script computes too.
fn reported(report: &Value) -> Value {
    let part = |target: &Value| {
        let of = |key: &str| target[key].clone();
        json!({"name": of("name"), "value": of("value"), "sample": of("sample"), "met": of("met"),
               "error_budget_left": of("error_budget_left")})
    };
    let targets: Vec<Value> = report["targets"].as_array().expect("a list").iter().map(part).collect();
    json!({"enough": report["enough"], "targets": targets})
}

/// Returns the numbers in a value as decimals, so that 1 and 1.0 are equal.
fn decimal(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(format!("{:.6}", number.as_f64().expect("a number"))),
        Value::Array(items) => items.iter().map(decimal).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), decimal(value)))
            .collect(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_levels_of_sixty_runs_agree_with_an_independent_script() {
    let mut stage = Stage::set("").await;
    for number in 0..RUNS {
        play(&mut stage, number).await;
    }
    let targets = json!({"lifecycle_success": 0.98, "routing_correctness": 1.0, "queue_wait_p95_s": 120,
                         "setup_latency_p95_s": 180});
    for is_stored in [false, true] {
        if is_stored {
            stage.refresh().await;
        }
        for window in [50, 20, 7] {
            let (code, text) = stage.slo(&["--json", "--window", &window.to_string()]);
            let report: Value = serde_json::from_str(&text).expect("JSON");
            let mut expected = computed(&stage, window, &targets);
            let missing = expected["missing"].take();
            expected.as_object_mut().expect("an object").remove("missing");
            assert_eq!(
                decimal(&reported(&report)),
                decimal(&expected),
                "window {window}: {text}"
            );
            let is_missed = expected["targets"]
                .as_array()
                .expect("a list")
                .iter()
                .any(|target| target["met"] == false);
            assert_eq!(code, i32::from(is_missed), "window {window}");
            let missing = missing.as_array().expect("a list");
            let worst = report["worst"].as_array().expect("a list");
            let mut listed: Vec<u64> = worst.iter().filter_map(|run| run["run"].as_u64()).collect();
            listed.truncate(missing.len());
            listed.sort_unstable();
            assert_eq!(json!(listed), json!(missing), "window {window}: {text}");
        }
    }
    let (code, text) = stage.slo(&["--json", "--window", "59"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &report["enough"]), (8, &json!(false)), "58 of 60 runs count");
}
