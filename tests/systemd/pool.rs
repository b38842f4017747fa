//! The supervisor and the timer: each is installed, runs, survives a kill, and replaces the other.

use crate::machine::Machine;

const SUPERVISOR: &str = "chem-runner-pool-supervisor.service";
const TIMER: &str = "chem-runner-pool-reconcile.timer";
const RECONCILE: &str = "chem-runner-pool-reconcile.service";

fn pair(active: &str, file: &str) -> (String, String) {
    (active.to_owned(), file.to_owned())
}

#[test]
fn the_supervisor_starts_stops_and_returns_after_a_kill() {
    let machine = Machine::start();
    let setup = "supervisor --repo octo-org/chem-model --min 1 --max 3 --interval 7";
    let dry = machine.setup(&format!("{setup} --dry-run"));
    assert_eq!(dry.code, 0, "{}", dry.err);
    machine.sh(&format!("test ! -e /etc/systemd/system/{SUPERVISOR} && ! id jitgate"));

    let steps = machine.steps(setup);
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert_eq!(machine.state(SUPERVISOR), pair("active", "enabled"));
    machine.until("test -e /var/lib/jitgate/calls");
    let call = "--config /etc/jitgate/jitgate.toml pool supervise --interval 7 --min 1 --max 3 --target 3";
    assert_eq!(machine.sh("cat /var/lib/jitgate/calls"), call);
    let first = machine.property(SUPERVISOR, "MainPID");
    assert_eq!(machine.sh(&format!("stat -c %U /proc/{first}")), "jitgate");
    assert_eq!(machine.sh("stat -c '%U %a' /var/lib/jitgate"), "jitgate 700");

    assert_eq!(machine.steps(setup), [], "a second run changes nothing");
    assert_eq!(machine.property(SUPERVISOR, "MainPID"), first);

    machine.sh(&format!("kill -9 {first}"));
    machine.until(&format!(
        "pid=$(systemctl show --value -p MainPID {SUPERVISOR}); test $pid -gt 0 && test $pid != {first}"
    ));
    assert_eq!(machine.property(SUPERVISOR, "NRestarts"), "1");

    machine.sh(&format!("systemctl stop {SUPERVISOR}"));
    assert_eq!(machine.state(SUPERVISOR), pair("inactive", "enabled"));
    let again = machine.steps(setup);
    assert_eq!(again, [("enable and start".to_owned(), SUPERVISOR.to_owned())]);
    assert_eq!(machine.state(SUPERVISOR), pair("active", "enabled"));
}

#[test]
fn a_change_restarts_the_unit_and_an_edit_is_kept() {
    let machine = Machine::start();
    machine.steps("supervisor");
    let first = machine.property(SUPERVISOR, "MainPID");
    machine.sh(&format!(
        "mkdir -p /etc/systemd/system/{SUPERVISOR}.d && printf '[Service]\\nNice=5\\n' >/etc/systemd/system/{SUPERVISOR}.d/own.conf"
    ));
    let actions: Vec<String> = machine
        .steps("supervisor --interval 9")
        .into_iter()
        .map(|step| step.0)
        .collect();
    assert_eq!(actions, ["write", "reload", "restart"]);
    let second = machine.property(SUPERVISOR, "MainPID");
    assert_ne!(second, first);
    assert_eq!(machine.property(SUPERVISOR, "Nice"), "5", "a drop-in stays and applies");

    machine.sh(&format!("sed -i s/65536/1024/ /etc/systemd/system/{SUPERVISOR}"));
    let refused = machine.setup("supervisor --interval 9");
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
    machine.steps("supervisor --interval 9 --force");
    assert_eq!(machine.property(SUPERVISOR, "LimitNOFILE"), "65536");
}

#[test]
fn the_timer_fires_and_replaces_the_supervisor_and_the_reverse() {
    let machine = Machine::start();
    machine.steps("supervisor");
    machine.steps("reconcile-timer --interval 1");
    assert_eq!(machine.state(SUPERVISOR), pair("inactive", "disabled"));
    assert_eq!(machine.state(TIMER), pair("active", "enabled"));
    machine.until("test $(grep -c 'pool reconcile' /var/lib/jitgate/calls) -ge 2");
    assert_eq!(machine.property(RECONCILE, "Result"), "success");
    let last = machine.sh("tail -n 1 /var/lib/jitgate/calls");
    assert_eq!(
        last,
        "jitgate --config /etc/jitgate/jitgate.toml pool reconcile --min 1 --max 4 --target 4"
    );

    machine.steps("supervisor");
    assert_eq!(machine.state(TIMER), pair("inactive", "disabled"));
    assert_eq!(machine.state(SUPERVISOR), pair("active", "enabled"));
}
