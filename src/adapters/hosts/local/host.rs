//! [`RunnerHost`] by slots in folders and bubblewrap.

use super::inspection;
use super::launch::Plan;
use super::settings::Settings;
use super::{preparation, sandbox};
use crate::adapters::hosts::slots::{Account, Deadlines, SlotHost, clear_limits, log_findings, open_slots};
use crate::domain::finding::Finding;
use crate::domain::slot::{Remains, Slot, SlotId, SlotSize};
use crate::ports::{Clock, Failure, RunnerHost};
use async_trait::async_trait;
use secrecy::SecretString;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Time for a sandbox to come up.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Time that a sandbox without a job outlives this process.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(60);

/// Runners on this machine.
pub struct LocalHost {
    settings: Settings,
    /// The account of jobs, known once an inspection found that this machine can run them.
    account: OnceLock<Account>,
    slots: SlotHost,
}

impl LocalHost {
    /// Opens the host with the slots that an earlier process left. If this machine cannot run jobs, it reports why, now and
    /// at every boot until that changes: jitgate can accept deliveries meanwhile.
    ///
    /// # Errors
    /// When the state directory cannot be used, with the remedy.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Finding> {
        let (state, instance) = (&settings.state_dir, &settings.instance);
        let slots = open_slots("local", state, instance, &settings.program, clock)?;
        log_findings(&inspection::inspect(&settings));
        Ok(Self {
            settings,
            account: OnceLock::new(),
            slots,
        })
    }

    /// Returns the account of jobs, or an error while this machine cannot run jobs.
    fn account(&self) -> Result<&Account, Failure> {
        if let Some(account) = self.account.get() {
            return Ok(account);
        }
        if let Some(problem) = inspection::inspect(&self.settings)
            .into_iter()
            .find(Finding::is_problem)
        {
            return Err(Failure::Permanent(problem.to_string()));
        }
        let account = match &self.settings.local.user {
            None => Account::own(),
            Some(name) => {
                let gone = || Failure::Permanent(format!("local.user: the account {name} does not exist any more"));
                Account::named(name).ok_or_else(gone)?
            }
        };
        Ok(self.account.get_or_init(|| account))
    }
}

#[async_trait]
impl RunnerHost for LocalHost {
    async fn boot(&self, size: SlotSize) -> Result<SlotId, Failure> {
        if let Some(size) = size {
            return Err(Failure::Permanent(format!("local slots have no size {size}")));
        }
        let account = self.account()?.clone();
        if let Some(missing) = inspection::missing_runner(&self.settings.local.runner_home) {
            return Err(Failure::Permanent(missing.to_string()));
        }
        let (settings, layout) = (self.settings.clone(), self.slots.layout().clone());
        self.slots.boot(move |slot, cancelled| {
            let prepared = preparation::prepare(slot, &settings, &layout, &account, cancelled);
            prepared.map_err(|error| error.to_string())
        })
    }

    async fn claim(&self, id: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure> {
        let deadlines = Deadlines {
            boot: START_TIMEOUT,
            orphan: ORPHAN_TIMEOUT,
            gate: self.settings.gate_deadline,
            job: self.settings.job_deadline,
        };
        let account = self.account()?;
        let plan = |slot: &_| {
            Ok(Plan {
                command: sandbox::command(&self.settings, self.slots.layout(), slot, account)?,
                network: self.settings.network_rules(),
                limits: self.settings.limits(),
            })
        };
        self.slots.claim(id, runner, config, deadlines, plan).await
    }

    async fn open_gate(&self, id: &SlotId) -> Result<(), Failure> {
        self.slots.open_gate(id).await
    }

    async fn destroy(&self, id: &SlotId) -> Result<(), Failure> {
        self.slots.destroy(id, clear_limits).await
    }

    async fn remains(&self, id: &SlotId) -> Result<Remains, Failure> {
        self.slots.remains(id)
    }

    async fn list(&self) -> Result<Vec<Slot>, Failure> {
        self.slots.list()
    }

    async fn changed(&self) {
        self.slots.changed().await;
    }
}
