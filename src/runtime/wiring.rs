//! Builds the ports and their adapters from a validated configuration.

use super::descriptors;
use super::github;
use super::identity;
use super::receivers;
use super::wiring_error::WiringError;
use crate::adapters::memory::MemoryStore;
use crate::adapters::redis::{self, RedisStore};
use crate::adapters::sqlite::{OpenMode, SqliteStore};
use crate::app::events::budget::Budget;
use crate::app::events::github_cache::GitHubCache;
use crate::app::incidents::Looks;
use crate::app::pool::memory::Pool;
use crate::app::recovery::memory::Recovery;
use crate::app::repositories::renamed::Renamed;
use crate::app::rollout::tally::Tallies;
use crate::app::settings::{Repository, Settings};
use crate::app::{Alerts, Context, Ingest};
use crate::config::{AdminListen, Advance, Config, Host, Scope, StoreUrl};
use crate::domain::policy::Policy;
use crate::domain::pool::Bounds as PoolBounds;
use crate::domain::rollout::{RolloutPolicy, SloPolicy};
use crate::domain::runner_task::Deadlines;
use crate::http::{self, AdminState, Bind, Health, Limits, Metrics, Running};
use crate::ports::github::RunnerScope;
use crate::ports::queue::Bounds;
use crate::ports::{Clock, Durability, Ledger, Observer, Queue, RunnerHost};
use chrono::TimeDelta;
use secrecy::SecretString;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::{Notify, OnceCell};

/// The engine of the queue and the ledger.
#[derive(Clone)]
pub struct Store {
    pub queue: Arc<dyn Queue>,
    pub ledger: Arc<dyn Ledger>,
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

/// The most deliveries in the queue; the last tenth is reserved for those that could reach a runner. With the largest
/// bodies `store.bodies_max_bytes` is reached long before; with usual bodies this is hours of a busy organization.
const MAX_QUEUE_ENTRIES: u64 = 100_000;
/// The most records of finished jobs of outsiders. Each is small, but outsiders can create any number of them.
const MAX_SPARE_RECORDS: u64 = 10_000;

/// Opens the configured store to serve it.
///
/// # Errors
/// Fails if the store cannot be opened. A Redis server that is down is not an error: the connection is made at the
/// first use.
pub fn open_store(config: &Config, clock: Arc<dyn Clock>) -> Result<Store, WiringError> {
    match &config.store.url {
        StoreUrl::Memory => Ok(empty_store(config, clock)),
        _ => open_shared(config, clock, OpenMode::Serve),
    }
}

/// Opens the configured store for a command, beside a process that serves.
///
/// # Errors
/// Fails if the store is in the memory of that process, or cannot be opened.
pub fn open_store_beside(config: &Config, clock: Arc<dyn Clock>) -> Result<Store, WiringError> {
    open_shared(config, clock, OpenMode::Command)
}

/// Returns a store in memory without records, for a command on a machine without a store.
#[must_use]
pub fn empty_store(config: &Config, clock: Arc<dyn Clock>) -> Store {
    Store::of(MemoryStore::new(clock, bounds(config)))
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
        max_entries: MAX_QUEUE_ENTRIES,
        max_entries_other: MAX_QUEUE_ENTRIES - MAX_QUEUE_ENTRIES / 10,
        bodies_max_bytes: config.store.bodies_max_bytes,
        retention: config.store.retention,
        max_spare_records: MAX_SPARE_RECORDS,
    }
}

/// Builds the worker's side.
///
/// # Errors
/// Fails if the GitHub client cannot be built.
pub fn build_context(
    config: &Config,
    clock: &Arc<dyn Clock>,
    store: &Store,
    host: Option<Arc<dyn RunnerHost>>,
    instance: &str,
    observer: Arc<dyn Observer>,
) -> Result<Arc<Context>, WiringError> {
    let github = github::connect(config, github::credentials(config), clock, observer.clone())?;
    Ok(Arc::new(Context {
        queue: store.queue.clone(),
        ledger: store.ledger.clone(),
        credentials: github.clone(),
        github,
        host,
        alerts: open_alerts(config, clock, store, observer.clone())?,
        observer,
        clock: clock.clone(),
        settings: settings(config, instance),
        github_cache: GitHubCache::default(),
        budget: Budget::default(),
        looks: Looks::default(),
        pool: Pool::default(),
        tallies: Tallies::default(),
        recovery: Recovery::default(),
        rollout_woken: Notify::new(),
    }))
}

