//! The validated configuration, and the additional requirements of `serve`.

use super::check::{Check, Reported};
use super::raw::RawConfig;
use super::repositories::{self, Shared};
use super::{
    Alerts, Credentials, Github, Host, Local, Problem, Problems, Proxies, Qemu, Repository, Rollout, Routing, Runners,
    Sandbox, Server, Slo, Store, StoreUrl, Synthetic, Telemetry, Webhook,
};
use secrecy::{ExposeSecret, SecretString};
use std::mem;
use std::path::PathBuf;

/// The validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub webhook: Webhook,
    pub github: Github,
    /// The served repositories, with distinct names.
    pub repositories: Vec<Repository>,
    /// The policy of repositories without overrides.
    pub routing: Routing,
    pub store: Store,
    pub runners: Runners,
    pub local: Local,
    pub qemu: Qemu,
    pub synthetic: Synthetic,
    pub rollout: Rollout,
    pub slo: Slo,
    pub alerts: Alerts,
    pub telemetry: Telemetry,
    /// The proxies for everything except GitHub.
    pub proxies: Proxies,
    /// The files with secrets: the configuration file and those that it names.
    pub secret_files: Vec<PathBuf>,
}

/// The part of jitgate that a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Ingress and worker
    All,
    /// Accepts deliveries
    Ingress,
    /// Decides and makes runners
    Worker,
}

impl RawConfig {
    /// Validates every section, independent of problems in the others.
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Config, Reported> {
        let mut server = self.server.validate(check);
        let webhook = self.webhook.validate(check);
        let github = self.github.validate(check);
        let raw_routing = self.routing.clone();
        let qemu = self.qemu.validate(check, self.runners.host);
        let sizes = qemu.as_ref().map(Qemu::labels_of_sizes).unwrap_or_default();
        let routing = self.routing.validate(check, "routing", &sizes);
        let trust = self.trust.validate(check);
        let store = self.store.validate(check);
        let runners = self.runners.validate(check);
        let jobs_are_local = runners.as_ref().is_ok_and(|runners| runners.host == Host::Local);
        if let Ok(found) = &mut server
            && jobs_are_local
            && check.is_default("server.admin_listen")
        {
            server = found.listen_for_admins_in_state_dir(check).map(|()| found.clone());
        }
        let local = self.local.validate(check);
        let rollout = self.rollout.validate(check);
        let alerts = self.alerts.validate(check);
        let telemetry = self.telemetry.validate(check);
        let is_file = store
            .as_ref()
            .is_ok_and(|store| matches!(store.url, StoreUrl::Sqlite(_)));
        if is_file && check.is_default("store.url") && !check.is_default("server.state_dir") {
            let remedy = "set store.url too, if the database belongs into this directory";
            check.warn("store.url", "is outside of server.state_dir", remedy);
        }
        if let (Ok(store), Ok(runners), Ok(local)) = (&store, &runners, &local)
            && runners.host == Host::Local
        {
            // The problem is already reported.
            store.closed_to_jobs(check, local.sandbox == Sandbox::Bwrap).ok();
        }
        let shared = Shared {
            raw_routing,
            sizes,
            routing: routing.clone(),
            trust,
            rollout: rollout.clone(),
        };
        let repositories = repositories::validate(self.repositories, &shared, check);
        Ok(Config {
            server: server?,
            webhook: webhook?,
            github: github?,
            repositories: repositories?,
            routing: routing?,
            store: store?,
            runners: runners?,
            local: local?,
            qemu: qemu?,
            synthetic: self.synthetic.into(),
            rollout: rollout?,
            slo: self.slo.into(),
            alerts: alerts?,
            telemetry: telemetry?,
            proxies: check.environment.proxies.clone(),
            secret_files: mem::take(&mut check.secret_files),
        })
    }
}

impl Config {
    /// Returns the secrets by their settings, except those of the webhook. Their values are masked in the displayed
    /// settings, so a comparison of these finds no change.
    #[must_use]
    pub fn changed_secrets(&self, other: &Self) -> Vec<&'static str> {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        let credentials = |config: &Self| match &config.github.credentials {
            Credentials::App { private_key, .. } => ("github.private_key_file", Some(text(private_key))),
            Credentials::Token(token) => ("github.token_file", Some(text(token))),
            Credentials::None => ("github.app_id", None),
        };
        let store = |config: &Self| match &config.store.url {
            StoreUrl::Redis(url) | StoreUrl::RedisCluster(url) => ("store.url", Some(text(url))),
            StoreUrl::Memory | StoreUrl::Sqlite(_) => ("store.url", None),
        };
        let slack = |config: &Self| {
            let url = config.alerts.slack_webhook_url.as_ref().map(text);
            ("alerts.slack_webhook_url", url)
        };
        let webhook = |config: &Self| {
            let secret = config.alerts.webhook.as_ref().map(|webhook| text(&webhook.secret));
            ("alerts.webhook_secret", secret)
        };
        let of = |config: &Self| [credentials(config), store(config), slack(config), webhook(config)];
        let pairs = of(self).into_iter().zip(of(other));
        pairs
            .filter(|(ours, theirs)| ours != theirs)
            .map(|(_, (key, _))| key)
            .collect()
    }

    /// Checks that `serve` can run with this configuration.
    ///
    /// # Errors
    /// With all missing settings.
    pub fn for_serve(&self, role: Role) -> Result<(), Problems> {
        let takes_deliveries = role != Role::Worker;
        let makes_runners = role != Role::Ingress;
        let has_credentials = !matches!(self.github.credentials, Credentials::None);
        let is_shared = !matches!(self.store.url, StoreUrl::Memory);
        let needs = [
            (
                takes_deliveries && self.webhook.secrets.is_empty(),
                (
                    "webhook.secret_files",
                    "is missing",
                    "name a file with the secret of GitHub's webhook form",
                ),
            ),
            (
                makes_runners && !has_credentials,
                (
                    "github.app_id",
                    "is missing",
                    "set it and github.private_key_file, or github.token_file",
                ),
            ),
            (
                role != Role::All && !is_shared,
                (
                    "store.url",
                    "is a store that ingress and worker cannot share",
                    "use Redis, or --role all",
                ),
            ),
        ];
        let missing = needs.into_iter().filter(|(missing, _)| *missing);
        let problems: Vec<Problem> = missing
            .map(|(_, (key, what, remedy))| *Problem::new(key, what, remedy))
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Problems(problems))
        }
    }
}
