//! The own network of each job: it reaches the internet through slirp4netns, and neither this machine nor its surroundings.
//!
//! ```text
//!  namespace made ──> rules loaded ──> uplink attached ──> bubblewrap starts inside
//! ```
//!
//! The rules are in place before a packet can be sent. The kernel enforces them, in a namespace in which a job has no
//! privilege. The only other channels are sockets in the file system, such as that of the job gate.

use super::addresses::{self, Family};
use super::layout::SlotDir;
use super::process::{SLOT_VARIABLE, SYSTEM_PATH};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter, Read, Seek, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The address at which slirp4netns resolves names, with the resolver of this machine. Any other port there would lead to
/// the machine of that resolver, which can be this one.
pub(crate) const RESOLVER: &str = "10.0.2.3";
/// Networks that belong to this machine, to its surroundings, or are not part of the internet.
const NOT_INTERNET_4: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, \
                              192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";
const NOT_INTERNET_6: &str = "::/127, ::ffff:0:0/96, 64:ff9b::/96, fc00::/7, fe80::/10, ff00::/8";
/// Runs in a new namespace and keeps it alive. An uplink has no other members, so the script turns off duplicate address
/// detection, which delays IPv6 by two seconds. If it cannot, the delay remains.
const HOLDER: &str = "for what in dad_transmits router_solicitation_delay; do
  echo 0 >/proc/sys/net/ipv6/conf/default/$what
done 2>/dev/null
exec cat";
/// The name of the uplink in the namespace.
const DEVICE: &str = "tap0";
/// The device of the kernel that makes uplinks. A user namespace gives no access to it.
const TUN: &str = "/dev/net/tun";

/// Returns the path of the resolver configuration of a slot.
pub(crate) fn resolver_file(slot: &SlotDir) -> PathBuf {
    slot.0.join("resolv.conf")
}

/// The rules that are added to those of every job: addresses, or networks such as `10.1.0.0/16`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Rules {
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
}

impl Rules {
    /// Returns the rules of the namespace. The uplink delivers answers to outgoing connections only, so nothing comes in by
    /// itself.
    fn text(&self, own: &[IpAddr]) -> String {
        let mut text = String::from(
            "table inet jitgate {\n chain output {\n  type filter hook output priority 0; policy drop;\n  oifname \"lo\" accept\n",
        );
        let mut line = |rule: String| writeln!(text, "  {rule}").unwrap_or_default();
        for protocol in ["udp", "tcp"] {
            line(format!("ip daddr {RESOLVER} {protocol} dport 53 accept"));
        }
        line("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept".to_owned());
        let about = |place: &str| {
            if place.contains(':') {
                format!("ip6 daddr {place}")
            } else {
                format!("ip daddr {place}")
            }
        };
        for place in &self.allow {
            line(format!("{} accept", about(place)));
        }
        line(format!("ip daddr {{ {NOT_INTERNET_4} }} reject"));
        line(format!("ip6 daddr {{ {NOT_INTERNET_6} }} reject"));
        let own = own.iter().map(ToString::to_string);
        for place in own.chain(self.deny.iter().cloned()) {
            line(format!("{} reject", about(&place)));
        }
        line("meta l4proto { tcp, udp, icmp, icmpv6 } accept".to_owned());
        text.push_str(" }\n}\n");
        text
    }
}

