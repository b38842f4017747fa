//! The network of a job: it reaches the internet, and neither this machine nor its neighbours. The machine and its
//! surroundings are network namespaces of the test.

use crate::stage::{HOOK, STAYS, Stage, file, is_root, processes, until};
use jitgate::config::Network;
use jitgate::domain::slot::SlotState;
use jitgate::ports::RunnerHost;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Addresses of the machine. The public ones are in no list of private networks.
const MACHINE: &[&str] = &["127.0.0.1", "::1", "203.0.113.2", "2001:db8:1::2"];
/// Around it: its router, neighbours, metadata, a carrier's and a site's networks, one that the operator closes.
const NEIGHBOURS: &[&str] = &[
    "10.9.9.9",
    "192.168.7.7",
    "172.16.3.3",
    "100.64.1.1",
    "169.254.169.254",
    "198.18.0.9",
    "fd12::1",
    "198.51.100.66",
    "2001:db8:66::1",
];
/// The internet, and a neighbour that the operator opens.
const REACHED: &[&str] = &["198.51.100.10", "2001:db8:ffff::10", "10.8.8.8"];

/// Tries one address by one protocol.
const PROBE: &str = r#"#!/bin/bash
exec 2>/dev/null
case $1 in
tcp) exec timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/7777" && read -t 2 -r line <&3 && [ "$line" = hello ]' "$2" ;;
udp) exec perl -MSocket=:all -e 'my (undef, $to) = getaddrinfo($ARGV[0], 7777, {socktype => SOCK_DGRAM});
    socket(S, $to->{family}, SOCK_DGRAM, 0); connect(S, $to->{addr}) or exit 1; send(S, "x", 0) or exit 1;
    alarm 2; recv(S, my $line, 99, 0); exit($line eq "hello\n" ? 0 : 1)' "$2" ;;
abstract) exec perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); exit !connect(S, pack_sockaddr_un("\0$ARGV[0]"))' "$2" ;;
esac
"#;

/// A child that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(|_| ()).unwrap_or_default();
    }
}

/// Two namespaces with a wire between them: the machine, and everything else.
struct World {
    machine: Ends,
    _outside: Ends,
    _servers: Vec<Ends>,
}

impl World {
    fn make(stage: &Stage) -> Self {
        assert!(is_root(), "this test makes network namespaces: run it as root");
        let namespace = || {
            let mut command = Command::new("unshare");
            let command = command.args(["--net", "--mount", "sh", "-c", "echo up; exec sleep 600"]);
            up(command.stdout(Stdio::piped()))
        };
        let (machine, outside) = (namespace(), namespace());
        let lines = |of: &Ends, lines: &str| {
            for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let line = line.replace("OUTSIDE", &outside.0.id().to_string());
                let mut words = line.split(' ');
                let mut command = inside(&of.0, words.next().expect("a command"));
                let output = command.args(words).output().expect("nsenter");
                assert!(
                    output.status.success(),
                    "{line}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        };
        lines(
            &machine,
            "ip link set lo up
             ip link add wire type veth peer name wire netns OUTSIDE
             ip link set wire up
             ip address add 203.0.113.2/24 dev wire
             ip address add 2001:db8:1::2/64 dev wire nodad",
        );
        lines(
            &outside,
            "ip link set lo up
             ip link set wire up
             ip address add 203.0.113.1/24 dev wire
             ip address add 2001:db8:1::1/64 dev wire nodad",
        );
        lines(
            &machine,
            "ip route add default via 203.0.113.1
             ip -6 route add default via 2001:db8:1::1",
        );
        let far: Vec<&str> = NEIGHBOURS.iter().chain(REACHED).copied().collect();
        for address in &far {
            lines(&outside, &format!("ip address add {address} dev lo nodad"));
        }
        let resolver = stage.path("resolv.conf");
        file(&resolver, "nameserver 127.0.0.1\n", 0o644);
        lines(
            &machine,
            &format!("mount --bind {} /etc/resolv.conf", resolver.display()),
        );
        let serve = |of: &Ends, addresses: &[&str]| {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sandbox/outside.pl");
            up(inside(&of.0, "perl").arg(script).args(addresses).stdout(Stdio::piped()))
        };
        let here = [MACHINE, &["dns=127.0.0.1", "abstract=jitgate-test"]].concat();
        let servers = vec![serve(&machine, &here), serve(&outside, &far)];
        Self {
            machine,
            _outside: outside,
            _servers: servers,
        }
    }

    /// Has keepers run on that machine. What a job runs of jitgate is the program itself.
    fn settle(&self, stage: &mut Stage) {
        let real = stage.settings.program.display().to_string();
        let (machine, wrapper) = (self.machine.0.id(), stage.path("on-that-machine"));
        let script = format!(
            "#!/bin/bash\n[ \"$2\" = keep ] && exec nsenter --net --mount --target {machine} -- {real} \"$@\"\nexec {real} \"$@\"\n"
        );
        file(&wrapper, &script, 0o755);
        stage.settings.program = wrapper;
    }

    /// Returns true if a program on that machine itself reaches this.
    fn reaches(&self, probe: &Path, protocol: &str, address: &str) -> bool {
        let status = inside(&self.machine.0, "bash")
            .arg(probe)
            .args([protocol, address])
            .status();
        status.expect("bash").success()
    }
}

fn inside(namespace: &Child, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args([
        "--net",
        "--mount",
        "--target",
        &namespace.id().to_string(),
        "--",
        program,
    ]);
    command
}

/// Starts it and waits until it says that it is there.
fn up(command: &mut Command) -> Ends {
    let mut child = Ends(command.spawn().expect("it starts"));
    let mut line = String::new();
    let stdout = child.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, "up\n");
    child
}

#[tokio::test]
async fn a_job_reaches_the_internet_and_nothing_of_the_machine_or_its_surroundings() {
    let mut stage = Stage::new("");
    let world = World::make(&stage);
    world.settle(&mut stage);
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
