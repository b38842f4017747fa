//! A job may ask the kernel for nothing that outlives the job, and for nothing that makes the job an administrator.

use crate::stage::{STAYS, Stage};
use jitgate::config::Sandbox;
use jitgate::ports::RunnerHost;
use std::process::Command;

/// Numbers of system calls: `add_key`, `request_key`, `keyctl`, `bpf`, `perf_event_open`, `userfaultfd`, `unshare`, `clone`.
fn numbers() -> [u32; 8] {
    match std::env::consts::ARCH {
        "x86_64" => [248, 249, 250, 321, 298, 323, 272, 56],
        "aarch64" => [217, 218, 219, 280, 241, 282, 97, 220],
        other => panic!("add the numbers of {other} here and to the filter"),
    }
}

/// Makes each call with arguments that do no harm, and prints the error it gives.
fn script() -> String {
    let [
        add_key,
        request_key,
        keyctl,
        bpf,
        perf_event_open,
        userfaultfd,
        unshare,
        clone,
    ] = numbers();
    let new_user = 0x1000_0000;
    format!(
        r#"use Socket; sub say_of {{ my ($name, @call) = @_; $! = 0; my $got = syscall($call[0], @call[1..$#call]);
    exit 0 if $name eq "clone" && $got == 0; print "$name ", ($got < 0 ? $!+0 : "done"), "\n"; }}
$| = 1;
my ($type, $key, $data) = ("user\0", "jitgate-test\0", "carried\0");
say_of("add_key", {add_key}, $type, $key, $data, 7, -4);
say_of("request_key", {request_key}, $type, $key, 0, 0);
say_of("keyctl", {keyctl}, 0, -4, 0);
say_of("bpf", {bpf}, -1, 0, 0);
say_of("perf_event_open", {perf_event_open}, 0, 0, -1, -1, 0);
say_of("userfaultfd", {userfaultfd}, -1);
say_of("io_uring_setup", 425, 0, 0);
say_of("io_uring_enter", 426, -1, 0, 0, 0, 0, 0);
say_of("io_uring_register", 427, -1, 0, 0, 0);
say_of("clone3", 435, 0, 0);
say_of("unshare", {unshare}, {new_user});
say_of("clone", {clone}, {new_user} | 17, 0, 0, 0, 0);
"#
    )
}

/// Returns the result of each call.
fn errors(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, error)| (name.to_owned(), error.to_owned())).collect()
}

#[tokio::test]
async fn a_job_leaves_no_key_in_the_kernel_and_becomes_no_administrator() {
    let stage = Stage::new(&format!(
        "perl ./calls >\"$HOME/new\" 2>&1; mv \"$HOME/new\" \"$HOME/said\"{STAYS}"
    ));
    let calls = stage.settings.local.runner_home.join("calls");
    crate::stage::file(&calls, &script(), 0o644);
    let (host, slot) = stage.claimed().await;
    let inside = errors(&stage.left(&slot, "said").await);
    host.destroy(&slot).await.expect("destroyed");
    let expected: Vec<(String, String)> = inside
        .iter()
        .map(|(name, _)| (name.clone(), if name == "clone3" { "38" } else { "1" }.to_owned()))
        .collect();
    assert_eq!(inside.len(), 12, "{inside:?}");
    assert_eq!(inside, expected, "each is refused");
    // The same calls mean something else outside: they are refused because a job makes them.
    let outside = Command::new("perl").arg(&calls).output().expect("perl");
    let outside = errors(&String::from_utf8_lossy(&outside.stdout));
    assert!(
        outside.iter().filter(|(_, error)| error != "1").count() >= 8,
        "{outside:?}"
    );
}

#[tokio::test]
async fn programs_of_another_kind_are_no_way_around_and_threads_still_work() {
    let stage = Stage::new(&format!(
        "(sleep 0 & wait) && touch \"$HOME/forks\"; unshare --user true 2>\"$HOME/new\" && touch \"$HOME/namespace\"\n\
         sed -n 's/^Seccomp:.//p' /proc/self/status >\"$HOME/mode.new\"; mv \"$HOME/mode.new\" \"$HOME/mode\"\n\
         perl -e '$SIG{{SYS}} = sub {{ exit 9 }}; print syscall({}, 0) < 0 ? $!+0 : 0' >\"$HOME/x32.new\"; mv \"$HOME/x32.new\" \"$HOME/x32\"{STAYS}",
        // On x86_64, `getpid` as programs with short pointers call it. Elsewhere there is no such call.
        0x4000_0000_u32 + 39
    ));
    let (host, slot) = stage.claimed().await;
    assert_eq!(stage.left(&slot, "x32").await, "38");
    assert_eq!(stage.left(&slot, "mode").await, "2\n");
    stage.left(&slot, "forks").await;
    assert!(!stage.folder(&slot).join("environment/home/namespace").exists());
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn each_job_has_a_session_keyring_of_its_own() {
    // Without the filter, so that it can be asked for.
    let [_, _, keyctl, ..] = numbers();
    let ask = format!("print syscall({keyctl}, 0, -3, 0)");
    let own = Command::new("perl").args(["-e", &ask]).output().expect("perl").stdout;
    let mut rings = vec![String::from_utf8(own).expect("text")];
    for _ in 0..2 {
        let mut stage = Stage::new(&format!(
            "perl -e '{ask}' >\"$HOME/new\"; mv \"$HOME/new\" \"$HOME/ring\"{STAYS}"
        ));
        stage.settings.local.sandbox = Sandbox::None;
        let (host, slot) = stage.claimed().await;
        rings.push(stage.left(&slot, "ring").await);
        host.destroy(&slot).await.expect("destroyed");
    }
    assert!(
        rings[1..].iter().all(|ring| ring.parse().is_ok_and(|id: i64| id > 0)),
        "{rings:?}"
    );
    rings.sort();
    rings.dedup();
    assert_eq!(rings.len(), 3, "{rings:?}");
}