/// A network cannot be made for a job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("cannot start {program}: {source}; install the Debian package `{package}`")]
    Missing {
        program: &'static str,
        package: &'static str,
        source: io::Error,
    },
    #[error("{program} failed to make a network for a job: {said}")]
    Refused { program: &'static str, said: String },
    #[error("cannot open {device}: {source}; {remedy}", device = TUN, remedy = remedy(.source))]
    Device { source: io::Error },
    #[error("cannot read the addresses of this machine: {0}")]
    Addresses(io::Error),
    #[error("cannot make a network for a job: {0}")]
    Io(#[from] io::Error),
}

/// The network of one slot. It ends with the process that made it.
pub(crate) struct Network {
    /// Keeps the namespace until the guest is in it.
    holder: Option<Child>,
    by_root: bool,
    slirp: Option<Child>,
    /// The uplink ends when this closes, at the latest with this process.
    _alive: Option<PipeWriter>,
}

impl Network {
    /// Makes the network of a slot.
    pub(crate) fn up(rules: &Rules, slot: &str) -> Result<Self, NetworkError> {
        let own = addresses::of_this_machine().map_err(NetworkError::Addresses)?;
        let mut network = Self::namespace(slot)?;
        network.guard(&rules.text(&own))?;
        // Without such an address on this machine, a connection of a job would only time out.
        let both = own.iter().any(|address| addresses::family(address) == Family::Global6);
        network.connect(slot, both)?;
        Ok(network)
    }

    /// Returns the prefix of a command that runs in this network.
    pub(crate) fn enter(&self) -> Vec<String> {
        let Some(holder) = &self.holder else { return Vec::new() };
        let mut words = ["nsenter", "--net", "--target"].map(str::to_owned).to_vec();
        words.push(holder.id().to_string());
        if !self.by_root {
            words.extend(["--user", "--preserve-credentials"].map(str::to_owned));
        }
        words.push("--".to_owned());
        words
    }

    /// Releases the namespace, which the guest keeps alive from now on.
    pub(crate) fn set_entered(&mut self) {
        // It ends when its stdin closes, and the keeper reaps it like any child.
        self.holder = None;
    }

    fn namespace(slot: &str) -> Result<Self, NetworkError> {
        let by_root = geteuid().is_root();
        let mut command = program("unshare");
        command.arg("--net");
        if !by_root {
            command.args(["--user", "--map-root-user"]);
        }
        let said = ErrorOutput::new()?;
        // The mark lets the host find it if the keeper is killed.
        command.args(["sh", "-c", HOLDER]).env(SLOT_VARIABLE, slot);
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said.writer()?)
            .spawn();
        let mut holder = spawned.map_err(missing("unshare", "util-linux"))?;
        let mut echo = || {
            let (stdin, stdout) = (holder.stdin.as_mut()?, holder.stdout.as_mut()?);
            stdin.write_all(b"!").ok()?;
            stdout.read_exact(&mut [0]).ok()
        };
        let is_made = echo().is_some();
        let network = Self {
            holder: Some(holder),
            by_root,
            slirp: None,
            _alive: None,
        };
        if is_made {
            return Ok(network);
        }
        Err(said.refused("unshare"))
    }

    /// Loads the rules.
    fn guard(&self, rules: &str) -> Result<(), NetworkError> {
        let words = self.enter();
        let (first, words) = words
            .split_first()
            .ok_or(io::ErrorKind::NotFound)
            .map_err(io::Error::from)?;
        let said = ErrorOutput::new()?;
        let nft = program(first)
            .args(words)
            .args(["nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said.writer()?)
            .spawn();
        let mut nft = nft.map_err(missing("nsenter", "util-linux"))?;
        // If it ends early, its message says why.
        if let Some(mut stdin) = nft.stdin.take() {
            stdin.write_all(rules.as_bytes()).unwrap_or_default();
        }
        match nft.wait()?.code() {
            Some(0) => Ok(()),
            // The exit codes of nsenter for a missing program.
            Some(126 | 127) => Err(missing("nft", "nftables")(io::Error::from(io::ErrorKind::NotFound))),
            _ => Err(said.refused("nft")),
        }
    }

    /// Attaches the uplink.
    fn connect(&mut self, slot: &str, both: bool) -> Result<(), NetworkError> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(TUN)
            .map_err(|source| NetworkError::Device { source })?;
        let holder = self.holder.as_ref().map(Child::id).unwrap_or_default();
        let (mut is_ready, ready) = io::pipe()?;
        let (exit, alive) = io::pipe()?;
        fcntl_setfd(&ready, FdFlags::empty()).map_err(io::Error::from)?;
        fcntl_setfd(&exit, FdFlags::empty()).map_err(io::Error::from)?;
        let said = ErrorOutput::new()?;
        let mut command = program("slirp4netns");
        command.args([
            "--configure",
            "--disable-host-loopback",
            "--enable-sandbox",
            "--enable-seccomp",
            "--mtu=65520",
        ]);
        if both {
            command.arg("--enable-ipv6");
        }
        command.arg(format!("--ready-fd={}", ready.as_raw_fd()));
        command.arg(format!("--exit-fd={}", exit.as_raw_fd()));
        command.args([&holder.to_string(), DEVICE]);
        let spawned = command
            .env(SLOT_VARIABLE, slot)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.writer()?)
            .spawn();
        let slirp = spawned.map_err(missing("slirp4netns", "slirp4netns"))?;
        drop((ready, exit));
        self.slirp = Some(slirp);
        self._alive = Some(alive);
        if is_ready.read_exact(&mut [0]).is_ok() {
            return Ok(());
        }
        Err(said.refused("slirp4netns"))
    }
}

