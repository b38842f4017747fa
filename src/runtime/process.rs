//! `jitgate serve`: the listeners and the worker, from the start to a clean stop.

use super::activation::{self, ActivationError, Given};
use super::descriptors;
use super::durability;
use super::github;
use super::hosts;
use super::identity::{self, IdentityError, Instance};
use super::wiring::{self, Store};
use super::wiring_error::WiringError;
use crate::adapters::clock::SystemClock;
use crate::adapters::sqlite::OpenError;
use crate::app::events::worker;
use crate::app::incidents;
use crate::app::pool::pass as pool_pass;
use crate::app::recovery::passes;
use crate::app::repositories::pins;
use crate::app::rollout::pass as rollout_pass;
use crate::app::runners::claim::{Claim, Claimed};
use crate::app::{Context, Ingest};
use crate::config::{Config, Role};
use crate::domain::finding::Finding;
use crate::http::{Bind, Metrics, Running};
use crate::ports::{Clock, Durability, Failure, FanOut, ReplaceCredentials, RunnerHost};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The reason why jitgate could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store, the GitHub client or a listener.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// The sockets of the service manager.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// This machine cannot run runners.
    #[error("{}", .0.what)]
    Host(Finding),
    /// Jobs on this machine could write to the store.
    #[error("the Redis server at {0} accepts clients without a password, and jobs on this machine can reach it")]
    Open(String),
}

/// The remedy for [`StartError::Open`].
pub const CLOSE_STORE: &str = "disable its default user (`user default off` in its configuration, as in \
     deploy/redis.conf), or set a password (requirepass)";

/// The reason why a process stops by itself.
#[derive(Debug, Clone)]
pub enum Ended {
    /// Another worker uses its instance name.
    NameTaken,
    /// Jobs can access the store, at this place.
    Open(String),
}

impl StartError {
    /// Returns true if a killed process may hold a lock a moment longer, so that a retry may succeed.
    fn is_temporary(&self) -> bool {
        match self {
            Self::Identity(IdentityError::NotReleased(_)) => true,
            Self::Wiring(WiringError::Sqlite(OpenError::Held { pid: Some(pid), .. })) => identity::has_ended(*pid),
            _ => false,
        }
    }
}

/// The time for which a start waits for the store to confirm the instance name. It is longer than the store needs to
/// report a worker elsewhere, or the end of one.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(20);
/// The delay before a store that did not answer is asked again.
const CLAIM_RETRY_DELAY: Duration = Duration::from_secs(1);
/// The time for which a start waits for the locks of a killed process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which these locks are checked.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// The time that the worker may take after a stop; longer than it needs, unless the store hangs.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A running jitgate.
pub struct Process {
    public: Option<Running>,
    admin: Running,
    ingest: Option<Arc<Ingest>>,
    worker: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<Ended>>,
    credentials: Arc<dyn ReplaceCredentials>,
    /// The instance name is released with the process.
    _instance: Instance,
}

/// Starts the parts of a role.
///
/// # Errors
/// Fails if the state directory, the store, the GitHub client, the runner host or a listener cannot be set up.
pub async fn serve(config: &Config, role: Role) -> Result<Process, StartError> {
    descriptors::raise();
    let mut given = activation::take(config, role)?;
    let began = tokio::time::Instant::now();
    loop {
        match start(config, role, &mut given).await {
            Err(error) if error.is_temporary() && began.elapsed() < LOCK_TIMEOUT => {
                tokio::time::sleep(LOCK_INTERVAL).await
            }
            outcome => return outcome,
        }
    }
}

