//! Doing what a pass has planned. Everything here can be broken off and done again.

use super::task::Task;
use crate::app::context::Gate;
use crate::app::jobs::waiting;
use crate::app::records::{self, RunnerRecord};
use crate::app::runners::{job_gate, lifecycle, provision, sweep};
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::ids::JobId;
use crate::domain::job::ServiceEvent;
use crate::domain::runner_task::RunnerTask;
use crate::ports::{Failure, RunnerHost};

impl Gate {
    /// Gives false when there was nothing to be done yet.
    pub(super) async fn perform(&self, host: &dyn RunnerHost, task: &Task) -> Result<bool, Failure> {
        match task {
            Task::Boot => self.boot(host).await?,
            Task::Discard(slot, why) => {
                host.destroy(slot).await?;
                if let Some(why) = why {
                    self.pool.hold_boots(self.clock.now());
                    self.tell_boot_failed(why).await?;
                }
            }
            Task::Serve { job, slot, .. } => provision::serve(self, host, *job, slot).await?,
            Task::Release(job, runner) => self.release(*job, runner).await?,
            Task::TakeOver(want, holder) => sweep::take_over(self, want, holder).await?,
            Task::Sweep => return sweep::sweep(self).await,
            Task::Runner(what, record) => return self.perform_for(what, record).await,
        }
        Ok(true)
    }

    async fn perform_for(&self, what: &RunnerTask, record: &RunnerRecord) -> Result<bool, Failure> {
        let name = record.name.as_str();
        match what {
            RunnerTask::Note(event) => drop(lifecycle::note(self, name, *event).await?),
            RunnerTask::Judge(hello) => return job_gate::judge(self, name, hello).await,
            RunnerTask::Open => job_gate::open(self, record).await?,
            RunnerTask::Ask => return sweep::ask_about(self, record).await,
            RunnerTask::End(outcome, why) => lifecycle::end(self, name, *outcome, why.as_deref()).await?,
            RunnerTask::TearDown => lifecycle::tear_down(self, name).await?,
        }
        Ok(true)
    }

    async fn boot(&self, host: &dyn RunnerHost) -> Result<(), Failure> {
        let asked = self.clock.now();
        match host.boot().await {
            Ok(slot) => {
                self.pool.asked_for(slot, asked);
                Ok(())
            }
            Err(failure) => {
                self.tell_boot_failed(&failure.to_string()).await?;
                Err(failure)
            }
        }
    }

    async fn tell_boot_failed(&self, why: &str) -> Result<(), Failure> {
        tracing::error!(why, "a slot did not come up");
        let what = format!("a slot did not come up: {why}");
        let key = AlertKey::new(AlertKind::RunnerBootFailure, None);
        self.alerts.raise(Alert::new(&key, None, &what, self.clock.now())).await
    }

    /// A crash came between naming a runner and recording it: nobody was asked for it.
    async fn release(&self, job: JobId, runner: &str) -> Result<(), Failure> {
        if records::load::<RunnerRecord>(self.ledger.as_ref(), runner)
            .await?
            .is_some()
        {
            return Ok(());
        }
        let now = self.clock.now();
        waiting::update_job(self, job, |record| {
            let is_its = record.runner.as_deref() == Some(runner);
            let lost = is_its && record.advance(ServiceEvent::Lose, now, format!("runner {runner} is gone"));
            if lost {
                record.runner = None;
            }
            lost
        })
        .await?;
        waiting::change(self, job, |want| {
            let held = want.holder.as_ref().is_some_and(|holder| holder.runner == runner);
            if held {
                want.holder = None;
            }
            held
        })
        .await
    }
}
