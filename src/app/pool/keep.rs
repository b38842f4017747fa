//! The loop around a pass.

use super::task::{Task, slot_key};
use crate::app::context::Gate;
use crate::domain::slot::Slot;
use crate::ports::{Failure, RunnerHost};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How soon a pass follows while runners live: their events come from machines that may be lost.
const CLOSE_WATCH: Duration = Duration::from_secs(1);
/// How long tasks may take after a stop. What is broken off is taken up again after the next start.
const GRACE: Duration = Duration::from_secs(5);
/// Tasks under way at once.
const CONCURRENCY: usize = 64;

/// Whether all environments there may be are taken, by runners or by jobs that are about to have one.
pub(in crate::app) async fn is_full(gate: &Gate) -> Result<bool, Failure> {
    let Some(host) = &gate.host else { return Ok(false) };
    let slots = host.list().await?;
    let memory = gate.pool.view(gate.pool.moment(), gate.clock.now());
    let taken = |slot: &&Slot| slot.runner.is_some() || memory.is_busy(&slot_key(&slot.id.0));
    let taken = slots.iter().filter(taken).count();
    Ok(u32::try_from(taken).map_or(true, |taken| taken >= gate.settings.pool.max))
}

impl Gate {
    /// Keeps the pool until `stop` resolves; then lets what is under way end, within a bound.
    pub async fn keep_pool(self: &Arc<Self>, stop: impl Future<Output = ()>) {
        let Some(host) = self.host.clone() else {
            stop.await;
            return;
        };
        let mut tasks = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let mut rest = self.settings.pool_interval;
            match self.look(host.as_ref()).await {
                Ok(pass) => {
                    if pass.watch {
                        rest = rest.min(CLOSE_WATCH);
                    }
                    for task in pass.tasks {
                        if tasks.len() < CONCURRENCY && self.pool.begin(&task) {
                            let (gate, host) = (self.clone(), host.clone());
                            tasks.spawn(async move { gate.finish_task(host.as_ref(), task).await });
                        }
                    }
                }
                Err(failure) => {
                    tracing::error!(%failure, "cannot look after the pool");
                    rest = rest.min(CLOSE_WATCH);
                }
            }
            tokio::select! {
                () = &mut stop => break,
                () = self.pool.woken.notified() => {}
                () = host.changed() => {}
                Some(_) = tasks.join_next() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        let landed = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, landed).await.is_err() {
            tracing::info!("what the pool was about is taken up after the next start");
        }
    }

    /// One pass, its tasks one after the other. Gives how many did something.
    ///
    /// # Errors
    /// The ledger's or the host's failure.
    pub async fn attend_pool(&self) -> Result<usize, Failure> {
        let Some(host) = self.host.clone() else { return Ok(0) };
        let mut done = 0;
        for task in self.look(host.as_ref()).await?.tasks {
            if self.pool.begin(&task) && self.finish_task(host.as_ref(), task).await {
                done += 1;
            }
        }
        Ok(done)
    }

    /// Whether nothing is to be done for jobs and runners at this moment, and nobody is about it.
    ///
    /// # Errors
    /// The ledger's or the host's failure.
    pub async fn pool_is_quiet(&self) -> Result<bool, Failure> {
        let Some(host) = self.host.clone() else { return Ok(true) };
        let tasks = self.look(host.as_ref()).await?.tasks;
        let matters = |task: &Task| *task != Task::Sweep;
        Ok(!tasks.iter().any(matters) && self.pool.is_idle())
    }

    async fn finish_task(&self, host: &dyn RunnerHost, task: Task) -> bool {
        let outcome = self.perform(host, &task).await;
        self.pool.end(&task, outcome, self.clock.now())
    }
}
