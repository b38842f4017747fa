//! Recovers the runners of this machine: restarts services, registers again if needed, and waits until they are healthy.

use super::health::{self, Look, LookError, Subject};
use super::register::{self, Order, RegisterError};
use super::units::{self, UnitsError};
use crate::domain::base_runner::recovery::{Recovery, plan};
use crate::domain::base_runner::repair::Refusal;
use std::time::Duration;
use tokio::time::Instant;

/// Interval between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The ports of a recovery.
#[derive(Clone, Copy)]
pub struct Ports<'a> {
    pub look: health::Ports<'a>,
    pub register: register::Ports<'a>,
}

/// The failure of a recovery.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Look(#[from] LookError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Units(#[from] UnitsError),
}

/// The state before a recovery, and its plan.
#[derive(Debug)]
pub struct Gathered {
    pub look: Look,
    pub recovery: Recovery,
    /// The reason why the registration is not repaired.
    pub refusal: Option<Refusal>,
}

/// Plans a recovery. Without an order only services are restarted.
///
/// # Errors
/// If the present state cannot be read.
pub async fn gather(ports: Ports<'_>, subject: &Subject, order: Option<&Order<'_>>) -> Result<Gathered, RecoverError> {
    let look = health::look(ports.look, subject).await?;
    let (mut repair, mut refusal) = (None, None);
    if let Some(order) = order {
        match register::gather(ports.register, order).await? {
            Ok(plan) => repair = Some(plan),
            Err(refused) => refusal = Some(refused),
        }
    }
    let recovery = plan(&look.local, &look.assessment, repair);
    Ok(Gathered {
        look,
        recovery,
        refusal,
    })
}

/// Takes the steps of a recovery and waits until the runners are healthy. Returns the last look, which is healthy unless
/// the time is over.
///
/// # Errors
/// If a step fails.
pub async fn carry_out(
    ports: Ports<'_>,
    subject: &Subject,
    order: Option<&Order<'_>>,
    recovery: &Recovery,
    timeout: Duration,
) -> Result<Look, RecoverError> {
    let deadline = Instant::now() + timeout;
    for unit in &recovery.restart {
        tracing::info!(unit, "restarts the service");
        units::restart(ports.look.tools, unit).await?;
    }
    if let (Some(plan), Some(order)) = (&recovery.register, order) {
        match register::carry_out(ports.register, order, plan).await {
            // The last look shows the same.
            Err(RegisterError::Offline { .. }) => {}
            done => done?,
        }
    }
    loop {
        let look = health::look(ports.look, subject).await;
        let is_healthy = look.as_ref().is_ok_and(|look| look.assessment.problems.is_empty());
        if is_healthy || Instant::now() + LOOK_INTERVAL > deadline {
            return Ok(look?);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
