//! `jitgate runner run`: one job from a JIT file, its end in every way, and nothing that is left.

use super::stage::{DELETE, LIST, Stage, VISIBILITY, answer};
use crate::support::openapi::Fault;
use crate::support::simulator;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

const URL: &str = "https://github.com/octo-org/octo-repo";
const RUN: [&str; 6] = ["runner", "run", "--runner-home", "home", "--jit-config", "jit.json"];
/// A runner program that leaves what actions/runner leaves.
const RUNNER: &str = r#"#!/bin/sh
echo "run.sh $*" >>OUT/calls
env >OUT/job-environment
ls .. >OUT/seen
echo '{"agentName": "chem-jit-1", "ephemeral": true}' >.runner
echo secret >.credentials; echo secret >.credentials_rsaparams
mkdir -p _work/repo/closed && echo x >_work/repo/closed/file && chmod 500 _work/repo/closed
echo 'Listening for Jobs'
"#;

fn stage(end: &str) -> Stage {
    let stage = Stage::set();
    stage.jit_file(URL);
    stage.script(&stage.home().join("run.sh"), &format!("{RUNNER}{end}\n"));
    stage.inventory(&json!([Stage::runner(41, "chem-jit-1", "offline", false)]));
    stage
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&RUN[..], more].concat()
}