async fn start(config: &Config, role: Role, given: &mut Given) -> Result<Process, StartError> {
    let server = &config.server;
    identity::prepare_state_dir(&server.state_dir)?;
    let first = match role {
        Role::All | Role::Worker => identity::own_instance(&server.state_dir)?,
        Role::Ingress => identity::shared_instance(&server.state_dir)?,
    };
    let token = identity::admin_token(&server.admin_token_file)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store: Store = wiring::open_store(config, clock.clone())?;
    let is_store_closed = role == Role::Ingress || is_store_closed(config).await?;
    let (instance, claim) = match role {
        Role::All | Role::Worker => claimed(&server.state_dir, first, &store).await?,
        Role::Ingress => (first, None),
    };
    tokio::spawn(durability::report(store.durability.clone()));
    let metrics = Arc::new(Metrics::default());
    let ctx = wiring::build_context(
        config,
        &clock,
        &store,
        host(config, role, &instance.name, clock.clone())?,
        &instance.name,
        Arc::new(FanOut::new(vec![metrics.clone()])),
    )?;
    let credentials = ctx.credentials.clone();
    let health = wiring::health(&ctx);
    health.begin();
    let public = given.public.take().map_or(Bind::Tcp(server.listen), Bind::Open);
    let (public, ingest) = match role {
        Role::All | Role::Ingress => wiring::open_ingress(config, &ctx, health.clone(), public)
            .map(Option::Some)?
            .unzip(),
        Role::Worker => (None, None),
    };
    let admin = wiring::open_admin(
        config,
        ctx.clone(),
        health,
        given
            .admin
            .take()
            .map_or_else(|| wiring::admin_bind(config), Bind::Open),
        ingest.clone(),
        token,
        metrics,
    )?;
    let (stop, stopped) = watch::channel(false);
    let (report_ended, ended) = watch::channel(None);
    let worker = claim.map(|claim| {
        let durability = store.durability.clone();
        tokio::spawn(async move {
            let worked = async {
                if !is_store_closed && let Some(place) = wait_for_open_place(durability.as_ref(), stopped.clone()).await
                {
                    return Some(Ended::Open(place));
                }
                work(ctx, &claim, stopped).await
            };
            if let Some(ended) = worked.await {
                report_ended.send_replace(Some(ended));
            }
        })
    });
    tracing::info!(
        instance = instance.name,
        public = public.as_ref().and_then(Running::address).map(tracing::field::display),
        admin = admin.address().map(tracing::field::display),
        repositories = config.repositories.len(),
        "jitgate {} is up",
        env!("CARGO_PKG_VERSION")
    );
    Ok(Process {
        public,
        admin,
        ingest,
        worker,
        stop,
        ended,
        credentials,
        _instance: instance,
    })
}

/// Returns true if jobs on this machine cannot access the store, and false if that is not known yet.
pub(super) async fn is_store_closed(config: &Config) -> Result<bool, StartError> {
    match durability::open_place(config).await {
        Ok(None) => Ok(true),
        Ok(Some(place)) => Err(StartError::Open(place)),
        Err(failure) => {
            tracing::warn!(%failure, "cannot check yet whether jobs on this machine can access the store; no job starts before that");
            Ok(false)
        }
    }
}

/// Asks the store until it answers, and returns the place that accepts clients without a password.
async fn wait_for_open_place(durability: &dyn Durability, mut stopped: watch::Receiver<bool>) -> Option<String> {
    loop {
        if let Ok(place) = durability.open_place().await {
            return place;
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return None,
            () = tokio::time::sleep(CLAIM_RETRY_DELAY) => {}
        }
    }
}

/// Claims an instance name that no worker elsewhere uses. If one uses `first`, this directory is a copy of its
/// directory and gets a new name. A store that does not answer does not prevent the start; the worker waits for it.
pub(super) async fn claimed(
    state_dir: &Path,
    first: Instance,
    store: &Store,
) -> Result<(Instance, Option<Claim>), StartError> {
    let process = identity::random_word()?;
    let mut instance = first;
    loop {
        let claim = Claim::new(store.ledger.clone(), &instance.name, &instance.place, &process);
        match tokio::time::timeout(CLAIM_TIMEOUT, claim.take()).await {
            Ok(Ok(Claimed::Elsewhere)) => {
                let name = instance.name.clone();
                identity::rename(instance)?;
                instance = identity::own_instance(state_dir)?;
                tracing::warn!(
                    "the state directory is a copy: another worker uses instance name {name}; the new instance name is {}",
                    instance.name
                );
            }
            Ok(Ok(Claimed::Ours)) => return Ok((instance, Some(claim))),
            Ok(Err(failure)) => {
                tracing::warn!(%failure, "failed to claim instance name {}; the worker retries", instance.name);
                return Ok((instance, Some(claim)));
            }
            Err(_) => return Ok((instance, Some(claim))),
        }
    }
}

