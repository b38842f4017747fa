//! The supervisor and the timer: each is installed, serves jobs, survives a kill, and replaces the other.

use crate::machine::{APP, Machine};

const SUPERVISOR: &str = "chem-runner-pool-supervisor.service";
const TIMER: &str = "chem-runner-pool-reconcile.timer";
const RECONCILE: &str = "chem-runner-pool-reconcile.service";
/// The unit of `jitgate serve` in `deploy/`.
const SERVE: &str = "jitgate.service";

fn pair(active: &str, file: &str) -> (String, String) {
    (active.to_owned(), file.to_owned())
}

/// Lets a trusted job wait whose delivery got lost.
fn let_a_job_wait(machine: &Machine, job: u64) {
    let run = job / 100;
    machine.apply(&format!(
        r#"{{"runs": [{{"id": {run}, "pull": 7, "created_at": "now-300s", "jobs": [{{"id": {job}}}]}}]}}"#
    ));
}

#[test]
fn the_supervisor_serves_jobs_stops_and_returns_after_a_kill() {
    let machine = Machine::start();
    let_a_job_wait(&machine, 2001);
    let setup = format!("supervisor --repo octo-org/chem-model --min 1 --max 3 --interval 7 --token-source app {APP}");
    let dry = machine.setup(&format!("{setup} --dry-run"));
    assert_eq!(dry.code, 0, "{}", dry.err);
    machine.sh(&format!("test ! -e /etc/systemd/system/{SUPERVISOR} && ! id jitgate"));
    assert_eq!(machine.tally()["calls"], serde_json::json!({}));

    let steps = machine.steps(&setup);
    assert_eq!(steps.len(), 9, "{steps:?}");
    assert_eq!(machine.state(SUPERVISOR), pair("active", "enabled"));
    let first = machine.property(SUPERVISOR, "MainPID");
    let call = "/usr/local/bin/jitgate --config /etc/jitgate/jitgate.toml pool supervise --interval 7 --min 1 --max 3 \
                --target 3 --token-source file --token-file /etc/chem-model-edit/gh_runner_token ";
    assert_eq!(
        machine.sh(&format!("tr '\\0' ' ' </proc/{first}/cmdline; echo .")),
        format!("{call}.")
    );
    assert_eq!(machine.sh(&format!("stat -c %U /proc/{first}")), "jitgate");
    assert_eq!(machine.sh("stat -c '%U %a' /var/lib/jitgate"), "jitgate 700");
    machine.until_ran(2001);
    let status = machine.pool_status();
    assert_eq!(status["lock"]["pid"].to_string(), first, "{status}");
    machine.until_ready(3);

    assert_eq!(machine.steps(&setup), [], "a second run changes nothing");
    assert_eq!(machine.property(SUPERVISOR, "MainPID"), first);

    machine.sh(&format!("kill -9 {first}"));
    let_a_job_wait(&machine, 2101);
    machine.until_ran(2101);
    assert_eq!(machine.property(SUPERVISOR, "NRestarts"), "1");
    let second = machine.property(SUPERVISOR, "MainPID");
    assert_ne!(second, first);
    assert_eq!(machine.pool_status()["lock"]["pid"].to_string(), second);

    machine.sh(&format!("systemctl stop {SUPERVISOR}"));
    assert_eq!(machine.state(SUPERVISOR), pair("inactive", "enabled"));
    assert_eq!(machine.property(SUPERVISOR, "Result"), "success");
    assert!(machine.pool_status()["lock"].is_null());
    let again = machine.steps(&setup);
    assert_eq!(again, [("enable and start".to_owned(), SUPERVISOR.to_owned())]);
    assert_eq!(machine.state(SUPERVISOR), pair("active", "enabled"));
}

