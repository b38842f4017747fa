//! The units that keep the pool filled: a supervisor, or a timer with one pass at a time.

use super::access;
use super::command::{Line, Program, Word};
use super::gate::{install, restarts_unless};
use super::token::{TOKEN_REFRESH, TOKEN_REFRESH_TIMER};
use super::unit::{Section, Unit};

/// The service of `jitgate pool supervise`.
pub const SUPERVISOR: &str = "chem-runner-pool-supervisor.service";
/// The service of `jitgate pool reconcile`.
pub const RECONCILE: &str = "chem-runner-pool-reconcile.service";
/// The timer of `jitgate pool reconcile`.
pub const RECONCILE_TIMER: &str = "chem-runner-pool-reconcile.timer";

/// The settings of the units of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolUnits {
    pub program: Program,
    pub min: u32,
    pub max: u32,
    pub target: u32,
    /// The time between two passes, in seconds.
    pub interval_s: u64,
    /// The file with the token; none for the credentials of the configuration.
    pub token_file: Option<Word>,
    /// True if the token refresh keeps this file up to date.
    pub is_refreshed: bool,
}

impl PoolUnits {
    /// Returns the units of the supervisor.
    #[must_use]
    pub fn supervisor(&self) -> Vec<Unit> {
        let command = self.bounds(
            self.program
                .run()
                .words(&format!("pool supervise --interval {}", self.interval_s)),
        );
        let service = Section::new("Service")
            .set_all([
                ("Type", "exec"),
                ("ExecStart", &command),
                ("WorkingDirectory", "%S/jitgate"),
            ])
            .with(|service| self.restarts(service));
        vec![Unit::new(
            SUPERVISOR,
            "Keeps the slots of the pool filled and serves jobs without a pause between two passes. The timer \
             chem-runner-pool-reconcile.timer is the fallback.",
            [
                self.unit_section("Runner pool of jitgate")
                    .set("StartLimitIntervalSec", "0"),
                self.worker(service),
                install("multi-user.target"),
            ],
        )]
    }

    /// Returns the units of the timer.
    #[must_use]
    pub fn reconcile(&self) -> Vec<Unit> {
        let command = self.bounds(self.program.run().words("pool reconcile"));
        let service = Section::new("Service")
            .set_all([
                ("Type", "oneshot"),
                ("ExecStart", &command),
                ("WorkingDirectory", "%S/jitgate"),
            ])
            .comment("A pass waits for GitHub and the host, but not for jobs.")
            .set("TimeoutStartSec", "15min");
        let timer = Section::new("Timer")
            .set("OnActiveSec", "1s")
            .comment("Passes do not overlap: the time counts from the end of the previous one.")
            .set("OnUnitInactiveSec", format!("{}s", self.interval_s))
            .set("AccuracySec", "1s");
        vec![
            Unit::new(
                RECONCILE,
                "One pass over the slots of the pool. Running jobs continue after it. The timer of the same name starts it.",
                [
                    self.unit_section("One pass over the runner pool of jitgate"),
                    self.worker(service),
                ],
            ),
            Unit::new(
                RECONCILE_TIMER,
                "The fallback for chem-runner-pool-supervisor.service: one pass over the pool at a time.",
                [
                    Section::new("Unit").set("Description", "Passes over the runner pool of jitgate"),
                    timer,
                    install("timers.target"),
                ],
            ),
        ]
    }

    fn unit_section(&self, description: &str) -> Section {
        let section = Section::new("Unit").set("Description", description);
        if !self.is_refreshed {
            return section.set_all([("Wants", "network-online.target"), ("After", "network-online.target")]);
        }
        section
            .comment("The token refresh may have to replace a token that has expired since the last boot.")
            .set("Wants", format!("network-online.target {TOKEN_REFRESH_TIMER}"))
            .set("After", format!("network-online.target {TOKEN_REFRESH}"))
    }

    fn restarts(&self, service: Section) -> Section {
        if self.is_refreshed {
            let reason = "2: usage. A restart solves a missing token file (3) once the token refresh has made it.";
            restarts_unless(service, "2", reason)
        } else {
            restarts_unless(
                service,
                "2 3",
                "2: usage, 3: configuration. A restart does not solve these.",
            )
        }
    }

    fn bounds(&self, line: Line) -> String {
        let line = line.words(&format!(
            "--min {} --max {} --target {}",
            self.min, self.max, self.target
        ));
        match &self.token_file {
            Some(file) => line.words("--token-source file").flag("--token-file", file).text(),
            None => line.text(),
        }
    }

    fn worker(&self, service: Section) -> Section {
        let account = service
            .with(access::keeps_jobs)
            .blank()
            .comment(
                "The account: a user that owns the state directory. It remains when the service stops, because jobs may still run. \
                 It cannot read the private key of the App.",
            )
            .set("User", self.program.user.as_str())
            .set_all([
                ("StateDirectory", "jitgate"),
                ("StateDirectoryMode", "0700"),
                ("RuntimeDirectory", "jitgate"),
                ("RuntimeDirectoryMode", "0700"),
            ])
            .comment("jitgate.socket may use this directory, too.")
            .set_all([("RuntimeDirectoryPreserve", "yes"), ("UMask", "0077")]);
        let settings = self.program.environment.iter();
        let account = settings.fold(account, |section, (name, value)| {
            section.set("Environment", format!("{name}={value}"))
        });
        account.blank().with(access::runs_jobs)
    }
}
