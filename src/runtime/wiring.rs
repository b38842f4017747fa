//! From a validated configuration to ports with adapters behind them.

use super::descriptors;
use crate::adapters::alerts::{self, Alertmanager, LogSink, Post, Slack, Webhook};
use crate::adapters::github::{self, GitHubAdapter};
use crate::adapters::memory::MemoryStore;
use crate::adapters::redis::{self, RedisStore};
use crate::adapters::sqlite::{OpenError, OpenMode, SqliteStore};
use crate::app::events::budget::Budget;
use crate::app::events::github_cache::GitHubCache;
use crate::app::pool::memory::Pool;
use crate::app::repositories::renamed::Renamed;
use crate::app::settings::{Repository, Settings};
use crate::app::{Alerts, Context, Ingest};
use crate::config::{AdminListen, Config, Credentials, Host, Scope, StoreUrl};
use crate::domain::policy::Policy;
use crate::domain::pool::Bounds as PoolBounds;
use crate::domain::runner_task::Deadlines;
use crate::http::{self, AdminState, Bind, Health, Limits, Metrics, Running};
use crate::ports::alert_sink::AlertSink;
use crate::ports::github::RunnerScope;
use crate::ports::queue::Bounds;
use crate::ports::{Clock, Durability, Failure, GitHub, Ledger, Observer, Queue, RunnerHost};
use chrono::TimeDelta;
use secrecy::SecretString;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The engine behind queue and ledger.
#[derive(Clone)]
pub struct Store {
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// What it promises.
    pub durability: Arc<dyn Durability>,
}

impl Store {
    fn of<S: Queue + Ledger + Durability>(engine: S) -> Self {
        let engine = Arc::new(engine);
        Self {
            queue: engine.clone(),
            ledger: engine.clone(),
            durability: engine,
        }
    }
}

