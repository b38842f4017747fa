//! The token refresh against a simulated GitHub in the network of the container.

use crate::machine::{APP, Machine};
use serde_json::Value;

const TIMER: &str = "chem-github-app-token-refresh.timer";
const SUPERVISOR: &str = "chem-runner-pool-supervisor.service";
const TOKEN: &str = "/etc/chem-model-edit/gh_runner_token";
const STATUS: &str = "/var/lib/chem-model-edit/github-app-token-refresh-status.json";

#[test]
fn the_token_file_is_rotated_and_only_the_pool_can_read_it() {
    let machine = Machine::start();
    machine.steps(&format!("token-refresh {APP} --interval 5"));
    machine.until(&format!("test -s {TOKEN}"));
    assert_eq!(
        machine.sh(&format!("stat -c '%U %a' {TOKEN} /etc/chem-model-edit")),
        "jitgate 600\njitgate 700"
    );
    let first = machine.sh(&format!("cat {TOKEN}"));
    machine.until(&format!("test \"$(cat {TOKEN})\" != '{first}'"));
    machine.until(&format!("test -s {STATUS}"));
    let status: Value = serde_json::from_str(&machine.sh(&format!("cat {STATUS}"))).expect("JSON");
    assert_eq!(status["token_file"], TOKEN);
    assert!(
        status["refreshed_at"].is_string() && status["expires_at"].is_string(),
        "{status}"
    );
    machine.sh("! setpriv --reuid=jitgate --regid=jitgate --clear-groups cat /etc/jitgate/app.pem");
    let shown = machine.sh(&format!(
        "systemctl cat {TIMER} chem-github-app-token-refresh.service; journalctl -b -o cat"
    ));
    assert!(
        !shown.contains(&first) && !shown.contains("PRIVATE KEY"),
        "no secret is shown"
    );
}

#[test]
fn the_supervisor_of_an_app_reads_the_refreshed_token() {
    let machine = Machine::start();
    machine.steps(&format!("supervisor --interval 1 --token-source app {APP}"));
    // The token is there before the supervisor starts.
    machine.sh(&format!("test -s {TOKEN}"));
    assert_eq!(machine.state(TIMER), ("active".to_owned(), "enabled".to_owned()));
    let first = machine.sh(&format!("cat {TOKEN}"));

    // The supervisor goes on with the next token.
    let count = format!("journalctl -u {SUPERVISOR} -o cat | grep -c 'the new ones are in use'");
    let before = machine.sh(&format!("{count} || true"));
    machine.sh("systemctl start chem-github-app-token-refresh.service");
    assert_ne!(machine.sh(&format!("cat {TOKEN}")), first);
    machine.until(&format!("test $({count}) -gt {before}"));
    let unit = machine.sh(&format!("systemctl cat {SUPERVISOR}"));
    assert!(
        !unit.contains("LoadCredential") && !unit.contains("app.pem"),
        "the supervisor has no key"
    );
    assert!(unit.contains("Environment=JITGATE__STORE__URL="), "{unit}");
    let refresh = machine.sh("systemctl cat chem-github-app-token-refresh.service");
    assert!(
        !refresh.contains("JITGATE__STORE__URL"),
        "the refresh does not know the store"
    );
    assert_eq!(
        machine.steps(&format!("supervisor --interval 1 --token-source app {APP}")),
        []
    );
}
