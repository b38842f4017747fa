//! `jitgate serve`: listeners and worker, from start to a clean stop.

use super::activation::{self, ActivationError, Given};
use super::descriptors;
use super::durability;
use super::identity::{self, IdentityError, Instance};
use super::local;
use super::wiring::{self, Store, WiringError};
use crate::adapters::clock::SystemClock;
use crate::adapters::local::{Complaint, LocalHost};
use crate::adapters::sqlite::OpenError;
use crate::adapters::synthetic::SyntheticHost;
use crate::app::{Gate, Ingest};
use crate::config::{Config, Host, Role};
use crate::http::{Bind, Metrics, Running};
use crate::ports::{Clock, RunnerHost};
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
    Host(Complaint),
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
        match start(config, role, &mut given) {
            Err(error) if error.will_pass() && began.elapsed() < LINGER => tokio::time::sleep(LOOK).await,
            outcome => return outcome,
        }
    }
}

fn start(config: &Config, role: Role, given: &mut Given) -> Result<Process, StartError> {
    let server = &config.server;
    identity::prepare_state_dir(&server.state_dir)?;
    let instance = match role {
        Role::All | Role::Worker => identity::own_instance(&server.state_dir)?,
        Role::Ingress => identity::shared_instance(&server.state_dir)?,
    };
    let token = identity::admin_token(&server.admin_token_file)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store: Store = wiring::open_store(config, clock.clone())?;
    tokio::spawn(durability::tell(store.durability.clone()));
    let metrics = Arc::new(Metrics::default());
    let gate = wiring::build_gate(
        config,
        &clock,
        &store,
        host(config, role, &instance.name, clock.clone())?,
        &instance.name,
        metrics.clone(),
    )?;
    let health = wiring::health(&gate);
    health.begin();
    let public = given.public.take().map_or(Bind::Tcp(server.listen), Bind::Open);
    let (public, ingest) = match role {
        Role::All | Role::Ingress => wiring::open_ingress(config, &gate, health.clone(), public)
            .map(Option::Some)?
            .unzip(),
        Role::Worker => (None, None),
    };
    let admin = wiring::open_admin(
        config,
        gate.clone(),
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
    let worker = match role {
        Role::All | Role::Worker => Some(tokio::spawn(work(gate, instance.name.clone(), stopped))),
        Role::Ingress => None,
    };
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
        _instance: instance,
    })
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

async fn work(gate: Arc<Gate>, consumer: String, stopped: watch::Receiver<bool>) {
    let stop = |mut stopped: watch::Receiver<bool>| async move {
        // An error means the process is going away: as good as a stop.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let deliveries = gate.run(&consumer, stop(stopped.clone()));
    let pool = gate.keep_pool(stop(stopped.clone()));
    let repositories = gate.watch_repositories(stop(stopped.clone()));
    let telling = gate.alerts.run(stop(stopped));
    tokio::join!(deliveries, pool, repositories, telling);
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
