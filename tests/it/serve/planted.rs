//! Files that others planted in place of jitgate's own are refused and left as they are.

use crate::support::gate::{Place, Process};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

/// Starts a gate that must not come up, and gives what it says.
async fn refused(place: &Place, settings: &[(&str, &str)]) -> String {
    let mut process = place.start(&["serve"], settings);
    ended(&mut process).await
}

async fn ended(process: &mut Process) -> String {
    assert_eq!(process.code().await, Some(3), "{}", process.err.text());
    let said = process.err.text();
    assert!(said.contains("remedy: ") || said.contains("chmod 600"), "{said}");
    said
}

#[tokio::test]
async fn a_file_at_the_admin_sockets_path_is_not_deleted() {
    let place = Place::new();
    place.file("notes.txt", "mine", 0o600);
    fs::create_dir(place.path("folder")).expect("a folder");
    symlink(place.path("notes.txt"), place.path("link")).expect("a link");
    for name in ["notes.txt", "folder", "link"] {
        let said = refused(&place, &[("server.admin_listen", &format!("unix:{name}"))]).await;
        assert!(said.contains(name), "{said}");
        assert!(fs::symlink_metadata(place.path(name)).is_ok(), "{name} is gone");
    }
    assert_eq!(fs::read_to_string(place.path("notes.txt")).expect("the file"), "mine");
}

#[tokio::test]
async fn a_state_directory_that_others_can_write_is_refused() {
    for mode in [0o777, 0o770, 0o1777, 0o702] {
        let place = Place::new();
        fs::create_dir(place.path("jitgate-state")).expect("a folder");
        fs::set_permissions(place.path("jitgate-state"), Permissions::from_mode(mode)).expect("a mode");
        let said = refused(&place, &[]).await;
        assert!(
            said.contains("jitgate-state") && said.contains("chmod go-w"),
            "{mode:o}: {said}"
        );
        let left = fs::read_dir(place.path("jitgate-state")).expect("a list").count();
        assert_eq!(left, 0, "nothing was made in it");
    }
}

#[tokio::test]
async fn an_admin_token_that_others_could_have_planted_is_refused() {
    let token = "an admin token of somebody else's";
    for mode in [0o644, 0o604, 0o660, 0o622] {
        let place = Place::new();
        place.file("jitgate-state/admin-token", token, mode);
        fs::set_permissions(place.path("jitgate-state"), Permissions::from_mode(0o700)).expect("a mode");
        let said = refused(&place, &[]).await;
        assert!(
            said.contains("admin-token") && !said.contains(token),
            "{mode:o}: {said}"
        );
    }
    let place = Place::new();
    place.file("elsewhere", token, 0o600);
    fs::create_dir(place.path("jitgate-state")).expect("a folder");
    fs::set_permissions(place.path("jitgate-state"), Permissions::from_mode(0o700)).expect("a mode");
    symlink(place.path("elsewhere"), place.path("jitgate-state/admin-token")).expect("a link");
    let said = refused(&place, &[]).await;
    assert!(said.contains("admin-token is not a regular file"), "{said}");
    // Only root can give a file to another account.
    let place = Place::new();
    place.file("jitgate-state/admin-token", token, 0o600);
    fs::set_permissions(place.path("jitgate-state"), Permissions::from_mode(0o700)).expect("a mode");
    if chown(place.path("jitgate-state/admin-token"), Some(12345), None).is_ok() {
        let said = refused(&place, &[]).await;
        assert!(said.contains("belongs to user 12345"), "{said}");
    }
}

#[tokio::test]
async fn a_planted_draft_of_the_token_is_not_written_through() {
    let place = Place::new();
    place.file("victim", "as it was", 0o600);
    fs::create_dir(place.path("jitgate-state")).expect("a folder");
    fs::set_permissions(place.path("jitgate-state"), Permissions::from_mode(0o700)).expect("a mode");
    place.file("jitgate-state/instance", "abcdefgh", 0o600);
    // The shell has the id that the gate will have.
    let plant = "ln -s ../victim jitgate-state/admin-token.$$.new";
    let mut process = place.start_after(&format!("PATH=/usr/bin:/bin {plant}"), &["serve"], &[]);
    let said = ended(&mut process).await;
    assert!(said.contains(".new is not a regular file"), "{said}");
    assert_eq!(fs::read_to_string(place.path("victim")).expect("the file"), "as it was");
    assert!(!place.path("jitgate-state/admin-token").exists());
    // Neither is a draft taken that others could have written.
    let place = Place::new();
    fs::create_dir(place.path("jitgate-state")).expect("a folder");
    fs::set_permissions(place.path("jitgate-state"), Permissions::from_mode(0o700)).expect("a mode");
    place.file("jitgate-state/instance", "abcdefgh", 0o600);
    let open = "umask 0; echo planted > jitgate-state/admin-token.$$.new";
    let said = ended(&mut place.start_after(open, &["serve"], &[])).await;
    assert!(said.contains(".new can be opened by other users"), "{said}");
    assert!(!place.path("jitgate-state/admin-token").exists());
    // The remains of a killed process with the same id do not matter.
    let place = Place::new();
    fs::create_dir(place.path("jitgate-state")).expect("a folder");
    fs::set_permissions(place.path("jitgate-state"), Permissions::from_mode(0o700)).expect("a mode");
    let leave = "umask 077; echo half > jitgate-state/admin-token.$$.new";
    let mut process = place.start_after(leave, &["serve"], &[("github.api_url", "http://127.0.0.1:9")]);
    process.err.line_with(" is up\"").await;
    let token = fs::read_to_string(place.path("jitgate-state/admin-token")).expect("a token");
    assert_eq!(token.len(), 64);
}

#[tokio::test]
async fn a_state_directory_that_others_can_write_is_reported() {
    let place = Place::new();
    fs::create_dir(place.path("jitgate-state")).expect("a folder");
    fs::set_permissions(place.path("jitgate-state"), Permissions::from_mode(0o777)).expect("a mode");
    let output = Command::new(env!("CARGO_BIN_EXE_jitgate"))
        .args(["verify"])
        .current_dir(place.path("."))
        .env_clear()
        .env("JITGATE__GITHUB__API_URL", "http://127.0.0.1:9")
        .output()
        .expect("jitgate runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("can be written by other users"), "{said}");
}
