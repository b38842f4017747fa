//! The network of a job: it reaches the internet, and neither this machine nor its neighbours. The machine and its
//! surroundings are network namespaces of the test.

use crate::stage::{HOOK, STAYS, Stage, file, processes, until};
use crate::world::{MACHINE, NEIGHBOURS, PROBE, REACHED, World};
use jitgate::config::Network;
use jitgate::domain::slot::SlotState;
use jitgate::ports::RunnerHost;
use std::fs;
use std::net::TcpListener;
use std::process::Command;

#[tokio::test]
async fn a_job_reaches_the_internet_and_nothing_of_the_machine_or_its_surroundings() {
    let mut stage = Stage::new("");
    let world = World::make(&stage.path(""));
    stage.settings.program = world.settle(&stage.settings.program, &stage.path(""));
    // The second one is that of the uplink itself, which must not lead to the machine's loopback.
    stage.settings.local.network_allow = vec!["10.8.8.8/32".to_owned(), "10.0.2.2/32".to_owned()];
    stage.settings.local.network_deny = vec!["198.51.100.66/32".to_owned(), "2001:db8:66::/48".to_owned()];
    let probe = stage.settings.local.runner_home.join("probe");
    file(&probe, PROBE, 0o755);
    let everything: Vec<(&str, &str)> = [MACHINE, NEIGHBOURS, REACHED]
        .concat()
        .into_iter()
        .flat_map(|address| [("tcp", address), ("udp", address)])
        .chain([("abstract", "jitgate-test"), ("tcp", "inet.test"), ("tcp", "loop.test")])
        .collect();
    for (protocol, address) in &everything {
        assert!(
            world.reaches(&probe, protocol, address),
            "the machine itself reaches {protocol} {address}"
        );
    }
    // The gateway and the resolver of the uplink, by which it could lead to the machine.
    let more = ["10.0.2.2", "10.0.2.3", "fd00::2", "fd00::3"].map(|address| [("tcp", address), ("udp", address)]);
    let tried = everything.iter().copied().chain(more.into_iter().flatten());
    let lines: String = tried
        .map(|(protocol, address)| {
            format!("./probe {protocol} {address} && echo {protocol} {address} >>\"$HOME/new\" &\n")
        })
        .collect();
    let own = "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 1, LocalAddr => \"127.0.0.1:7000\") or exit 1; exit !IO::Socket::INET->new(\"127.0.0.1:7000\")' && echo its own >>\"$HOME/new\"\n";
    let script = format!(
        "#!/bin/bash\ntouch \"$HOME/new\"\n{lines}{own}wait\nsort \"$HOME/new\" >\"$HOME/sorted\"; mv \"$HOME/sorted\" \"$HOME/reached\"{STAYS}"
    );
    file(&stage.settings.local.runner_home.join("run.sh"), &script, 0o755);
    let (host, slot) = stage.claimed().await;
    let reached = stage.left(&slot, "reached").await;
    let mut expected: Vec<String> = REACHED
        .iter()
        .flat_map(|address| [format!("tcp {address}"), format!("udp {address}")])
        .chain(["tcp inet.test".to_owned(), "its own".to_owned()])
        .collect();
    expected.sort();
    let reached: Vec<&str> = reached.lines().collect();
    assert_eq!(reached, expected);
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0], "the uplink is gone");
}

#[tokio::test]
async fn network_none_gives_no_network_and_the_job_gate_still_works() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let connect = format!(
        "(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && touch \"$HOME/connected\"; touch \"$HOME/tried\"\n{HOOK}{STAYS}"
    );
    for (network, connects) in [
        (Network::None, false),
        (Network::Isolated, false),
        (Network::Host, true),
    ] {
        let mut stage = Stage::new(&connect);
        stage.settings.local.network = network;
        let (host, slot) = stage.at_gate().await;
        host.open_gate(&slot).await.expect("opened");
        stage.left(&slot, "step").await;
        stage.left(&slot, "tried").await;
        let connected = stage.folder(&slot).join("environment/home/connected").exists();
        assert_eq!(connected, connects, "{network:?}");
        host.destroy(&slot).await.expect("destroyed");
    }
}

#[tokio::test]
async fn a_job_cannot_open_its_network() {
    let stage = Stage::new(
        "{ nft flush ruleset; ip link set tap0 down; ip route add 169.254.169.254 dev lo; nsenter --net --target 1 true; unshare --net true; } \
         >\"$HOME/said\" 2>&1; nft list ruleset >\"$HOME/rules\" 2>&1; touch \"$HOME/done\"\n\
         perl -MSocket -e 'socket(S, AF_INET, SOCK_RAW, 1) and print \"raw\"; socket(S, 17, SOCK_RAW, 0) and print \"packet\"' >\"$HOME/raw\"; touch \"$HOME/tried\"; sleep 3600\n",
    );
    let (host, slot) = stage.claimed().await;
    stage.left(&slot, "tried").await;
    assert_eq!(stage.left(&slot, "raw").await, "");
    let rules = stage.left(&slot, "rules").await;
    assert!(!rules.contains("accept") || rules.contains("policy drop"), "{rules}");
    let said = stage.left(&slot, "said").await;
    assert!(said.matches("not permitted").count() >= 4, "{said}");
    host.destroy(&slot).await.expect("destroyed");
}

#[tokio::test]
async fn a_missing_program_for_the_network_is_named() {
    let stage = Stage::new("");
    let place = stage.path("jitgate.toml");
    let home = stage.settings.local.runner_home.display().to_string();
    file(
        &place,
        &format!("[local]\nrunner_home = '{home}'\nuser = 'root'\n"),
        0o600,
    );
    for (program, package) in [("slirp4netns", "slirp4netns"), ("nft", "nftables")] {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .expect("sh")
            .stdout;
        let found = String::from_utf8(found).expect("text");
        let script = format!(
            "mount --bind /dev/null \"$(readlink -f {})\" && exec {} --config {} config check",
            found.trim(),
            stage.settings.program.display(),
            place.display()
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script])
            .current_dir(stage.path(""));
        let output = command.output().expect("unshare");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            told.contains("local.network") && told.contains(&format!("install the Debian package `{package}`")),
            "{program}: {told} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test]
async fn the_uplink_ends_with_a_keeper_that_is_killed() {
    let stage = Stage::new(STAYS);
    let (host, slot) = stage.claimed().await;
    let uplink = || {
        let marked = processes(&slot);
        let is_slirp =
            |id: &String| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "slirp4netns");
        marked.into_iter().find(is_slirp)
    };
    assert!(uplink().is_some(), "the network is up before the job");
    let keeper = processes(&slot).iter().find_map(|id| parent(id)).expect("a keeper");
    assert!(
        Command::new("kill")
            .args(["-9", &keeper])
            .status()
            .expect("kill")
            .success()
    );
    until(&host, &slot, |slot| matches!(slot.state, SlotState::Ended(_))).await;
    // It ends by itself, before the slot is destroyed.
    crate::stage::eventually("the end of the uplink", || uplink().is_none().then_some(())).await;
    host.destroy(&slot).await.expect("destroyed");
    assert_eq!(processes(&slot), [] as [String; 0]);
}

/// The parent of a process, if it keeps a slot.
fn parent(id: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned();
    let line = fs::read_to_string(format!("/proc/{parent}/cmdline")).ok()?;
    line.contains("\0keep\0").then_some(parent)
}
