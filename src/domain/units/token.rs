//! The units that replace the installation token before it expires. Only they can read the private key of the App.

use super::access;
use super::command::{Program, Word};
use super::gate::install;
use super::unit::{Section, Unit};

/// The service of `jitgate app refresh-token`.
pub const TOKEN_REFRESH: &str = "chem-github-app-token-refresh.service";
/// The timer of `jitgate app refresh-token`.
pub const TOKEN_REFRESH_TIMER: &str = "chem-github-app-token-refresh.timer";
/// The default file with the token.
pub const DEFAULT_TOKEN_FILE: &str = "/etc/chem-model-edit/gh_runner_token";
/// The file with the time of the last refresh.
pub const STATUS_FILE: &str = "/var/lib/chem-model-edit/github-app-token-refresh-status.json";

/// The settings of the token refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUnits {
    pub program: Program,
    pub app_id: Word,
    pub installation_id: u64,
    pub private_key_file: Word,
    pub token_file: Word,
    /// The directory of the token file.
    pub token_directory: Word,
    /// The time between two refreshes, in seconds.
    pub interval_s: u64,
}

impl TokenUnits {
    /// Returns the service and its timer.
    #[must_use]
    pub fn units(&self) -> Vec<Unit> {
        vec![self.service(), self.timer()]
    }

    fn service(&self) -> Unit {
        let command = self
            .program
            .run()
            .words("app refresh-token")
            .flag("--app-id", &self.app_id);
        let command = command
            .words(&format!("--app-installation-id {}", self.installation_id))
            .words("--app-private-key-file %d/app.pem")
            .flag("--token-file", &self.token_file)
            .words(&format!("--status-file {STATUS_FILE}"));
        let service = Section::new("Service")
            .set("Type", "oneshot")
            .set("ExecStart", command.text())
            .set("TimeoutStartSec", "120")
            .comment("GitHub may answer at the next try. 2: usage, 3: configuration; a restart does not solve these.")
            .set_all([
                ("Restart", "on-failure"),
                ("RestartSec", "60"),
                ("RestartPreventExitStatus", "2 3"),
                ("OOMPolicy", "stop"),
                ("TasksMax", "64"),
            ])
            .blank()
            .comment("Secrets: root reads the private key, and only this service can see it (in the directory %d).")
            .set("LoadCredential", format!("app.pem:{}", self.private_key_file))
            .blank()
            .comment("The account: the user of the pool, which reads the token.")
            .set("User", self.program.user.as_str())
            .set_all([
                ("StateDirectory", "chem-model-edit"),
                ("StateDirectoryMode", "0700"),
                ("UMask", "0077"),
            ])
            .with(|section| {
                let settings = self.program.environment.iter();
                settings.fold(section, |section, (name, value)| {
                    section.set("Environment", format!("{name}={value}"))
                })
            })
            .blank()
            .comment("Access: the two directories and the network, nothing else.")
            .set("ReadWritePaths", self.token_directory.quoted())
            .with(access::network_only);
        Unit::new(
            TOKEN_REFRESH,
            "Replaces the installation token, which expires after an hour. The timer of the same name starts it.",
            [
                Section::new("Unit").set_all([
                    (
                        "Description",
                        "Refresh of the installation token of jitgate's GitHub App",
                    ),
                    ("Wants", "network-online.target"),
                    ("After", "network-online.target"),
                    ("StartLimitIntervalSec", "0"),
                ]),
                service,
            ],
        )
    }

    fn timer(&self) -> Unit {
        let timer = Section::new("Timer")
            .set("OnActiveSec", "1s")
            .set("OnUnitActiveSec", format!("{}s", self.interval_s))
            .set("AccuracySec", "1s");
        Unit::new(
            TOKEN_REFRESH_TIMER,
            "Refreshes the installation token at the start of the timer, and then periodically.",
            [
                Section::new("Unit").set(
                    "Description",
                    "Periodic refresh of the installation token of jitgate's GitHub App",
                ),
                timer,
                install("timers.target"),
            ],
        )
    }
}
