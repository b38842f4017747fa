//! `jitgate serve`: listeners and worker, from start to a clean stop.

use super::activation::{self, ActivationError, Given};
use super::descriptors;
use super::durability;
use super::identity::{self, IdentityError, Instance};
use super::local;
use super::wiring::{self, Store, WiringError};
use crate::adapters::clock::SystemClock;
use crate::adapters::hosts::local::LocalHost;
use crate::adapters::hosts::synthetic::SyntheticHost;
use crate::adapters::sqlite::OpenError;
use crate::app::events::worker;
use crate::app::pool::pass;
use crate::app::repositories::pins;
use crate::app::runners::claim::{Claim, Claimed};
use crate::app::{Context, Ingest};
use crate::config::{Config, Host, Role};
use crate::domain::finding::Finding;
use crate::http::{Bind, Metrics, Running};
use crate::ports::{Clock, Durability, FanOut, RunnerHost};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The gate could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Store, GitHub or listeners.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// What the service manager handed over.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// Runners cannot be made on this machine.
    #[error("{}", .0.what)]
    Host(Finding),
    /// Jobs on this machine could write to the store.
    #[error("the Redis server at {0} obeys those who bring no password, and the jobs on this machine can reach it")]
    Open(String),
}

/// What to do about [`StartError::Open`].
pub const CLOSE_STORE: &str = "switch its default user off (`user default off` in its configuration, as deploy/redis.conf \
     has it), or give it a password (requirepass)";

/// Why a process stops by itself.
#[derive(Debug, Clone)]
pub enum Ended {
    /// Another worker goes by its name.
    Usurped,
    /// The store turned out to be open to jobs, at this place.
    Open(String),
}

impl StartError {
    /// Whether a process that was killed holds a lock for a moment longer, so that the next try may succeed.
    fn will_pass(&self) -> bool {
        match self {
            Self::Identity(IdentityError::Lingering(_)) => true,
            Self::Wiring(WiringError::Sqlite(OpenError::Held { pid: Some(pid), .. })) => identity::has_ended(*pid),
            _ => false,
        }
    }
}

/// How long a start waits for the store to say whose the instance name is. Longer than it takes to be told of a worker
/// elsewhere, or of its end.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(20);
/// How long until a store that did not say it is asked again.
const CLAIM_RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long locks of a process that was killed are waited for.
const LINGER: Duration = Duration::from_secs(5);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long the worker may take after a stop; longer than it needs, unless the store hangs.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A running gate.
pub struct Process {
    public: Option<Running>,
    admin: Running,
    ingest: Option<Arc<Ingest>>,
    worker: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<Ended>>,
    /// Given up with the process.
    _instance: Instance,
}

