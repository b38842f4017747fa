//! The agent of a virtual machine as a process of its own, with a socket in place of the port and a folder in place of the
//! machine, and the keeper's end of the channel. A script stands in for the runner program.

use crate::support::program::write_script;
use chrono::DateTime;
use jitgate::adapters::hosts::qemu::Channel;
use rustix::process::{getegid, geteuid};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::net::unix::pipe::Receiver;

const RUNNER: &str = "home/runner/actions-runner";
const LIBRARY: &str = "usr/local/lib/jitgate";

/// A folder in place of a machine, and its agent.
struct Machine {
    root: TempDir,
    agent: Child,
    keeper: UnixStream,
}

impl Machine {
    /// Starts the agent of a machine with this `run.sh`.
    fn start(script: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["etc", "dev", LIBRARY, RUNNER] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let accounts = format!("root:x:0:0:root:/root:/bin/sh\nrunner:x:{uid}:{gid}::/home/runner:/bin/sh\n");
        fs::write(root.path().join("etc/passwd"), accounts).expect("accounts");
        if !script.is_empty() {
            write_script(&root.path().join(RUNNER).join("run.sh"), script);
        }
        let (keeper, port) = UnixStream::pair().expect("a pair of sockets");
        let agent = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .args(["internal", "guest", "--root"])
            .arg(root.path())
            .env_clear()
            .stdin(OwnedFd::from(port))
            .stdout(Stdio::null())
            .spawn()
            .expect("the agent starts");
        Self { root, agent, keeper }
    }

