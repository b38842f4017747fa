//! The network of a guest: it reaches the internet, and neither this machine nor its neighbours. The machine and its
//! surroundings are network namespaces of the test.

use crate::built::image;
use crate::machine::{Stage, booted, claim, processes, until};
use crate::world::{MACHINE, NEIGHBOURS, PROBE, REACHED, World};
use jitgate::config::VmNetwork;
use jitgate::domain::slot::{Ending, SlotState};
use jitgate::ports::RunnerHost;
use std::fs;

/// Returns a script that writes a line for each address that answers.
fn probes(words: &[(&str, &str)], at_once: bool) -> String {
    let more = if at_once { " &" } else { "" };
    words
        .iter()
        .map(|(protocol, address)| {
            format!("bash /tmp/probe {protocol} {address} && echo reached {protocol} {address}{more}\n")
        })
        .collect()
}

#[tokio::test]
async fn a_guest_reaches_the_internet_and_nothing_of_the_machine_or_its_surroundings() {
    let mut stage = Stage::new(&image());
    let world = World::make(&stage.path(""));
    stage.settings.program = world.settle(&stage.settings.program, &stage.path(""));
    stage.settings.qemu.network = VmNetwork::Isolated;
    // The second one is that of the uplink itself, which must not lead to the machine's loopback.
    stage.settings.qemu.network_allow = vec!["10.8.8.8/32".to_owned(), "10.0.2.2/32".to_owned()];
    stage.settings.qemu.network_deny = vec!["198.51.100.66/32".to_owned()];
    let probe = stage.path("probe");
    fs::write(&probe, PROBE).expect("a file");
    let is_4 = |address: &&str| !address.contains(':');
    let both = |addresses: &[&'static str]| -> Vec<(&'static str, &'static str)> {
        let addresses = addresses.iter().copied().filter(is_4);
        addresses
            .flat_map(|address| [("tcp", address), ("udp", address)])
            .collect()
    };
    let closed = [both(MACHINE), both(NEIGHBOURS), vec![("tcp", "loop.test")]].concat();
    let open = [both(REACHED), vec![("tcp", "inet.test")]].concat();
    for (protocol, address) in closed.iter().chain(&open) {
        assert!(
            world.reaches(&probe, protocol, address),
            "the machine itself reaches {protocol} {address}"
        );
    }
    // The gateway and the resolver of both uplinks, by which they could lead to the machine.
    let closed = [closed, both(&["10.0.2.2", "10.0.2.3", "10.0.2.4"])].concat();
    let patient = PROBE
        .replace("timeout 3", "timeout 30")
        .replace("-t 2", "-t 20")
        .replace("alarm 2", "alarm 20");
    let script = format!(
        "cat >/tmp/probe <<'END'\n{patient}END\n{}cat >/tmp/probe <<'END'\n{PROBE}END\n{}wait\necho tried\n",
        probes(&open, false),
        probes(&closed, true)
    );
    let host = stage.host();
    let slot = booted(&host).await;
    claim(&host, &slot, &script).await;
    until(&host, &slot, |slot| slot.state == SlotState::Ended(Ending::Exited)).await;
    let output = stage.output(&slot);
    assert!(output.contains("tried"), "{output}");
    let mut reached: Vec<&str> = output
        .lines()
        .filter_map(|line| line.strip_prefix("reached "))
        .collect();
    let mut expected: Vec<String> = open
        .iter()
        .map(|(protocol, address)| format!("{protocol} {address}"))
        .collect();
    reached.sort_unstable();
    expected.sort();
    assert_eq!(reached, expected, "{output}");
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0], "the uplink is gone");
}

#[tokio::test]
async fn a_guest_without_a_network_has_no_device() {
    let stage = Stage::new(&image());
    let host = stage.host();
    let slot = booted(&host).await;
    claim(&host, &slot, "ls /sys/class/net; echo listed").await;
    until(&host, &slot, |slot| slot.state == SlotState::Ended(Ending::Exited)).await;
    assert!(
        stage.output(&slot).ends_with("\nlo\nlisted\n"),
        "{}",
        stage.output(&slot)
    );
    host.destroy(&slot).await.expect("destroyed");
}