impl Process {
    /// Applies the settings that can be changed at run time: the webhook's secrets.
    pub fn reload(&self, config: &Config) {
        if let Some(ingest) = &self.ingest {
            ingest.replace_secrets(config.webhook.secrets.clone());
        }
    }

    /// Uses the credentials of this configuration for each request to GitHub that begins from now on.
    ///
    /// # Errors
    /// Fails if they cannot be used; the former ones remain.
    pub fn replace_credentials(&self, config: &Config) -> Result<(), Failure> {
        self.credentials.replace_credentials(&github::credentials(config))
    }

    /// Waits until the worker stops by itself, and returns the reason.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let reason = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|ended| ended.clone());
        match reason {
            Some(ended) => ended,
            // There is no worker, or it was stopped.
            None => std::future::pending().await,
        }
    }

    /// Accepts no new work, waits for the work in flight, and returns. Unfinished work is resumed after a restart.
    pub async fn stop(self) {
        if let Some(public) = self.public {
            public.stop().await;
        }
        self.stop.send_replace(true);
        if let Some(worker) = self.worker
            && tokio::time::timeout(STOP_TIMEOUT, worker).await.is_err()
        {
            tracing::warn!(
                "stopped before all deliveries were processed, after {} s",
                STOP_TIMEOUT.as_secs()
            );
        }
        self.admin.stop().await;
    }
}

/// Works while the claim on the instance name is held. Returns the reason for the end, unless it was stopped.
async fn work(ctx: Arc<Context>, claim: &Claim, stopped: watch::Receiver<bool>) -> Option<Ended> {
    let stop = |mut stopped: watch::Receiver<bool>| async move {
        // An error means that the process is ending, which is also a stop.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    if !claim.is_held().await {
        let taken = async {
            loop {
                match claim.take().await {
                    Ok(claimed) => return claimed,
                    Err(failure) => tracing::debug!(%failure, "failed to claim instance name {}", claim.name()),
                }
                tokio::time::sleep(CLAIM_RETRY_DELAY).await;
            }
        };
        tokio::select! {
            () = stop(stopped.clone()) => return None,
            claimed = taken => if claimed == Claimed::Elsewhere { return Some(Ended::NameTaken) },
        }
    }
    let deliveries = worker::run(&ctx, claim.name(), stop(stopped.clone()));
    let pool = pool_pass::run(&ctx, stop(stopped.clone()));
    let repositories = pins::watch(&ctx, stop(stopped.clone()));
    let incidents = incidents::pass::run(&ctx, stop(stopped.clone()));
    let rollout = rollout_pass::run(&ctx, stop(stopped.clone()));
    let recovery = passes::run(&ctx, stop(stopped.clone()));
    let telling = ctx.alerts.run(stop(stopped));
    tokio::select! {
        _ = async { tokio::join!(deliveries, pool, repositories, rollout, recovery, incidents, telling) } => {}
        () = claim.until_lost() => return Some(Ended::NameTaken),
    }
    if let Err(failure) = claim.release().await {
        tracing::debug!(%failure, "failed to release instance name {}; the claim expires", claim.name());
    }
    None
}

pub(super) fn host(
    config: &Config,
    role: Role,
    instance: &str,
    clock: Arc<dyn Clock>,
) -> Result<Option<Arc<dyn RunnerHost>>, StartError> {
    if role == Role::Ingress {
        return Ok(None);
    }
    hosts::open_host(config, instance, clock)
        .map(Some)
        .map_err(StartError::Host)
}
