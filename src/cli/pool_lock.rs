//! The lock of the pool, as the commands take it.

use super::exit::{Exit, Failure};
use super::session::Session;
use crate::config::Config;
use crate::runtime::{PoolAccess, PoolLock, PoolLockError, StartError};

/// Takes the lock of the pool in the configured state directory.
pub(super) async fn take_lock(
    config: &Config,
    session: &Session,
    access: PoolAccess,
    command: &str,
) -> Result<PoolLock, Failure> {
    let taken = PoolLock::take(&config.server.state_dir, access, command, session.clock.now()).await;
    taken.map_err(|error| match error {
        PoolLockError::Identity(error) => StartError::Identity(error).into(),
        held @ PoolLockError::Held { .. } => Failure::new(Exit::Locked, held).remedy(
            "stop it first, for example with `systemctl stop chem-runner-pool-supervisor.service`, or use another \
             server.state_dir; `jitgate pool status` shows it",
        ),
        PoolLockError::Io { .. } => Failure::new(Exit::Configuration, error)
            .remedy("set server.state_dir to a folder that this user can write to"),
    })
}
