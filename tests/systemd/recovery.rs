//! The recovery as root, at the request of the unprivileged pool, with a runner program made of scripts.

use crate::machine::{APP, Machine, PERSONAL_TOKEN};

const PATH: &str = "chem-runner-recovery.path";
const RECOVERY: &str = "chem-runner-recovery.service";
const REQUEST: &str = "/var/lib/jitgate/recovery-request";
const TOKEN: &str = "/etc/chem-model-edit/gh_runner_token";
const HOME: &str = "/opt/actions-runner";
/// Runs a script as the account of the pool.
const AS_POOL: &str = "setpriv --reuid=jitgate --regid=jitgate --clear-groups sh -c";
/// The service of the runner.
const UNIT: &str = "actions.runner.octo-org-chem-model.base.service";

/// Registers the runner, as GitHub's program does it, and records its call.
const CONFIG: &str = r#"#!/bin/bash
[ ! -e .runner ] || { echo 'already configured' >&2; exit 1; }
[ -n "$ACTIONS_RUNNER_INPUT_TOKEN" ] || { echo 'no token' >&2; exit 1; }
echo "$(id -un) $*" >>configured
while [ $# -gt 0 ]; do
    case $1 in --name) name=$2 ;; --url) url=$2 ;; --work) work=$2 ;; esac
    shift
done
printf '{"agentId": 77, "agentName": "%s", "gitHubUrl": "%s", "workFolder": "%s"}' "$name" "$url" "$work" >.runner
(umask 077; echo secret >.credentials)
bin/report offline
cp bin/svc.sh .
"#;
/// Manages the service with the same calls as GitHub's script.
const SVC: &str = r#"#!/bin/bash
unit=UNIT file=/etc/systemd/system/UNIT
fail() { echo "Failed: $1" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || fail 'run it as root'
case $1 in
install)
    [ ! -e "$file" ] || fail "exists $file"
    printf '[Service]\nExecStart=%s/runsvc.sh\nUser=%s\nWorkingDirectory=%s\nKillMode=process\nRestart=always\nRestartSec=5s\n[Install]\nWantedBy=multi-user.target\n' \
        "$PWD" "$2" "$PWD" >bin/unit.temp || fail 'cannot write the unit'
    mv bin/unit.temp "$file" || fail "cannot write $file"
    chmod 664 "$file" || fail "cannot change $file"
    systemctl daemon-reload || fail 'cannot reload'
    cp bin/runsvc.sh runsvc.sh && chown "$2:$2" runsvc.sh && chmod 755 runsvc.sh || fail 'cannot install runsvc.sh'
    systemctl enable "$unit" || fail "cannot enable $unit"
    echo "$unit" >.service && chown "$2:$2" .service || fail 'cannot write .service'
    ;;
start | stop) systemctl "$1" "$unit" || fail "cannot $1 $unit" ;;
uninstall)
    if [ -e "$file" ]; then
        systemctl stop "$unit" && systemctl disable "$unit" && rm "$file" || fail "cannot remove $unit"
    fi
    rm -f .service
    systemctl daemon-reload
    ;;