/// Starts the parts of a role.
///
/// # Errors
/// When the state directory, the store, GitHub's client, the runner host or a listener cannot be set up.
pub async fn serve(config: &Config, role: Role) -> Result<Process, StartError> {
    descriptors::raise();
    let mut given = activation::take(config, role)?;
    let began = tokio::time::Instant::now();
    loop {
        match start(config, role, &mut given).await {
            Err(error) if error.will_pass() && began.elapsed() < LINGER => tokio::time::sleep(LOOK).await,
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
    let is_walled_off = role == Role::Ingress || is_walled_off(config).await?;
    let (instance, claim) = match role {
        Role::All | Role::Worker => claimed(&server.state_dir, first, &store).await?,
        Role::Ingress => (first, None),
    };
    tokio::spawn(durability::tell(store.durability.clone()));
    let metrics = Arc::new(Metrics::default());
    let ctx = wiring::build_context(
        config,
        &clock,
        &store,
        host(config, role, &instance.name, clock.clone())?,
        &instance.name,
        Arc::new(FanOut::new(vec![metrics.clone()])),
    )?;
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
    let (tell_ended, ended) = watch::channel(None);
    let worker = claim.map(|claim| {
        let durability = store.durability.clone();
        tokio::spawn(async move {
            let worked = async {
                if !is_walled_off && let Some(place) = until_told(durability.as_ref(), stopped.clone()).await {
                    return Some(Ended::Open(place));
                }
                work(ctx, &claim, stopped).await
            };
            if let Some(ended) = worked.await {
                tell_ended.send_replace(Some(ended));
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
        _instance: instance,
    })
}

/// Whether no job of this machine gets into the store. False if that is not known yet.
async fn is_walled_off(config: &Config) -> Result<bool, StartError> {
    match durability::open_place(config).await {
        Ok(None) => Ok(true),
        Ok(Some(place)) => Err(StartError::Open(place)),
        Err(failure) => {
            tracing::warn!(%failure, "it is not known yet whether jobs of this machine get into the store: none begins");
            Ok(false)
        }
    }
}

/// Asks the store until it answers where it is open to strangers.
async fn until_told(durability: &dyn Durability, mut stopped: watch::Receiver<bool>) -> Option<String> {
    loop {
        if let Ok(told) = durability.open_place().await {
            return told;
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return None,
            () = tokio::time::sleep(CLAIM_RETRY_DELAY) => {}
        }
    }
}

/// An instance name that no worker elsewhere goes by, and the claim on it. `first` is given up if one does: then this
/// directory is a copy of theirs. A store that does not answer is no reason not to start; the worker waits for it.
async fn claimed(state_dir: &Path, first: Instance, store: &Store) -> Result<(Instance, Option<Claim>), StartError> {
    let process = identity::process_word()?;
    let mut instance = first;
    loop {
        let claim = Claim::new(store.ledger.clone(), &instance.name, &instance.place, &process);
        match tokio::time::timeout(CLAIM_TIMEOUT, claim.take()).await {
            Ok(Ok(Claimed::Elsewhere)) => {
                let name = instance.name.clone();
                identity::rename(instance)?;
                instance = identity::own_instance(state_dir)?;
                tracing::warn!(
                    "a worker elsewhere goes by instance name {name}, of which this directory has a copy; this one is {} now",
                    instance.name
                );
            }
            Ok(Ok(Claimed::Ours)) => return Ok((instance, Some(claim))),
            Ok(Err(failure)) => {
                tracing::warn!(%failure, "the store does not say whose instance name {} is", instance.name);
                return Ok((instance, Some(claim)));
            }
            Err(_) => return Ok((instance, Some(claim))),
        }
    }
}

impl Process {
    /// Takes over what of a configuration can be changed while it runs: the webhook's secrets.
    pub fn reload(&self, config: &Config) {
        if let Some(ingest) = &self.ingest {
            ingest.replace_secrets(config.webhook.secrets.clone());
        }
    }

    /// The public address.
    #[must_use]
    pub fn public_address(&self) -> Option<std::net::SocketAddr> {
        self.public.as_ref().and_then(Running::address)
    }

    /// The admin address; none for a unix socket.
    #[must_use]
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.admin.address()
    }

    /// Returns once the worker has given up, and says why.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let told = ended
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|ended| ended.clone());
        match told {
            Some(ended) => ended,
            // There is no worker, or it was stopped.
            None => std::future::pending().await,
        }
    }

    /// Takes nothing new, lets what is in flight end, and returns. What did not end in time comes back after a restart.
    pub async fn stop(self) {
        if let Some(public) = self.public {
            public.stop().await;
        }
        self.stop.send_replace(true);
        if let Some(worker) = self.worker
            && tokio::time::timeout(STOP_WITHIN, worker).await.is_err()
        {
            tracing::warn!("some deliveries were still worked on after {} s", STOP_WITHIN.as_secs());
        }
        self.admin.stop().await;
    }
}

/// Works under a name for as long as it is this worker's. Gives why it ended, unless it was stopped.
async fn work(ctx: Arc<Context>, claim: &Claim, stopped: watch::Receiver<bool>) -> Option<Ended> {
    let stop = |mut stopped: watch::Receiver<bool>| async move {
        // An error means the process is going away: as good as a stop.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    if !claim.is_held().await {
        let taken = async {
            loop {
                match claim.take().await {
                    Ok(claimed) => return claimed,
                    Err(failure) => tracing::debug!(%failure, "cannot claim instance name {}", claim.name()),
                }
                tokio::time::sleep(CLAIM_RETRY_DELAY).await;
            }
        };
        tokio::select! {
            () = stop(stopped.clone()) => return None,
            claimed = taken => if claimed == Claimed::Elsewhere { return Some(Ended::Usurped) },
        }
    }
    let deliveries = worker::run(&ctx, claim.name(), stop(stopped.clone()));
    let pool = pass::run(&ctx, stop(stopped.clone()));
    let repositories = pins::watch(&ctx, stop(stopped.clone()));
    let telling = ctx.alerts.run(stop(stopped));
    tokio::select! {
        _ = async { tokio::join!(deliveries, pool, repositories, telling) } => {}
        () = claim.until_lost() => return Some(Ended::Usurped),
    }
    if let Err(failure) = claim.release().await {
        tracing::debug!(%failure, "the claim on instance name {} ends by itself", claim.name());
    }
    None
}

fn host(
    config: &Config,
    role: Role,
    instance: &str,
    clock: Arc<dyn Clock>,
) -> Result<Option<Arc<dyn RunnerHost>>, StartError> {
    match config.runners.host {
        _ if role == Role::Ingress => Ok(None),
        Host::Synthetic => {
            let host = SyntheticHost::new(reqwest::Client::new(), clock, config.synthetic);
            Ok(Some(Arc::new(host)))
        }
        Host::Local => {
            let host = LocalHost::open(local::settings(config, instance), clock).map_err(StartError::Host)?;
            Ok(Some(Arc::new(host)))
        }
        Host::Qemu => {
            tracing::warn!("this version decides and records, and makes no virtual machines yet");
            Ok(None)
        }
    }
}
