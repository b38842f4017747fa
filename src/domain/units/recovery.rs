//! The units that recover the base runner as root, at the request of the unprivileged pool.
//!
//! The request is a change of one file. Its content is not read, so the request cannot carry a command, a path or a name.

use super::command::{Program, Word};
use super::gate::install;
use super::unit::{Section, Unit};

/// The service of `jitgate runner recover`.
pub const RECOVERY: &str = "chem-runner-recovery.service";
/// The unit that waits for a request.
pub const RECOVERY_PATH: &str = "chem-runner-recovery.path";
/// The file whose change requests a recovery.
pub const REQUEST_FILE: &str = "/var/lib/jitgate/recovery-request";

/// The settings of the recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryUnits {
    pub program: Program,
    pub repository: Word,
    pub labels: Word,
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
        let command = command
            .flag("--labels", &self.labels)
            .flag("--group", &self.group)
            .flag("--runner-home", &self.runner_home);
        let command = match &self.token_file {
            Some(file) => command.words("--token-source file").flag("--token-file", file),
            None => command,
        };
        let service = Section::new("Service")
            .set("Type", "oneshot")
            .set("ExecStart", command.text())
            .set("TimeoutStartSec", "15min")
            .blank()
            .comment(
                "Access: the units of the machine and the base runner, which belongs to another user. Restarting a unit needs \
                 root.",
            )
            .set("NoNewPrivileges", "yes")
            .set(
                "CapabilityBoundingSet",
                "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SETGID CAP_SETUID",
            )
            .set("ProtectSystem", "strict")
            .set("ReadWritePaths", format!("/etc/systemd/system {}", self.runner_home.quoted()))
            .set_all([
                ("PrivateTmp", "yes"),
                ("PrivateDevices", "yes"),
                ("ProtectClock", "yes"),
                ("ProtectControlGroups", "yes"),
                ("ProtectHostname", "yes"),
                ("ProtectKernelLogs", "yes"),
                ("ProtectKernelModules", "yes"),
                ("ProtectKernelTunables", "yes"),
                ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
                ("RestrictNamespaces", "yes"),
                ("RestrictRealtime", "yes"),
                ("LockPersonality", "yes"),
                ("KeyringMode", "private"),
                ("SystemCallArchitectures", "native"),
                ("UMask", "0022"),
            ]);
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
                         until an operator runs systemctl reset-failed.",
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