/// Opens the alerts of a store with the configured sinks.
///
/// # Errors
/// Fails if the HTTP client for alerts cannot be built.
pub fn open_alerts(
    config: &Config,
    clock: &Arc<dyn Clock>,
    store: &Store,
    observer: Arc<dyn Observer>,
) -> Result<Arc<Alerts>, WiringError> {
    Ok(receivers::open(config, clock, store.ledger.clone(), observer)?)
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
        pool_name: identity::pool_name(&config.server.state_dir).unwrap_or_else(|| instance.to_owned()),
        pool_interval: config.runners.interval,
        deadlines: Deadlines {
            boot: seconds(config.runners.boot_deadline),
            gate_call: gate_call_timeout(config.runners.host),
            gate: seconds(config.runners.gate_deadline),
            job: seconds(config.runners.job_deadline),
        },
        attempts: config.runners.attempts.into(),
        known_runners: config.runners.known.clone(),
        base_runners: config.runners.base.clone(),
        retention: config.store.retention,
        rerun_lost: config.rollout.rerun_lost,
        mode: config.rollout.mode,
        rollout: rollout_policy(&config.rollout),
        slo: slo_policy(&config.slo),
        escalation: receivers::escalation(&config.alerts),
        api_url: config.github.api_url.clone(),
    }
}

/// Returns the time that a job may take to call its gate. The next pass of the pool follows within a second.
fn gate_call_timeout(host: Host) -> TimeDelta {
    match host {
        Host::Local | Host::Synthetic => TimeDelta::seconds(4),
        // An emulated machine is many times slower.
        Host::Qemu => TimeDelta::seconds(20),
    }
}

/// Returns the settings of the rollout that the worker uses.
#[must_use]
pub fn rollout_policy(configured: &crate::config::Rollout) -> RolloutPolicy {
    RolloutPolicy {
        stages: configured.stages.iter().map(|size| size.get()).collect(),
        advances_manually: configured.advance == Advance::Manual,
        boot_failures: count(configured.boot_failures),
        queue_wait_p95: seconds(configured.queue_wait_p95),
        queue_wait_window: count(configured.queue_wait_window),
        exclude_delivery_lag: configured.exclude_delivery_lag,
        offline: seconds(configured.offline),
    }
}

/// Returns the configured service level objectives.
#[must_use]
pub fn slo_policy(configured: &crate::config::Slo) -> SloPolicy {
    SloPolicy {
        window: count(configured.window),
        lifecycle_success: configured.lifecycle_success,
        routing_correctness: configured.routing_correctness,
        queue_wait_p95: seconds(configured.queue_wait_p95),
        setup_latency_p95: seconds(configured.setup_latency_p95),
    }
}

fn count(number: NonZeroU32) -> usize {
    usize::try_from(number.get()).unwrap_or(usize::MAX)
}

fn seconds(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// Returns the repositories with the settings that the worker uses.
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

/// Returns the policy of a repository on this kind of host. The local host does not run code that outsiders propose,
/// unless the configuration allows it.
fn policy(configured: &crate::config::Repository, public: bool) -> Policy {
    let mut policy = configured.policy.clone();
    policy.trust.public_repositories = public;
    policy
}

/// Creates the health state that both listeners of a process share.
#[must_use]
pub fn health(ctx: &Context) -> Arc<Health> {
    Health::new(ctx.queue.clone(), ctx.github.clone())
}

/// Opens the public listener on `listen`.
///
/// # Errors
/// Fails if the address cannot be bound.
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

/// Returns the configured place of the admin listener.
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
/// Fails if the address or the socket cannot be bound.
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
        hosts: config.server.admin_hosts.clone(),
        simulated: OnceCell::new(),
    };
    Ok(http::serve_admin(bind, limits, state, metrics, health)?)
}
