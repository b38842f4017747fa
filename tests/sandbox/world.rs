//! A machine and its surroundings for tests of networks: two namespaces, in which every address answers. Shared by the tests of
//! sandboxes and of virtual machines.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Addresses of the machine. The public ones are in no list of private networks.
pub(crate) const MACHINE: &[&str] = &["127.0.0.1", "::1", "203.0.113.2", "2001:db8:1::2"];
/// Around it: its router, neighbours, metadata, a carrier's and a site's networks, one that the operator closes.
pub(crate) const NEIGHBOURS: &[&str] = &[
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
pub(crate) const REACHED: &[&str] = &["198.51.100.10", "2001:db8:ffff::10", "10.8.8.8"];

/// Tries one address by one protocol.
pub(crate) const PROBE: &str = r#"#!/bin/bash
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
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(|_| ()).unwrap_or_default();
    }
}

/// Two namespaces with a wire between them: the machine, and everything else.
pub(crate) struct World {
    machine: Ends,
    _outside: Ends,
    _servers: Vec<Ends>,
}

impl World {
    /// Makes them, with files in this folder.
    pub(crate) fn make(folder: &Path) -> Self {
        let is_root = fs::metadata("/proc/self").expect("ourselves").uid() == 0;
        assert!(is_root, "this test makes network namespaces: run it as root");
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
        let resolver = folder.join("resolv.conf");
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

    /// Returns a program in this folder that runs keepers on that machine. What a job runs of jitgate is the program itself.
    pub(crate) fn settle(&self, program: &Path, folder: &Path) -> PathBuf {
        let real = program.display().to_string();
        let (machine, wrapper) = (self.machine.0.id(), folder.join("on-that-machine"));
        let script = format!(
            "#!/bin/bash\n[ \"$2\" = keep ] && exec nsenter --net --mount --target {machine} -- {real} \"$@\"\nexec {real} \"$@\"\n"
        );
        file(&wrapper, &script, 0o755);
        wrapper
    }

    /// Returns a command that runs a program on that machine.
    #[allow(dead_code, reason = "two test programs share this, and each uses a part of it")]
    pub(crate) fn on_machine(&self, program: &Path) -> Command {
        inside(&self.machine.0, &program.display().to_string())
    }

    /// Returns true if a program on that machine itself reaches this.
    pub(crate) fn reaches(&self, probe: &Path, protocol: &str, address: &str) -> bool {
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

fn file(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}
