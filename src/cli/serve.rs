//! `jitgate serve`: the server.

use super::exit::{Exit, Failure, Outcome};
use super::pool_lock::take_lock;
use super::reload::reload;
use super::session::Session;
use super::{logging, signals, sources};
use crate::config::Role;
use crate::runtime::{self, Ended, PoolAccess, StartError};
use anyhow::anyhow;
use std::pin::pin;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate serve
  jitgate --config /etc/jitgate/jitgate.toml serve --role worker
  JITGATE__STORE__URL=memory: jitgate serve --log debug

SIGHUP reloads the configuration: webhook secrets and the log level apply at once, and the log lists the settings that need a restart.")]
pub struct Args {
    /// Role of this process. An ingress and a worker share a Redis store
    #[arg(long, value_enum, default_value_t = Role::All)]
    pub role: Role,
}

/// Runs `serve`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    let global = &session.global;
    let mut loaded = sources::configuration(global)?;
    let role = args.role;
    loaded.config.for_serve(role)?;
    let level = logging::configured(global, &loaded.config.telemetry);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if loaded.config.repositories.is_empty() {
        tracing::warn!("no repository is configured, so all deliveries are ignored: add a [[repositories]] table");
    }
    let _lock = match role {
        Role::Ingress => None,
        Role::All | Role::Worker => Some(take_lock(&loaded.config, session, PoolAccess::Shared, "serve").await?),
    };
    let no_signals = |error| Failure::new(Exit::Bug, error);
    let mut hangups = signals::hangups().map_err(no_signals)?;
    let process = runtime::serve(&loaded.config, role).await?;
    let mut stop = pin!(signals::stop());
    let ended = loop {
        tokio::select! {
            stopped = &mut stop => break stopped.map(|()| None).map_err(no_signals)?,
            ended = process.ended() => break Some(ended),
            Some(()) = hangups.recv() => loaded = reload(global, role, loaded, &process, &level),
        }
    };
    tracing::info!("stopping");
    process.stop().await;
    outcome(ended)
}

/// Returns the result of a worker that was stopped, or that ended for a reason.
pub(super) fn outcome(ended: Option<Ended>) -> Outcome {
    match ended {
        None => Ok(Exit::Done),
        Some(Ended::Open(place)) => Err(StartError::Open(place).into()),
        Some(Ended::NameTaken) => {
            let what = anyhow!("another worker on this store uses the instance name of this process");
            let remedy = "start it again, which gives it a new name; server.state_dir was copied from another machine";
            Err(Failure::new(Exit::Locked, what).remedy(remedy))
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Wiring(error) => error.into(),
            StartError::Activation(error) => Self::new(Exit::Configuration, error)
                .remedy("set ListenStream= of the socket unit to the values of server.listen and server.admin_listen"),
            StartError::Host(problem) => {
                let remedy = problem.remedy.clone().unwrap_or_default();
                Self::new(Exit::RunnerHost, StartError::Host(problem)).remedy(remedy)
            }
            StartError::Open(place) => {
                Self::new(Exit::Configuration, StartError::Open(place)).remedy(runtime::CLOSE_STORE)
            }
            StartError::Identity(error) => {
                let remedy = error.remedy();
                let failure = Self::new(Exit::Configuration, error);
                match remedy {
                    Some(remedy) => failure.remedy(remedy),
                    None => failure,
                }
            }
        }
    }
}