esac
"#;
/// The program of the service.
const RUNSVC: &str = r#"#!/bin/bash
trap 'bin/report offline; kill $!; exit' TERM
bin/report online || exit 1
sleep infinity &
wait
"#;
/// Shows the runner at the simulated GitHub with a status.
const REPORT: &str = r#"#!/bin/bash
name=$(sed 's/.*"agentName": "\([^"]*\)".*/\1/' .runner)
world='{"runners": [{"id": 77, "name": "'$name'", "labels": ["self-hosted", "linux", "x64"], "status": "'$1'"}]}'
exec 3<>/dev/tcp/127.0.0.1/8099
printf 'POST /_simulator/apply HTTP/1.1\r\nHost: github\r\nConnection: close\r\nContent-Length: %s\r\n\r\n%s' ${#world} "$world" >&3
read -r _ status _ <&3 && [ "$status" = 200 ]
"#;

/// Installs the runner program, and registers it as `base` with its service.
fn register(machine: &Machine) {
    machine.sh("useradd --system --user-group --create-home runner");
    for (name, text) in [
        ("config.sh", CONFIG),
        ("run.sh", "#!/bin/sh\n"),
        ("bin/Runner.Listener", "#!/bin/sh\n"),
        ("bin/installdependencies.sh", "#!/bin/sh\n"),
        ("bin/svc.sh", SVC),
        ("bin/runsvc.sh", RUNSVC),
        ("bin/report", REPORT),
    ] {
        machine.write(&format!("{HOME}/{name}"), &text.replace("UNIT", UNIT), "0755");
    }
    machine.sh(&format!(
        "chown -R runner: {HOME} && GH_TOKEN={PERSONAL_TOKEN} jitgate runner register --runner-home {HOME} --name base \
         --labels self-hosted,linux,x64 --work _own"
    ));
    assert_eq!(machine.state(UNIT), ("active".to_owned(), "enabled".to_owned()));
}

/// Requests a recovery as the pool, and waits for its end. The content of the request has no effect.
fn request(machine: &Machine) {
    let runs = format!("$(journalctl -u {RECOVERY} -o cat | grep -c -e '^Finished' -e '^Failed to start')");
    let before = machine.sh(&format!("echo {runs}"));
    machine.sh(&format!("{AS_POOL} 'echo --repo evil/evil >>{REQUEST}'"));
    machine.until(&format!("test {runs} -gt {before}"));
    let said = machine.sh(&format!("journalctl -u {RECOVERY} -o cat -n 20"));
    assert_eq!(machine.property(RECOVERY, "Result"), "success", "{said}");
}

#[test]
fn the_pool_gets_its_base_runner_back_from_every_state() {
    let machine = Machine::start();
    register(&machine);
    machine.steps(&format!("supervisor --token-source app {APP}"));
    machine.steps(&format!("recovery --repo octo-org/chem-model --token-file {TOKEN}"));
    let registered = "runner --unattended --url http://127.0.0.1:8099/octo-org/chem-model --name base --work _own \
                      --labels self-hosted,linux,x64";
    let calls = || machine.sh(&format!("cat {HOME}/configured"));
    assert_eq!(calls(), registered);

    machine.sh(&format!("systemctl stop {UNIT}"));
    machine.until_listed("\"status\":\"offline\"");
    request(&machine);
    assert_eq!(machine.state(UNIT), ("active".to_owned(), "enabled".to_owned()));
    machine.until_listed("\"status\":\"online\"");
    assert_eq!(calls(), registered, "it is not registered again");
    let pid = machine.property(UNIT, "MainPID");

    // Nothing is to be done.
    request(&machine);
    assert_eq!(machine.property(UNIT, "MainPID"), pid);

    // GitHub has lost the runner, and its unit is lost, too.
    machine.apply(r#"{"runners": [{"id": 77, "deleted": true}]}"#);
    machine.steps(&format!(
        "recovery --repo octo-org/chem-model --token-file {TOKEN} --labels self-hosted,linux,x64"
    ));
    request(&machine);
    assert_eq!(calls(), format!("{registered}\n{registered}"));
    machine.until_listed("\"status\":\"online\"");
    machine.sh(&format!(
        "systemctl stop {UNIT} && rm /etc/systemd/system/{UNIT} && systemctl daemon-reload"
    ));
    request(&machine);
    assert_eq!(machine.state(UNIT), ("active".to_owned(), "enabled".to_owned()));
    assert_eq!(
        machine.sh(&format!(
            "stat -c '%U %a' {HOME}/runsvc.sh {HOME}/.service /proc/$(systemctl show --value -p MainPID {UNIT})"
        )),
        "runner 755\nrunner 644\nrunner 555"
    );
}

#[test]
fn the_fifth_request_in_an_hour_fails() {
    let machine = Machine::start();
    register(&machine);
    machine.steps(&format!("token-refresh {APP}"));
    machine.sh("install -d -o jitgate -g jitgate -m 0700 /var/lib/jitgate");
    machine.steps(&format!("recovery --repo octo-org/chem-model --token-file {TOKEN}"));
    for _ in 0..4 {
        machine.sh(&format!("systemctl stop {UNIT}"));
        request(&machine);
        assert_eq!(machine.property(UNIT, "ActiveState"), "active");
    }
    machine.sh(&format!("systemctl stop {UNIT}"));
    machine.sh(&format!("{AS_POOL} 'echo >>{REQUEST}'"));
    machine.until(&format!(
        "test $(systemctl show --value -p ActiveState {PATH}) = failed"
    ));
    assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
}

#[test]
fn the_recovery_reaches_only_units_and_the_folder_of_the_runner() {
    let machine = Machine::start();
    for home in [HOME, "/home/runner/actions-runner"] {
        machine.sh(&format!("mkdir -p {home}"));
        machine.steps(&format!("recovery --repo octo-org/chem-model --runner-home {home}"));
        // Another command in the place of the recovery, under the same limits.
        machine.write("/usr/local/bin/probe", &PROBE.replace("HOME", home), "0755");
        machine.sh(&format!(
            "mkdir -p /etc/systemd/system/{RECOVERY}.d && printf '[Service]\\nExecStart=\\nExecStart=/usr/local/bin/probe\\n' \
             >/etc/systemd/system/{RECOVERY}.d/probe.conf && systemctl daemon-reload && systemctl start {RECOVERY}"
        ));
        assert_eq!(
            machine.sh(&format!("cat {home}/reached")),
            format!("write /etc/systemd/system\nwrite {home}\nlist /home\nsystemctl")
        );
    }
}

/// Records what it can do.
const PROBE: &str = r#"#!/bin/bash
reached() { echo "$*" >>HOME/reached; }
for place in / /etc /etc/systemd/system /usr/local/bin /var/lib /root /home HOME /dev /sys /proc/sys/kernel; do
    (: >"$place/probe") 2>/dev/null && rm "$place/probe" && reached "write $place"
done
ls /home >/dev/null 2>&1 && reached "list /home"
systemctl list-units >/dev/null 2>&1 && reached systemctl
mount -t tmpfs none /mnt 2>/dev/null && reached mount
chroot / true 2>/dev/null && reached chroot
unshare --net true 2>/dev/null && reached unshare
[ "$(nice -n -5 nice 2>/dev/null)" = -5 ] && reached priority
date -s @0 >/dev/null 2>&1 && reached date
mknod HOME/disk b 8 0 2>/dev/null && reached mknod
chmod u+s HOME/reached 2>/dev/null && reached setuid
true
"#;
