//! The command line around it: help, exit codes, output.

use super::place::Place;
use clap::{CommandFactory, Parser};
use jitgate::cli::Cli;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_says_what_it_is_and_its_examples_work() {
    let place = Place::with("");
    let top = place.jitgate(&["--help"], &[]);
    assert_eq!(top.code, 0);
    assert!(
        top.out
            .starts_with("Just-in-time GitHub Actions runners for trusted pull requests"),
        "{}",
        top.out
    );
    for command in [
        &["serve"][..],
        &["replay"],
        &["simulate"],
        &["alert"],
        &["alert", "list"],
        &["alert", "ack"],
        &["alert", "resolve"],
        &["config"],
        &["config", "check"],
        &["config", "show"],
        &["config", "schema"],
    ] {
        let help = place
            .jitgate(&[command, &["--help"]].concat(), &[])
            .out
            .replace("\\\n", " ");
        let (_, examples) = help
            .split_once("Examples:")
            .unwrap_or_else(|| panic!("{command:?} has no examples"));
        let lines = examples.trim_start().lines().map(str::trim);
        let examples: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        assert!(!examples.is_empty(), "{command:?}");
        for example in examples {
            let words = example.split_whitespace().skip_while(|word| *word != "jitgate");
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }
}

#[test]
fn usage_errors_exit_2() {
    let place = Place::with("");
    for args in [
        &[][..],
        &["conjure"],
        &["config"],
        &["config", "check", "--colour"],
        &["replay"],
        &["serve", "--role", "both"],
        &["config", "show", "--log", "verbose"],
        &["replay", "fixtures", "--admin-token-file", "x"],
    ] {
        assert_eq!(place.jitgate(args, &[]).code, 2, "{args:?}");
    }
    assert_eq!(place.jitgate(&["--version"], &[]).code, 0);
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let place = Place::with("");
    for args in [&["config", "schema"][..], &["config", "show"], &["--help"]] {
        let child = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .args(args)
            .env_clear()
            .current_dir(place.0.path())
            .stdout(closed_pipe())
            .stderr(Stdio::piped())
            .spawn()
            .expect("jitgate starts");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

/// A pipe without a reader.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    Stdio::from(writer)
}

#[test]
fn printed_values_stay_on_their_line() {
    let place = Place::with("[qemu]\nimage = \"a\\u001b[2J\\u202eb\\u0085c\"\n");
    let shown = place.jitgate(&["config", "show"], &[]).out;
    assert!(
        shown.contains("qemu.image = \"a\\u001b[2J\\u202eb\\u0085c\""),
        "{shown}"
    );
}

#[test]
fn config_check_reports_the_ability_to_make_runners() {
    // As root an account has to be named.
    let is_root = std::fs::metadata("/proc/self").expect("ourselves").uid() == 0;
    let user = if is_root { "user = 'root'\n" } else { "" };
    let place = Place::with(&format!("[local]\nrunner_home = 'nowhere'\nsandbox = 'none'\n{user}"));
    let answer = place.jitgate(&["config", "check"], &[]);
    assert_eq!(answer.code, 0, "it may be meant for another machine: {}", answer.err);
    for line in [
        "problem  host           local.runner_home: missing program nowhere/run.sh; remedy: unpack a release",
        "warning  host           local.sandbox = \"none\" hides nothing of this machine from jobs",
    ] {
        assert!(answer.out.contains(line), "{}", answer.out);
    }
    let report = place.jitgate(&["config", "check", "--json"], &[]).json();
    assert_eq!(report["host"]["problems"].as_array().map(Vec::len), Some(1), "{report}");
    let elsewhere = place.jitgate(&["config", "check"], &[("JITGATE__RUNNERS__HOST", "synthetic")]);
    assert!(!elsewhere.out.contains("runner_home:"), "{}", elsewhere.out);
}