/// Something could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The store is inside another process.
    #[error("store.url is memory:, and such a store lives inside the process that serves")]
    InsideServe,
    /// The database was not opened.
    #[error(transparent)]
    Sqlite(#[from] OpenError),
    /// The Redis URL is none.
    #[error(transparent)]
    Redis(Failure),
    /// Nobody to speak as.
    #[error("no credentials for GitHub: set github.app_id with github.private_key_file, or github.token_file")]
    NoCredentials,
    /// The GitHub client could not be built.
    #[error("cannot set up the GitHub client")]
    GitHub(#[source] github::SetupError),
    /// The client that posts alerts could not be built.
    #[error(transparent)]
    Alerts(#[from] alerts::SetupError),
    /// A listener could not be opened.
    #[error(transparent)]
    Listen(#[from] http::ListenError),
}

/// Most deliveries the queue holds; the last tenth is kept for those that could reach a runner. At GitHub's largest bodies
/// that is `store.bodies_max_bytes` long before, and at usual ones hours of a busy organization.
const QUEUE_BOUND: u64 = 100_000;
/// Most records of finished jobs of outsiders: each is small, and outsiders make as many as they like.
const MAX_SPARE_RECORDS: u64 = 10_000;

/// Opens the configured store to work its queue.
///
/// # Errors
/// When it does not open. A Redis server that is down is no error: it is connected to when it is used.
pub fn open_store(config: &Config, clock: Arc<dyn Clock>) -> Result<Store, WiringError> {
    match &config.store.url {
        StoreUrl::Memory => Ok(Store::of(MemoryStore::new(clock, bounds(config)))),
        _ => open_shared(config, clock, OpenMode::Serve),
    }
}

/// Opens the configured store for a command, beside a process that serves.
///
/// # Errors
/// When the store is inside that process, or does not open.
pub fn open_store_beside(config: &Config, clock: Arc<dyn Clock>) -> Result<Store, WiringError> {
    open_shared(config, clock, OpenMode::Command)
}

fn open_shared(config: &Config, clock: Arc<dyn Clock>, mode: OpenMode) -> Result<Store, WiringError> {
    match &config.store.url {
        StoreUrl::Memory => Err(WiringError::InsideServe),
        StoreUrl::Sqlite(path) => Ok(Store::of(SqliteStore::open(path, mode, clock, bounds(config))?)),
        StoreUrl::Redis(url) | StoreUrl::RedisCluster(url) => {
            let settings = redis::Settings::new(url.clone(), config.store.shards, bounds(config));
            Ok(Store::of(RedisStore::new(settings).map_err(WiringError::Redis)?))
        }
    }
}

fn bounds(config: &Config) -> Bounds {
    Bounds {
        max_entries: QUEUE_BOUND,
        max_entries_other: QUEUE_BOUND - QUEUE_BOUND / 10,
        bodies_max_bytes: config.store.bodies_max_bytes,
        retention: config.store.retention,
        max_spare_records: MAX_SPARE_RECORDS,
    }
}

/// Puts the worker's side together.
///
/// # Errors
/// When the GitHub client cannot be built.
pub fn build_context(
    config: &Config,
    clock: &Arc<dyn Clock>,
    store: &Store,
    host: Option<Arc<dyn RunnerHost>>,
    instance: &str,
    observer: Arc<dyn Observer>,
) -> Result<Arc<Context>, WiringError> {
    Ok(Arc::new(Context {
        queue: store.queue.clone(),
        ledger: store.ledger.clone(),
        github: connect(
            config,
            credentials(config).unwrap_or(github::Credentials::Anonymous),
            clock,
            observer.clone(),
        )?,
        host,
        alerts: open_alerts(config, clock, store, observer.clone())?,
        observer,
        clock: clock.clone(),
        settings: settings(config, instance),
        github_cache: GitHubCache::default(),
        budget: Budget::default(),
        pool: Pool::default(),
    }))
}

/// The alerts in a store, and whoever is configured to be told of them.
///
/// # Errors
/// When the client that posts them cannot be built.
pub fn open_alerts(
    config: &Config,
    clock: &Arc<dyn Clock>,
    store: &Store,
    observer: Arc<dyn Observer>,
) -> Result<Arc<Alerts>, WiringError> {
    let post = Post::new(clock.clone(), &config.proxies)?;
    let mut sinks: Vec<Arc<dyn AlertSink>> = vec![Arc::new(LogSink)];
    if let Some(url) = &config.alerts.alertmanager_url {
        sinks.push(Arc::new(Alertmanager::new(post.clone(), url)));
    }
    if let Some(url) = &config.alerts.slack_webhook_url {
        sinks.push(Arc::new(Slack::new(post.clone(), url.clone())));
    }
    if let Some(webhook) = &config.alerts.webhook {
        sinks.push(Arc::new(Webhook::new(post, &webhook.url, webhook.secret.clone())));
    }
    let (ledger, retention) = (store.ledger.clone(), config.store.retention);
    Ok(Arc::new(Alerts::new(ledger, clock.clone(), observer, retention, sinks)))
}

/// The client of the configured GitHub.
///
/// # Errors
/// When there are no credentials, or they make no client.
pub fn open_github(
    config: &Config,
    clock: &Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn GitHub>, WiringError> {
    let credentials = credentials(config).ok_or(WiringError::NoCredentials)?;
    connect(config, credentials, clock, observer)
}

/// Whom to speak as; none for an ingress, which asks GitHub nothing.
fn credentials(config: &Config) -> Option<github::Credentials> {
    match &config.github.credentials {
        Credentials::App {
            app_id,
            private_key,
            installation_id,
        } => Some(github::Credentials::App {
            app_id: app_id.clone(),
            private_key: private_key.clone(),
            installation_id: *installation_id,
        }),
        Credentials::Token(token) => Some(github::Credentials::Token(token.clone())),
        Credentials::None => None,
    }
}

fn connect(
    config: &Config,
    credentials: github::Credentials,
    clock: &Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn GitHub>, WiringError> {
    let settings = github::Settings {
        api_url: config.github.api_url.clone(),
        credentials,
        proxies: config.github.proxies.clone(),
        connect_timeout: config.github.connect_timeout,
        timeout: config.github.timeout,
    };
    let adapter = GitHubAdapter::observed(&settings, clock.clone(), observer).map_err(WiringError::GitHub)?;
    Ok(Arc::new(adapter))
}

fn settings(config: &Config, instance: &str) -> Settings {
    Settings {
        repositories: repositories(config),
        name_prefix: config.runners.name_prefix.clone(),
        instance: instance.to_owned(),
        pool: PoolBounds {
            min: config.runners.min,
            max: config.runners.max,
            target: config.runners.target,
            max_per_repository: config.runners.max_per_repository.map(Into::into),
        },
        pool_interval: config.runners.interval,
        deadlines: Deadlines {
            boot: seconds(config.runners.boot_deadline),
            gate: seconds(config.runners.gate_deadline),
            job: seconds(config.runners.job_deadline),
        },
        attempts: config.runners.attempts.into(),
        known_runners: config.runners.known.clone(),
        retention: config.store.retention,
        mode: config.rollout.mode,
        api_url: config.github.api_url.clone(),
    }
}

fn seconds(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// The repositories as the worker sees them.
pub fn repositories(config: &Config) -> Vec<Repository> {
    let public = config.runners.host != Host::Local || config.local.public_repositories;
    let repository = |configured: &crate::config::Repository| Repository {
        name: configured.name.clone(),
        scope: match configured.scope {
            Scope::Repository => RunnerScope::Repository(configured.name.clone()),
            Scope::Organization => RunnerScope::Organization(configured.name.clone()),
        },
        runner_group_id: configured.runner_group_id,
        variable: configured.variable.clone(),
        policy: policy(configured, public),
        configured_ids: configured.ids,
        quarantine: seconds(configured.quarantine),
    };
    config.repositories.iter().map(repository).collect()
}

/// The policy of a repository on this kind of host: a machine of one's own is no place for what strangers propose,
/// unless somebody says so.
fn policy(configured: &crate::config::Repository, public: bool) -> Policy {
    let mut policy = configured.policy.clone();
    policy.trust.public_repositories = public;
    policy
}

/// What both listeners of a process know of its store and of GitHub.
#[must_use]
pub fn health(ctx: &Context) -> Arc<Health> {
    Health::new(ctx.queue.clone(), ctx.github.clone())
}

/// Opens the public listener on `listen`.
///
/// # Errors
/// When the address cannot be bound.
pub fn open_ingress(
    config: &Config,
    ctx: &Context,
    health: Arc<Health>,
    listen: Bind,
) -> Result<(Running, Arc<Ingest>), WiringError> {
    let ingest = Arc::new(Ingest::new(
        ctx.queue.clone(),
        ctx.clock.clone(),
        config.webhook.secrets.clone(),
        repositories(config),
        ctx.observer.clone(),
        ctx.alerts.clone(),
        Renamed::new(
            ctx.ledger.clone(),
            ctx.alerts.clone(),
            ctx.clock.clone(),
            &ctx.settings.repositories,
        ),
    ));
    let limits = Limits {
        body_limit_bytes: config.server.body_limit_bytes,
        read_timeout: config.server.read_timeout,
        workers: config.server.http_workers.map(Into::into),
        connections: descriptors::connections().public,
    };
    let running = http::serve_public(listen, limits, ingest.clone(), health)?;
    Ok((running, ingest))
}

/// Where the admin listener is by the configuration.
#[must_use]
pub fn admin_bind(config: &Config) -> Bind {
    match &config.server.admin_listen {
        AdminListen::Tcp(address) => Bind::Tcp(*address),
        AdminListen::Unix(path) => Bind::Unix(path.clone()),
    }
}

/// Opens the admin listener.
///
/// # Errors
/// When the address or socket cannot be bound.
pub fn open_admin(
    config: &Config,
    ctx: Arc<Context>,
    health: Arc<Health>,
    bind: Bind,
    ingest: Option<Arc<Ingest>>,
    token: SecretString,
    metrics: Arc<Metrics>,
) -> Result<Running, WiringError> {
    let limits = Limits {
        body_limit_bytes: config.server.body_limit_bytes,
        read_timeout: config.server.read_timeout,
        workers: Some(1),
        connections: descriptors::connections().admin,
    };
    let state = AdminState {
        ctx,
        ingest,
        token,
        metrics,
        hosts: config.server.admin_hosts.clone(),
        simulated: OnceCell::new(),
    };
    Ok(http::serve_admin(bind, limits, state, health)?)
}