/// Makes a network and removes it again.
pub(crate) fn try_network(rules: &Rules) -> Result<(), NetworkError> {
    Network::up(rules, "trial").map(drop)
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in [&mut self.holder, &mut self.slirp].into_iter().flatten() {
            child.kill().unwrap_or_default();
            // The keeper may have reaped it already.
            child.wait().map(|_| ()).unwrap_or_default();
        }
    }
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env_clear().env("PATH", SYSTEM_PATH);
    command
}

/// Returns the remedy for a device that cannot be opened.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permit it with `chmod 666 /dev/net/tun`, which udev does by default",
        _ => "load its module with `modprobe tun`",
    }
}

fn missing(program: &'static str, package: &'static str) -> impl Fn(io::Error) -> NetworkError {
    move |source| NetworkError::Missing {
        program,
        package,
        source,
    }
}

/// The error output of a program, in memory, so that writing never blocks it.
struct ErrorOutput(File);

/// Bytes of the output that an error contains.
const MAX_OUTPUT_BYTES: u64 = 500;

impl ErrorOutput {
    fn new() -> io::Result<Self> {
        Ok(Self(File::from(memfd_create("said", MemfdFlags::CLOEXEC)?)))
    }

    fn writer(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    fn refused(mut self, program: &'static str) -> NetworkError {
        let mut said = String::new();
        if self.0.rewind().is_ok() {
            // Output that is not text is ignored.
            self.0
                .take(MAX_OUTPUT_BYTES)
                .read_to_string(&mut said)
                .unwrap_or_default();
        }
        let said = said.trim().replace('\n', "; ");
        NetworkError::Refused { program, said }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_networks_come_first_and_the_addresses_of_the_machine_are_closed() {
        let rules = Rules {
            allow: vec!["10.1.0.0/16".to_owned()],
            deny: vec!["2001:db8::/32".to_owned(), "203.0.113.9".to_owned()],
        };
        let own: [IpAddr; 2] = ["198.51.100.7", "2001:db8::7"].map(|text| text.parse().expect("an address"));
        let text = rules.text(&own);
        let at = |rule: &str| text.find(rule).unwrap_or_else(|| panic!("{rule} in {text}"));
        assert!(at("policy drop") < at("ip daddr 10.1.0.0/16 accept"));
        assert!(at("ip daddr 10.1.0.0/16 accept") < at("10.0.0.0/8"));
        let last = at("meta l4proto");
        for rule in [
            "ip daddr 198.51.100.7 reject",
            "ip6 daddr 2001:db8::7 reject",
            "ip6 daddr 2001:db8::/32 reject",
            "ip daddr 203.0.113.9 reject",
            "169.254.0.0/16",
            "fe80::/10",
        ] {
            assert!(at(rule) < last, "{rule}");
        }
    }

    #[test]
    fn the_resolver_is_open_on_the_port_of_names_alone() {
        let text = Rules::default().text(&[]);
        let about_it = text.lines().map(str::trim).filter(|line| line.contains(RESOLVER));
        assert_eq!(
            about_it.collect::<Vec<_>>(),
            ["udp", "tcp"].map(|protocol| format!("ip daddr 10.0.2.3 {protocol} dport 53 accept"))
        );
    }
}