    fn channel(&self) -> Channel {
        let stream = self.keeper.try_clone().expect("the same socket");
        stream.set_nonblocking(true).expect("a socket without waiting");
        let stream = tokio::net::UnixStream::from_std(stream).expect("a socket");
        Channel::open(stream).expect("a channel")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Starts the runner program in a prepared guest, with a job gate of the test.
    fn run(&self, channel: &mut Channel) -> (Receiver, UnixListener) {
        let path = self.path("keepers-gate");
        let gate = UnixListener::bind(&path).expect("a socket");
        let output = channel.run("a configuration", &path, &self.path("diag"));
        (output.expect("it runs"), gate)
    }

    /// Returns the exit code of the agent, which ends after its runner program.
    fn end(mut self) -> Option<i32> {
        self.agent.wait().expect("it ends").code()
    }
}

async fn prepare(channel: &mut Channel) {
    channel.hello().await.expect("a hello");
    prepare_again(channel).await;
}

async fn prepare_again(channel: &mut Channel) {
    let now = DateTime::from_timestamp(1_000_000_000, 0).expect("a time");
    channel.prepare(now).await.expect("prepared");
}

async fn all(mut output: Receiver) -> String {
    let mut text = String::new();
    output.read_to_string(&mut text).await.expect("output");
    text
}

/// Accepts one question, returns its text, and gives this answer.
async fn answer(gate: &UnixListener, answer: &str) -> String {
    let (mut question, _) = gate.accept().await.expect("a question");
    let mut text = vec![0; 4096];
    let read = question.read(&mut text).await.expect("a line");
    question.write_all(answer.as_bytes()).await.expect("an answer");
    String::from_utf8_lossy(&text[..read]).into_owned()
}

/// The hook of a job, as the runner program starts it.
fn hook(root: &str) -> String {
    let program = env!("CARGO_BIN_EXE_jitgate");
    format!("GITHUB_REPOSITORY=o/r GITHUB_RUN_ID=7 {program} internal hook {root}/run/jitgate/gate 2>&1")
}

#[tokio::test]
async fn a_job_runs_from_the_hello_to_its_end() {
    let script = format!(
        "root=${{HOME%/home/runner}}\n\
         echo \"$ACTIONS_RUNNER_INPUT_JITCONFIG, $USER in ${{PWD#\"$root\"}}, ${{ACTIONS_RUNNER_HOOK_JOB_STARTED#\"$root\"}}\"\n\
         mkdir _diag; echo a log > _diag/Worker.log; ln -s /etc/passwd _diag/link.log; mkfifo _diag/pipe.log\n\
         {} && {}\nexit 3",
        hook("$root"),
        hook("$root"),
    );
    let machine = Machine::start(&script);
    let services = machine.path(LIBRARY).join("services");
    fs::write(services, format!("echo up > {}", machine.path("service").display())).expect("a script");
    let mut channel = machine.channel();
    prepare(&mut channel).await;
    let entropy = fs::read(machine.path("dev/urandom")).expect("random bytes");
    assert_eq!(entropy.len(), 64);
    assert_eq!(fs::read_to_string(machine.path("service")).expect("a service"), "up\n");
    let (output, gate) = machine.run(&mut channel);
    for _ in ["the worker", "the hook"] {
        let text = answer(&gate, "go\n").await;
        assert!(text.contains("\"run_id\":7") && text.ends_with("}\n"), "{text}");
    }
    let text = all(output).await;
    let first = "a configuration, runner in /home/runner/actions-runner, /usr/local/lib/jitgate/job-started.sh\n";
    assert!(text.starts_with(first), "{text}");
    assert_eq!(text.matches("it may\n").count(), 2, "{text}");
    let logs: Vec<_> = fs::read_dir(machine.path("diag"))
        .expect("log files")
        .flatten()
        .collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    assert_eq!(fs::read_to_string(logs[0].path()).expect("a log file"), "a log\n");
    assert_eq!(machine.end(), Some(0));
}

#[tokio::test]
async fn a_job_that_is_refused_learns_that_it_may_not_begin() {
    let script = format!("{} || echo refused", hook("${HOME%/home/runner}"));
    let machine = Machine::start(&script);
    let mut channel = machine.channel();
    prepare(&mut channel).await;
    let (output, gate) = machine.run(&mut channel);
    answer(&gate, "").await;
    assert!(all(output).await.ends_with("this job may not run here\nrefused\n"));
    assert_eq!(machine.end(), Some(0));
}

#[tokio::test]
async fn a_new_keeper_is_answered_in_the_middle_of_a_line_of_the_old_one() {
    let machine = Machine::start("echo started");
    let mut old = &machine.keeper;
    old.write_all(
        b"\n{\"open\":{\"nonce\":\"old\"}}\n{\"prepare\":{\"entropy\":\"AAAA\",\"unix_ns\":1}}\n{\"run\":{\"jit_",
    )
    .expect("half a message");
    let mut channel = machine.channel();
    // The answers to the old keeper are still on the way.
    channel.hello().await.expect("a hello");
    prepare_again(&mut channel).await;
    let first = fs::read(machine.path("dev/urandom")).expect("random bytes");
    // A guest that is resumed gets a new keeper after it was prepared.
    let mut channel = machine.channel();
    channel.hello().await.expect("a hello");
    prepare_again(&mut channel).await;
    let second = fs::read(machine.path("dev/urandom")).expect("random bytes");
    assert_ne!(first, second);
    let (output, _gate) = machine.run(&mut channel);
    assert_eq!(all(output).await, "started\n");
    assert_eq!(machine.end(), Some(0));
}

#[tokio::test]
async fn no_runner_program_starts_in_a_guest_that_is_not_prepared() {
    let machine = Machine::start("echo started");
    let mut keeper = &machine.keeper;
    let run = "{\"run\":{\"jit_config\":\"x\"}}\n";
    let prepare = "{\"prepare\":{\"entropy\":\"AAAA\",\"unix_ns\":1}}\n";
    let open = |nonce: &str| format!("{{\"open\":{{\"nonce\":\"{nonce}\"}}}}\n");
    let orders = [
        prepare,
        run,
        &open("a"),
        run,
        prepare,
        &open("b"),
        run,
        prepare,
        run,
        &open("c"),
    ]
    .concat();
    keeper.write_all(orders.as_bytes()).expect("orders");
    let words: Vec<String> = BufReader::new(keeper).lines().map_while(Result::ok).collect();
    let kinds: Vec<&str> = words
        .iter()
        .map(|word| word.split('"').nth(1).unwrap_or_default())
        .collect();
    // A hello ends a line that was torn before.
    let due = [
        "", "hello", "prepared", "", "hello", "prepared", "started", "output", "ended",
    ];
    assert_eq!(kinds, due, "{words:?}");
    assert_eq!(machine.end(), Some(0));
}

#[tokio::test]
async fn the_output_of_a_chatty_runner_is_bounded() {
    let machine = Machine::start("printf '\\377\\000漢'; yes | head -c 20000000; echo end > end");
    let mut channel = machine.channel();
    prepare(&mut channel).await;
    let (output, _gate) = machine.run(&mut channel);
    let text = all(output).await;
    assert!(text.starts_with("\u{fffd}\0漢y\ny\n"), "{text:.20}");
    assert!((1024 * 1024..1200 * 1024).contains(&text.len()), "{}", text.len());
    assert!(machine.path(RUNNER).join("end").exists(), "it was not blocked");
    assert_eq!(machine.end(), Some(0));
}

#[tokio::test]
async fn what_a_runner_leaves_behind_does_not_hold_the_end_up() {
    let machine = Machine::start("sleep 60 & echo $! > left; echo started");
    let mut channel = machine.channel();
    prepare(&mut channel).await;
    let (output, _gate) = machine.run(&mut channel);
    assert_eq!(all(output).await, "started\n");
    let left = fs::read_to_string(machine.path(RUNNER).join("left")).expect("an id");
    Command::new("kill").arg(left.trim()).status().expect("kill runs");
    assert_eq!(machine.end(), Some(0));
}

#[tokio::test]
async fn a_missing_runner_program_is_reported() {
    let machine = Machine::start("");
    let mut channel = machine.channel();
    prepare(&mut channel).await;
    let (output, _gate) = machine.run(&mut channel);
    let text = all(output).await;
    assert!(text.contains("run.sh: No such file or directory"), "{text}");
    assert_eq!(machine.end(), Some(0));
}

#[tokio::test]
async fn a_client_of_the_gate_is_passed_on_as_it_is() {
    let machine = Machine::start("echo up; while ! [ -e end ]; do sleep 0.1; done");
    let mut channel = machine.channel();
    channel.hello().await.expect("a hello");
    let connect = || UnixStream::connect(machine.path("run/jitgate/gate")).expect("a connection");
    // Nothing runs that could ask.
    let early = connect();
    (&early).write_all(b"{}\n").expect("written");
    assert_eq!(read_all(&early), "");
    prepare_again(&mut channel).await;
    let (mut output, gate) = machine.run(&mut channel);
    // From now on it may ask.
    output.read_exact(&mut [0; 3]).await.expect("the runner program is up");
    let is_asked = async || {
        let (question, _) = gate.accept().await.expect("a question");
        question
    };
    // Two lines at once, and nothing at all, are for the keeper's job gate to judge.
    let client = connect();
    (&client).write_all(b"{}\ngarbage\xff").expect("written");
    let mut question = is_asked().await;
    let mut text = vec![0; 100];
    let read = question.read(&mut text).await.expect("a line");
    assert_eq!(String::from_utf8_lossy(&text[..read]), "{}\ngarbage\u{fffd}");
    drop(question);
    let closed = tokio::task::spawn_blocking(move || read_all(&client)).await;
    assert_eq!(closed.expect("text"), "", "the gate has closed it");
    drop(connect());
    let mut question = is_asked().await;
    assert_eq!(question.read(&mut text).await.expect("the end"), 0);
    // A client that leaves, and one that sends more than a line, lose their connection at the gate.
    for more in [None, Some(b"more")] {
        let client = connect();
        (&client).write_all(b"{}\n").expect("written");
        let mut question = is_asked().await;
        let read = question.read(&mut text).await.expect("a line");
        assert_eq!(&text[..read], b"{}\n");
        match more {
            Some(more) => (&client).write_all(more).expect("written"),
            None => drop(client),
        }
        assert_eq!(question.read(&mut text).await.expect("the end"), 0);
    }
    fs::write(machine.path(RUNNER).join("end"), "").expect("a file");
    assert_eq!(all(output).await, "");
    assert_eq!(machine.end(), Some(0));
}

#[tokio::test]
async fn the_gate_of_a_guest_has_few_clients() {
    let machine = Machine::start("echo up; while ! [ -e end ]; do sleep 0.1; done");
    let mut channel = machine.channel();
    prepare(&mut channel).await;
    let (mut output, gate) = machine.run(&mut channel);
    output.read_exact(&mut [0; 3]).await.expect("the runner program is up");
    let connect = || {
        let client = UnixStream::connect(machine.path("run/jitgate/gate")).expect("a connection");
        (&client).write_all(b"{}\n").map(|()| client)
    };
    let mut open = Vec::new();
    for _ in 0..16 {
        let client = connect().expect("written");
        open.push((client, gate.accept().await.expect("a question")));
    }
    // Closed at once, perhaps before it was heard.
    assert_eq!(connect().map_or(String::new(), |client| read_all(&client)), "");
    fs::write(machine.path(RUNNER).join("end"), "").expect("a file");
    assert_eq!(all(output).await, "");
    assert_eq!(machine.end(), Some(0));
}

/// Returns everything until the connection is closed, or is reset because it was closed with unread bytes.
fn read_all(mut client: &UnixStream) -> String {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut client, &mut text).unwrap_or_default();
    String::from_utf8(text).expect("text")
}
