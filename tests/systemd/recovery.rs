//! The recovery as root, at the request of the unprivileged pool.

use crate::machine::Machine;

const PATH: &str = "chem-runner-recovery.path";
const REQUEST: &str = "/var/lib/jitgate/recovery-request";

#[test]
fn a_request_runs_the_fixed_command_as_root_and_four_in_an_hour_are_the_most() {
    let machine = Machine::start();
    machine.sh("mkdir -p /opt/actions-runner");
    machine.steps("supervisor");
    machine.steps("recovery --repo octo-org/chem-model --group 'My Group'");
    // The content of the request has no effect.
    let request =
        format!("setpriv --reuid=jitgate --regid=jitgate --clear-groups sh -c 'echo --repo evil/evil >>{REQUEST}'");
    let count = |number: usize| format!("test $(grep -c 'runner recover' /opt/actions-runner/calls) -ge {number}");
    for number in 1..=4 {
        machine.sh(&request);
        machine.until(&count(number));
        machine.until("test $(systemctl show --value -p ActiveState chem-runner-recovery.service) = inactive");
    }
    let call = "root --config /etc/jitgate/jitgate.toml runner recover --repo octo-org/chem-model \
                --labels self-hosted,linux,x64,chem-trusted-pr --group My Group --runner-home /opt/actions-runner";
    assert_eq!(
        machine.sh("grep 'runner recover' /opt/actions-runner/calls | sort -u"),
        call
    );

    machine.sh(&request);
    machine.until(&format!(
        "test $(systemctl show --value -p ActiveState {PATH}) = failed"
    ));
    assert_eq!(machine.sh("grep -c 'runner recover' /opt/actions-runner/calls"), "4");
}
