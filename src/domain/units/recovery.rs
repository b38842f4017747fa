//! The units that recover the base runner as root, at the request of the unprivileged pool.
//!
//! The request is a change of one file. Its content is not read, so the request cannot carry a command, a path or a name.

use super::access;
use super::command::{Program, Word};
use super::gate::install;
use super::unit::{Section, Unit};

/// The service of `jitgate runner recover`.
pub const RECOVERY: &str = "chem-runner-recovery.service";
/// The unit that waits for a request.
pub const RECOVERY_PATH: &str = "chem-runner-recovery.path";
/// The file whose change requests a recovery.
pub const REQUEST_FILE: &str = "/var/lib/jitgate/recovery-request";

/// The rights of the recovery: to read the token of the pool, to install files for the runner's account, to run `config.sh` as
/// this account, and to end it when it hangs.
const CAPABILITIES: &str = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID";

/// The settings of the recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryUnits {
    pub program: Program,
    pub repository: Word,
    /// None for those that the runner has.
    pub labels: Option<Word>,
    pub group: Word,
    pub runner_home: Word,
    /// The file with the token; none for the credentials of the configuration.
    pub token_file: Option<Word>,
}

impl RecoveryUnits {
    /// Returns the service and the unit that waits for a request.
    #[must_use]
    pub fn units(&self) -> Vec<Unit> {
        vec![self.service(), path()]
    }

    fn service(&self) -> Unit {
        let command = self
            .program
            .run()
            .words("runner recover")
            .flag("--repo", &self.repository);
        let command = match &self.labels {
            Some(labels) => command.flag("--labels", labels),
            None => command,
        };
        let command = command
            .flag("--group", &self.group)
            .flag("--runner-home", &self.runner_home);
        let command = match &self.token_file {
            Some(file) => command.words("--token-source file").flag("--token-file", file),
            None => command,
        };
        let writable = format!("/etc/systemd/system {}", self.runner_home.quoted());
        let service = Section::new("Service")
            .set("Type", "oneshot")
            .set("ExecStart", command.text())
            .set("TimeoutStartSec", "15min")
            .blank()
            .comment(
                "Access: the units of the machine and the base runner, which belongs to another user. Restarting a unit needs \
                 root.",
            )
            .with(|service| access::root(service, CAPABILITIES, &writable))
            .set("UMask", "0022");
        Unit::new(
            RECOVERY,
            "Recovers the base runner: restarts its unit, and registers it again if GitHub does not know it.",
            [
                Section::new("Unit")
                    .set_all([
                        ("Description", "Recovery of the base runner"),
                        ("Wants", "network-online.target"),
                        ("After", "network-online.target"),
                    ])
                    .comment(
                        "The pool can request a recovery and is not trusted: after four of them in an hour the requests fail \
                         until an operator runs systemctl reset-failed. A recovery that installs the unit of the runner again \
                         also ends this count, because it reloads systemd.",
                    )
                    .set_all([("StartLimitIntervalSec", "1h"), ("StartLimitBurst", "4")]),
                service,
            ],
        )
    }
}

fn path() -> Unit {
    Unit::new(
        RECOVERY_PATH,
        "Starts the service of the same name when the file of the request changes. The content of the file is not read.",
        [
            Section::new("Unit").set("Description", "Requests for a recovery of the base runner"),
            Section::new("Path").set("PathChanged", REQUEST_FILE),
            install("paths.target"),
        ],
    )
}
