//! The obstacles to a runner on this machine, and their reports.

use crate::stage::{Stage, file, is_root, jit, problems, until};
use jitgate::adapters::hosts::local::inspect;
use jitgate::config::Sandbox;
use jitgate::domain::slot::{Ending, SlotState};
use jitgate::ports::{Failure, RunnerHost};
use secrecy::SecretString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn missing_programs_are_reported_before_a_slot_starts() {
    let mut stage = Stage::new("");
    assert_eq!(problems(&stage.settings), []);
    let script = stage.settings.local.runner_home.join("run.sh");
    let host = stage.host();
    fs::remove_file(&script).expect("removed");
    let problem = problems(&stage.settings).remove(0);
    assert!(
        problem.what.contains("run.sh") && problem.to_string().contains("actions/runner"),
        "{problem}"
    );
    assert!(matches!(host.boot(None).await, Err(Failure::Permanent(text)) if text.contains("run.sh")));
    // A gate starts without, since it can take deliveries, and needs no restart when this is mended.
    let host = stage.host();
    assert_eq!(host.boot(None).await, Err(Failure::Permanent(problem.to_string())));
    file(&script, "#!/bin/sh\n", 0o755);
    let slot = host.boot(None).await.expect("booted");
    host.destroy(&slot).await.expect("destroyed");
    stage.settings.local.expose = vec![stage.path("nowhere")];
    let problem = problems(&stage.settings).remove(0);
    assert!(
        problem.what.contains("local.expose") && problem.what.contains("nowhere"),
        "{problem}"
    );
    fs::create_dir_all(stage.settings.state_dir.join("inner")).expect("a folder");
    stage.settings.local.expose = vec![stage.settings.state_dir.join("inner")];
    let problem = problems(&stage.settings).remove(0);
    assert!(problem.what.contains("must stay hidden"), "{problem}");
    stage.settings.local.expose.clear();
    stage.settings.local.user = Some("no-such-account".to_owned());
    let problem = problems(&stage.settings).remove(0);
    assert!(problem.what.contains("unknown account no-such-account"), "{problem}");
    stage.settings.local.user = is_root().then(|| "root".to_owned());
    stage.settings.local.sandbox = Sandbox::None;
    let warnings = inspect(&stage.settings);
    assert!(
        warnings.iter().any(|warning| warning.what.contains("hides nothing")),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn a_runner_program_that_cannot_be_copied_fails_the_boot() {
    let stage = Stage::new("");
    let pipe = stage.settings.local.runner_home.join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("mkfifo");
    assert!(made.success());
    let host = stage.host();
    let slot = host.boot(None).await.expect("booted");
    let seen = until(&host, &slot, |slot| slot.state != SlotState::Booting).await;
    let SlotState::Ended(Ending::BootFailed(why)) = seen.state else {
        panic!("{seen:?}");
    };
    assert!(
        why.contains("pipe") && why.contains("expected a file, a folder or a link"),
        "{why}"
    );
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(host.list().await.expect("a list"), []);
}

#[tokio::test]
async fn a_slot_that_fails_to_boot_reports_the_cause() {
    let mut stage = Stage::new("");
    let gone = stage.path("gone");
    fs::create_dir(&gone).expect("a folder");
    stage.settings.local.expose = vec![gone.clone()];
    let (host, slot) = stage.booted().await;
    // A file that the sandbox needs is removed while the sandbox is made.
    fs::remove_dir_all(stage.folder(&slot).join("environment/home")).expect("removed");
    let Err(Failure::Permanent(why)) = host.claim(&slot, "chem-jit-1", SecretString::from(jit(&slot))).await else {
        panic!("it cannot start");
    };
    assert!(
        why.contains("bwrap") && why.contains("home") && !why.contains(&jit(&slot)),
        "{why}"
    );
    let seen = until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    assert!(
        matches!(seen.state, SlotState::Ended(Ending::BootFailed(_))),
        "{seen:?}"
    );
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn names_and_configurations_that_are_none_are_refused() {
    let stage = Stage::new("");
    let (host, slot) = stage.booted().await;
    for (name, configuration) in [
        ("", "x"),
        ("../x", "x"),
        (".x", "x"),
        ("a b", "x"),
        ("fine", "two\nlines"),
    ] {
        let refused = host.claim(&slot, name, SecretString::from(configuration)).await;
        assert!(matches!(refused, Err(Failure::Permanent(_))), "{name:?}");
    }
    let seen = until(&host, &slot, |slot| slot.state == SlotState::Ready).await;
    assert_eq!(seen.runner, None, "it can still be claimed");
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn stored_files_are_closed_to_other_users() {
    let stage = Stage::new("echo hello\n");
    let (host, slot) = stage.claimed().await;
    until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    let local = stage.settings.state_dir.join("local/testtest");
    for (path, mode) in [
        (stage.folder(&slot), 0o700),
        (stage.folder(&slot).join("status.json"), 0o600),
        (local.join("slots"), 0o700),
        (local.join("output"), 0o700),
        (local.join(format!("output/{}.log", crate::stage::runner(&slot))), 0o600),
    ] {
        let found = fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
    host.destroy(&slot).await.expect("destroyed");
}
