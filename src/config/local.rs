//! `[local]`: runners on this machine, for `runners.host = "local"`.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

/// Maximum length of a user name on Linux.
pub(super) const MAX_USER_CHARS: usize = 32;
/// Minimum that a runner program needs to start.
const MIN_MEMORY_MIB: u64 = 64;
const MIN_PIDS: u64 = 16;
/// Paths that every sandbox replaces, with everything below.
const RESERVED: &[&str] = &["/dev", "/proc", "/runner"];
/// Paths that every job has of its own. Paths below them can be exposed.
const PRIVATE: &[&str] = &["/tmp", "/var/tmp"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLocal {
    /// Directory of the unpacked actions/runner.
    runner_home: PathBuf,
    /// Separation of jobs from the machine: bubblewrap or none.
    sandbox: Sandbox,
    /// Account that jobs run as. By default the account of jitgate; root must be named explicitly.
    user: Option<String>,
    /// Further paths of this machine that jobs can read.
    expose: Vec<PathBuf>,
    /// Network of jobs: isolated with internet access only, that of this machine, or none.
    network: Network,
    /// Private addresses and networks that an isolated job can reach.
    network_allow: Vec<String>,
    /// Public addresses and networks that an isolated job cannot reach.
    network_deny: Vec<String>,
    /// Memory limit of a job in MiB. By default there is no limit.
    memory_mib: Option<u64>,
    /// Maximum number of processes and threads of a job.
    pids: Option<u64>,
    /// Maximum number of processors that a job can use.
    cpus: Option<u64>,
    /// Disk limit of a job in MiB.
    disk_mib: Option<u64>,
    /// Permits jobs of public repositories on this machine.
    public_repositories: bool,
}

/// Settings of runners on this machine.
#[derive(Debug, Clone)]
pub struct Local {
    pub runner_home: PathBuf,
    pub sandbox: Sandbox,
    /// Account that jobs run as; `None` is the account of jitgate.
    pub user: Option<String>,
    /// Further paths of this machine that jobs can read.
    pub expose: Vec<PathBuf>,
    pub network: Network,
    pub network_allow: Vec<String>,
    pub network_deny: Vec<String>,
    pub memory_mib: Option<u64>,
    pub pids: Option<u64>,
    pub cpus: Option<u64>,
    pub disk_mib: Option<u64>,
    pub public_repositories: bool,
}

/// The separation of jobs from the machine: bubblewrap, with separate processes and mounts, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    Bwrap,
    None,
}

/// The network of jobs: a separate one with access to the internet but not to this machine, that of this machine, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    Isolated,
    Host,
    None,
}

impl RawLocal {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Local, Reported> {
        let (sandbox, network) = (self.sandbox, self.network);
        if sandbox == Sandbox::None {
            let remedy = "use \"bwrap\"";
            check.warn(
                "local.sandbox",
                "exposes this machine and its network to jobs in spite of local.network, and lets them leave processes",
                remedy,
            );
        }
        let user = self
            .user
            .as_deref()
            .map(|user| check.name("local.user", user, "-_", MAX_USER_CHARS));
        let exposed = check_exposed(check, &self.expose);
        if network == Network::Host && sandbox == Sandbox::Bwrap {
            let what = "lets jobs reach what listens on this machine and around it";
            check.warn("local.network", what, "use \"isolated\"");
        }
        let allowed = check_networks(check, "local.network_allow", &self.network_allow);
        let denied = check_networks(check, "local.network_deny", &self.network_deny);
        let least = [
            ("local.memory_mib", self.memory_mib, MIN_MEMORY_MIB),
            ("local.pids", self.pids, MIN_PIDS),
            ("local.cpus", self.cpus, 1),
            ("local.disk_mib", self.disk_mib, 1),
        ];
        for (key, given, least) in least {
            if given.is_some_and(|given| given < least) {
                let remedy = format!("use at least {least}, or remove it for no limit");
                return Err(check.problem(key, "is less than a runner needs to start", remedy));
            }
        }
        user.transpose()?;
        exposed?;
        // root is not a change of the account, but it must be explicit.
        if self.user.as_deref().is_some_and(|user| user != "root") && sandbox == Sandbox::None {
            let remedy = "use local.sandbox = \"bwrap\", or run jitgate itself as that account";
            return Err(check.problem("local.user", "has no effect without a sandbox", remedy));
        }
        Ok(Local {
            runner_home: self.runner_home,
            sandbox,
            user: self.user,
            expose: self.expose,
            network,
            network_allow: allowed?,
            network_deny: denied?,
            memory_mib: self.memory_mib,
            pids: self.pids,
            cpus: self.cpus,
            disk_mib: self.disk_mib,
            public_repositories: self.public_repositories,
        })
    }
}

/// Returns addresses such as `10.1.2.3` and networks such as `10.1.0.0/16` in the notation of the packet filter.
pub(super) fn check_networks(check: &mut Check<'_>, key: &str, given: &[String]) -> Result<Vec<String>, Reported> {
    let read = |text: &String| {
        let (address, length) = text
            .split_once('/')
            .map_or((text.as_str(), None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length: u8 = length.map_or(Ok(most), str::parse).ok()?;
        (length <= most).then(|| format!("{address}/{length}"))
    };
    let networks: Vec<Option<String>> = given.iter().map(read).collect();
    if let Some((wrong, _)) = given.iter().zip(&networks).find(|(_, network)| network.is_none()) {
        let remedy = "use addresses such as 10.1.2.3 and networks such as 10.1.0.0/16";
        return Err(check.problem(key, format!("{wrong:?} is not an address or a network"), remedy));
    }
    Ok(networks.into_iter().flatten().collect())
}

/// Rejects a path that is the whole machine or that every sandbox replaces.
fn check_exposed(check: &mut Check<'_>, paths: &[PathBuf]) -> Result<(), Reported> {
    let is_plain = |path: &Path| {
        let mut parts = path.components();
        parts.next() == Some(Component::RootDir) && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    for path in paths {
        let (what, remedy) = if !is_plain(path) {
            (
                "is not an absolute path",
                "use a path such as /srv/toolchains, without ..",
            )
        } else if path == Path::new("/") {
            ("is the whole machine", "name the directories that jobs need")
        } else if RESERVED.iter().any(|reserved| path.starts_with(reserved))
            || PRIVATE.iter().any(|private| path == Path::new(private))
        {
            ("is where every job has something of its own", "move it elsewhere")
        } else {
            continue;
        };
        return Err(check.problem("local.expose", format!("{} {what}", path.display()), remedy));
    }
    Ok(())
}
