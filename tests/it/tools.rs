//! External programs: exit codes and output, a deadline for the program and its children, secrets, bounded output.

use crate::support::program::write_script;
use jitgate::adapters::tools::ProcessTools;
use jitgate::ports::tools::{ToolCall, ToolError, Tools};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use secrecy::SecretString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(60);

/// Writes a program and returns its path.
fn program(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("tool");
    write_script(&path, text);
    path
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn a_program_receives_its_arguments_as_they_are_and_its_answer_is_complete() {
    let folder = folder();
    let tool = program(&folder, "printf '[%s]' \"$@\"; pwd; echo it failed >&2; exit 3");
    let call = ToolCall::new(tool, LONG)
        .args(["a b", "$(id)", ";", "*"])
        .within(folder.path());
    let output = ProcessTools.run(&call).await.expect("an end");
    assert_eq!(output.code, Some(3));
    assert!(!output.is_success());
    let place = folder.path().canonicalize().expect("a path");
    assert_eq!(output.stdout, format!("[a b][$(id)][;][*]{}\n", place.display()));
    assert_eq!(output.last_line(), Some("it failed"));
}

#[tokio::test]
async fn a_file_is_the_input_and_a_variable_is_added() {
    let folder = folder();
    let input = folder.path().join("input");
    fs::write(&input, "of the file").expect("a file");
    let tool = program(&folder, "cat; printf ' %s %s' \"$ADDED\" \"${PATH:+inherited}\"");
    let call = ToolCall::new(tool, LONG).reading(&input).variable("ADDED", "added");
    let output = ProcessTools.run(&call).await.expect("an end");
    assert_eq!(output.stdout, "of the file added inherited");
    let error = ProcessTools.run(&call.reading(&folder.path().join("gone"))).await;
    assert!(matches!(error, Err(ToolError::Unusable { .. })), "{error:?}");
}

#[tokio::test]
async fn a_secret_is_in_the_environment_and_in_no_message() {
    let folder = folder();
    let tool = program(&folder, "test \"$TOKEN\" = s3cret && tr '\\0' ' ' </proc/$$/cmdline");
    let call = ToolCall::new(tool, LONG).secret("TOKEN", SecretString::from("s3cret"));
    let output = ProcessTools.run(&call).await.expect("an end");
    assert!(output.is_success(), "{output:?}");
    assert!(!output.stdout.contains("s3cret") && !format!("{call:?}{}", call.in_words()).contains("s3cret"));
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed_with_its_children() {
    let folder = folder();
    let child = folder.path().join("child");
    let tool = program(&folder, &format!("sleep 600 & echo $! >{}; wait", child.display()));
    let call = ToolCall::new(tool, Duration::from_secs(1));
    let started = Instant::now();
    let error = ProcessTools.run(&call).await.expect_err("a deadline");
    assert!(matches!(error, ToolError::TimedOut { timeout_s: 1, .. }), "{error}");
    assert!(started.elapsed() < LONG);
    let child = fs::read_to_string(child).expect("a process id");
    let child = Pid::from_raw(child.trim().parse().expect("a number")).expect("a process id");
    // A killed process needs time on a processor for its end, and no parent of ours waits for this one.
    match pidfd_open(child, PidfdFlags::empty()) {
        Err(error) => assert_eq!(error, Errno::SRCH),
        Ok(handle) => {
            let limit = Timespec::try_from(LONG).expect("a time");
            let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit));
            assert_eq!(ended, Ok(1), "it still runs");
        }
    }
}

#[tokio::test]
async fn a_child_that_is_left_behind_does_not_hold_the_answer_back() {
    let folder = folder();
    let tool = program(&folder, "sleep 600 & echo done");
    let started = Instant::now();
    let output = ProcessTools.run(&ToolCall::new(tool, LONG)).await.expect("an end");
    assert_eq!(output.stdout, "done\n");
    assert!(started.elapsed() < LONG);
}

#[tokio::test]
async fn an_endless_output_is_bounded() {
    let folder = folder();
    let tool = program(&folder, "head -c 5000000 /dev/zero");
    let output = ProcessTools.run(&ToolCall::new(tool, LONG)).await.expect("an end");
    assert_eq!(output.stdout.len(), 1024 * 1024);
}

#[tokio::test]
async fn a_missing_program_and_a_missing_folder_are_told_apart() {
    let missing = ToolCall::new("jitgate-has-no-such-tool", LONG);
    let error = ProcessTools.run(&missing).await.expect_err("no program");
    assert_eq!(
        error.to_string(),
        "the program jitgate-has-no-such-tool is not installed"
    );
    let folder = folder();
    let elsewhere = ToolCall::new("true", LONG).within(&folder.path().join("gone"));
    let error = ProcessTools.run(&elsewhere).await.expect_err("no folder");
    assert!(matches!(error, ToolError::Unusable { .. }), "{error}");
}