/// Expects that only the runner program is in its folder.
fn assert_nothing_is_left(stage: &Stage) {
    let mut names: Vec<String> = fs::read_dir(stage.home())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names, ["bin", "config.sh", "run.sh"]);
    assert!(!stage.described.at("jit.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_without_secrets_and_nothing_is_left() {
    let stage = stage("");
    let preview = stage.assert_changes_nothing(&with(&["--dry-run"]), 0);
    assert!(
        preview
            .out
            .contains("would run home/run.sh as runner chem-jit-1 for at most 21600 s"),
        "{}",
        preview.out
    );
    let answer = stage.run(&with(&["--json", "--timeout", "60"]));
    let json = answer.json();
    assert_eq!(
        (&json["result"], &json["exit_code"]),
        (&json!("ended"), &json!(0)),
        "{}",
        answer.err
    );
    assert!(
        answer.err.contains("Listening for Jobs"),
        "the runner's output is shown: {}",
        answer.err
    );
    assert!(answer.err.contains("takes any job with its labels"), "{}", answer.err);
    assert_eq!(stage.calls(), ["run.sh "], "the configuration is no argument");
    let environment = stage.record("job-environment");
    assert!(
        environment.contains("\nACTIONS_RUNNER_INPUT_JITCONFIG=") || environment.starts_with("ACTIONS_RUNNER_INPUT_")
    );
    assert!(!environment.contains("hunter2-of-the-operator"), "{environment}");
    assert!(
        !stage.record("seen").contains("jit.json"),
        "the file is gone before the job starts"
    );
    assert_nothing_is_left(&stage);
    assert_eq!(stage.github().changes(), [DELETE]);
    stage.github().assert_as_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_exceeds_its_time_is_ended_with_its_children() {
    let stage = stage("trap 'echo interrupted >>OUT/calls; exit 0' INT; sleep 600 & echo $! >OUT/child; wait");
    let answer = stage.run(&with(&["--timeout", "1"]));
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    assert!(answer.out.contains("ended after 1 s"), "{}", answer.out);
    assert_eq!(stage.calls(), ["run.sh ", "interrupted"]);
    assert_is_gone(&stage.record("child"));
    assert_nothing_is_left(&stage);
}

fn assert_is_gone(process: &str) {
    let state = fs::read_to_string(format!("/proc/{}/stat", process.trim())).unwrap_or_default();
    assert!(
        !process.is_empty() && (state.is_empty() || state.contains(") Z ")),
        "it still runs: {state}"
    );
}

/// Starts a job, and returns when its runner program has started.
fn started(stage: &Stage) -> Child {
    let pipe = stage.out.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    let mut command = stage.command(&RUN);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("jitgate runs");
    assert_eq!(fs::read_to_string(&pipe).expect("the pipe"), "started\n");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_runner_in_an_orderly_way() {
    let stage = stage("trap 'echo interrupted >>OUT/calls; exit 0' INT; echo started >OUT/pipe; sleep 600 & wait");
    for signal in ["TERM", "INT"] {
        let child = started(&stage);
        // The folder belongs to this job.
        stage.jit_file(URL);
        let second = stage.run(&RUN);
        assert_eq!(second.code, 6, "{}", second.err);
        assert!(second.err.contains("is in use by another job"), "{}", second.err);
        let sent = Command::new("kill")
            .args([format!("-{signal}"), child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
        let output = child.wait_with_output().expect("an end");
        assert_eq!(
            output.status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(String::from_utf8_lossy(&output.stdout).contains("stopped on request"));
        assert_eq!(stage.calls().last().expect("a call"), "interrupted");
        assert!(!stage.home().join(".runner").exists() && !stage.home().join("_work").exists());
        fs::remove_file(stage.out.path().join("pipe")).expect("a pipe");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_runner_program_and_a_failing_removal_are_reported() {
    let stage = stage("exit 3");
    let answer = stage.run(&RUN);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(answer.out.contains("exit code 3"), "{}", answer.out);
    assert_nothing_is_left(&stage);

    stage.jit_file(URL);
    stage.github().answer(DELETE, 422, json!({"message": "busy"}));
    stage.script(&stage.home().join("run.sh"), RUNNER);
    let answer = stage.run(&RUN);
    assert_eq!(answer.code, 6, "{}", answer.err);
    assert!(answer.err.contains("GitHub still shows a job on it"), "{}", answer.err);
    assert_nothing_is_left(&stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_or_unknown_repository_requires_consent() {
    let stage = stage("");
    stage
        .github()
        .answer(VISIBILITY, 200, json!({"id": 1, "private": false}));
    let answer = stage.assert_changes_nothing(&RUN, 1);
    assert!(
        answer.err.contains("is public") && answer.err.contains("--public-repository"),
        "{}",
        answer.err
    );
    let accepted = stage.run(&with(&["--public-repository", "--dry-run"]));
    assert_eq!(accepted.code, 0, "{}", accepted.err);
    for fault in Fault::ALL.into_iter().filter(|fault| *fault != Fault::Status(404)) {
        stage.github().fail(VISIBILITY, fault);
        let answer = stage.assert_changes_nothing(&RUN, 4);
        stage.github().heal();
        assert!(answer.err.contains("jitgate: remedy: "), "{fault:?}: {}", answer.err);
    }

    stage.jit_file("https://github.com/another-org");
    let answer = stage.assert_changes_nothing(&RUN, 1);
    assert!(answer.err.contains("are not known"), "{}", answer.err);
    // The configured repository stands for those of its organization.
    stage
        .github()
        .answer(VISIBILITY, 200, json!({"id": 1, "private": true}));
    stage.jit_file("https://github.com/octo-org");
    let known = stage.run(&with(&["--dry-run"]));
    assert_eq!(known.code, 0, "{}", known.err);
    let other = stage.run(&with(&["--repo", "another-org/x", "--dry-run"]));
    assert_eq!(other.code, 2, "{}", other.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_that_cannot_be_used_are_refused() {
    let stage = stage("");
    let refuse = |code: i32, text: &str| {
        let answer = stage.assert_changes_nothing(&RUN, code);
        assert!(
            answer.err.contains(text) && answer.err.contains("jitgate: remedy: "),
            "{text}: {}",
            answer.err
        );
    };
    let path = stage.described.at("jit.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    refuse(3, "is readable by others");
    stage.described.write_secret("jit.json", "{\"runner\": 7}");
    refuse(3, "is not JSON with runner.id");
    stage.jit_file(URL);

    fs::create_dir_all(stage.home().join("_work")).expect("a folder");
    fs::write(stage.home().join("_work/other"), "").expect("a file");
    refuse(6, "_work is not empty");
    // The remains of a job that was interrupted are removed.
    let left = "{\"agentName\": \"chem-jit-0\", \"ephemeral\": true}";
    fs::write(stage.home().join(".runner"), left).expect("a file");
    fs::write(stage.home().join(".credentials"), "").expect("a file");
    assert_eq!(stage.run(&RUN).code, 0);
    assert_nothing_is_left(&stage);

    stage.jit_file(URL);
    stage.registered(URL, "active");
    refuse(6, "belongs to the registered runner base");
    fs::remove_file(stage.home().join(".runner")).expect("a file");
    stage.script(&stage.home().join("bin/libcoreclr.so"), "");
    stage.script(
        &stage.described.at("tools/ldd"),
        "#!/bin/sh\necho '\tliblttng-ust.so.0 => not found'\n",
    );
    refuse(6, "sudo ./bin/installdependencies.sh");
    fs::remove_file(stage.home().join("run.sh")).expect("a file");
    refuse(6, "actions-runner-linux-");

    let mut command = stage.command(&RUN);
    let as_root = answer(command.env_remove("RUNNER_ALLOW_RUNASROOT"));
    assert_eq!(as_root.code, 6, "{}", as_root.err);
    assert!(as_root.err.contains("does not run as root"), "{}", as_root.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jit_configuration_of_the_simulated_github_runs() {
    let github =
        simulator::Stage::with(json!({"repositories": [{"full_name": "octo-org/chem-model", "private": true}]})).await;
    let wanted = json!({"name": "chem-jit-2", "runner_group_id": 1, "labels": ["self-hosted"], "work_folder": "_work"});
    let made = github
        .post(
            &format!("{}/actions/runners/generate-jitconfig", simulator::REPO),
            wanted,
        )
        .await;
    let stage = stage("");
    stage.described.write_secret("jit.json", &made.body.to_string());
    let url = github.simulator.url();
    let args = ["--token-env-var", "SIM_TOKEN", "--api-url", url];
    let answer = stage.run_with(&with(&args), &[("SIM_TOKEN", simulator::TOKEN)]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    assert_nothing_is_left(&stage);
    let left = github.get(&format!("{}/actions/runners", simulator::REPO)).await;
    assert_eq!(left.body["total_count"], 0, "{}", left.body);
    assert_ne!(left.body, Value::Null);
    assert!(!stage.github().calls().iter().any(|call| call.operation() == LIST));
}