#[test]
fn a_change_restarts_the_unit_and_an_edit_is_kept() {
    let machine = Machine::start();
    let setup = format!("supervisor --token-source app {APP}");
    machine.steps(&setup);
    let first = machine.property(SUPERVISOR, "MainPID");
    machine.sh(&format!(
        "mkdir -p /etc/systemd/system/{SUPERVISOR}.d && printf '[Service]\\nNice=5\\n' >/etc/systemd/system/{SUPERVISOR}.d/own.conf"
    ));
    let actions: Vec<String> = machine
        .steps(&format!("{setup} --interval 9"))
        .into_iter()
        .map(|step| step.0)
        .collect();
    assert_eq!(actions, ["write", "reload", "restart"]);
    let second = machine.property(SUPERVISOR, "MainPID");
    assert_ne!(second, first);
    assert_eq!(machine.property(SUPERVISOR, "Nice"), "5", "a drop-in stays and applies");

    machine.sh(&format!("sed -i s/65536/1024/ /etc/systemd/system/{SUPERVISOR}"));
    let refused = machine.setup(&format!("{setup} --interval 9"));
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains(SUPERVISOR) && refused.err.contains("--force"),
        "{}",
        refused.err
    );
    assert!(
        machine
            .sh(&format!("cat /etc/systemd/system/{SUPERVISOR}"))
            .contains("=1024")
    );
    assert_eq!(machine.property(SUPERVISOR, "MainPID"), second);
    machine.steps(&format!("{setup} --interval 9 --force"));
    assert_eq!(machine.property(SUPERVISOR, "LimitNOFILE"), "65536");
}

#[test]
fn the_timer_serves_jobs_and_replaces_the_supervisor_and_the_reverse() {
    let machine = Machine::start();
    let supervisor = format!("supervisor --token-source app {APP}");
    machine.steps(&supervisor);
    machine.steps(&format!("reconcile-timer --interval 1 --token-source app {APP}"));
    assert_eq!(machine.state(SUPERVISOR), pair("inactive", "disabled"));
    assert_eq!(machine.state(TIMER), pair("active", "enabled"));
    let_a_job_wait(&machine, 2001);
    machine.until_ran(2001);
    machine.until(&format!(
        "test $(journalctl -u {RECONCILE} -o cat | grep -c 'pass: nothing more can be done now') -ge 3"
    ));
    assert_eq!(machine.property(RECONCILE, "Result"), "success");
    assert_eq!(machine.property(RECONCILE, "User"), "jitgate");
    machine.until_ready(4);

    machine.steps(&supervisor);
    assert_eq!(machine.state(TIMER), pair("inactive", "disabled"));
    assert_eq!(machine.state(SUPERVISOR), pair("active", "enabled"));
    let beside = machine.answer(&["systemctl", "start", RECONCILE]);
    assert_ne!(beside.code, 0, "a pass beside the supervisor is refused");
    assert_eq!(machine.property(RECONCILE, "ExecMainStatus"), "7");
    assert_eq!(machine.state(SUPERVISOR), pair("active", "enabled"));
}

#[test]
fn the_supervisor_and_serve_exclude_each_other() {
    let machine = Machine::start();
    for name in [SERVE, "jitgate.socket"] {
        let unit = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy")
            .join(name);
        let text = std::fs::read_to_string(unit).expect("a unit");
        machine.write(&format!("/etc/systemd/system/{name}"), &text, "0644");
    }
    machine.write("/etc/jitgate/webhook-secret", "hunter2-hunter2-hunter2-hunter2", "0600");
    let setup = format!("supervisor --token-source app {APP}");
    machine.steps(&setup);
    let pid = machine.property(SUPERVISOR, "MainPID");
    machine.sh(&format!("systemctl daemon-reload && systemctl start {SERVE}"));
    machine.until(&format!("test $(systemctl show --value -p ExecMainStatus {SERVE}) = 7"));
    let said = machine.sh(&format!("journalctl -u {SERVE} -o cat"));
    assert!(
        said.contains(&format!("`jitgate pool supervise`, pid {pid} ")),
        "{said}"
    );
    assert_eq!(machine.property(SUPERVISOR, "MainPID"), pid);

    machine.sh(&format!("systemctl stop {SERVE} jitgate.socket {SUPERVISOR}"));
    machine.sh(&format!("systemctl start {SERVE}"));
    machine.until(&format!("journalctl -u {SERVE} -o cat | grep -q ' is up\"'"));
    let pid = machine.property(SERVE, "MainPID");
    let refused = machine.setup(&setup);
    assert_eq!(refused.code, 6, "{}", refused.err);
    assert!(refused.err.contains("does not run"), "{}", refused.err);
    assert_eq!(machine.property(SUPERVISOR, "ExecMainStatus"), "7");
    let said = machine.sh(&format!("journalctl -u {SUPERVISOR} -o cat"));
    assert!(said.contains(&format!("`jitgate serve`, pid {pid} ")), "{said}");
    assert_eq!(machine.property(SERVE, "MainPID"), pid);
}
