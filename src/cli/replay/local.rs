//! A gate inside this process as the stage: the real ingress on a loopback port, the memory store, a simulated GitHub with
//! its own port, synthetic runners, and a clock that moves only when the fixture says so.

use super::play::{Post, Stage};
use super::target::post;
use crate::adapters::clock::ManualClock;
use crate::adapters::synthetic::SyntheticHost;
use crate::app::Gate;
use crate::app::records;
use crate::config::Config;
use crate::domain::alert::Alert;
use crate::domain::decision::Decision;
use crate::domain::ids::{DeliveryId, JobId};
use crate::http::Running;
use crate::ports::{Clock, RunnerHost};
use crate::runtime::{self, Store};
use crate::simulator::{Client as GitHub, Simulator};
use anyhow::{Context, Result};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The webhook secret of the stage.
const SECRET: &str = "replay";
/// The repository of fixtures that name none.
const REPOSITORY: &str = "octo-org/chem-model";
/// When every scenario begins.
const BEGINNING: DateTime<Utc> = DateTime::from_timestamp(1_795_435_200, 0).unwrap_or_default();
/// Alerts looked at in the end.
const ALERTS: usize = 1000;

/// The stage and everything on it.
pub(super) struct Local {
    http: reqwest::Client,
    clock: Arc<ManualClock>,
    simulator: Simulator,
    github: GitHub,
    config: Config,
    store: Store,
    host: Arc<SyntheticHost>,
    gate: Arc<Gate>,
    ingress: Option<Running>,
    secret: SecretString,
}

impl Local {
    /// Sets the stage up with a fixture's settings.
    pub(super) async fn set_up(settings: &Map<String, Value>) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(BEGINNING));
        let time: Arc<dyn Clock> = clock.clone();
        let simulator = Simulator::start(time.clone(), ([127, 0, 0, 1], 0).into()).context("cannot start the simulated GitHub")?;
        let config = runtime::load_for_replay(base(&simulator.url()), settings)?;
        let store = runtime::open_store(&config, time.clone())?;
        let host = Arc::new(SyntheticHost::new());
        let mut stage = Self {
            http: reqwest::Client::new(),
            github: GitHub::new(&simulator.url()),
            secret: SecretString::from(SECRET),
            gate: runtime::build_gate(&config, &time, &store, Some(host.clone()), "replay00")?,
            ingress: None,
            clock,
            simulator,
            config,
            store,
            host,
        };
        stage.open()?;
        Ok(stage)
    }

    /// Takes the stage down.
    pub(super) async fn tear_down(self) {
        if let Some(ingress) = self.ingress {
            ingress.stop().await;
        }
        self.simulator.stop().await;
    }

    fn open(&mut self) -> Result<()> {
        let time: Arc<dyn Clock> = self.clock.clone();
        let listen = ([127, 0, 0, 1], 0).into();
        self.ingress = Some(runtime::open_ingress(&self.config, &time, &self.store, &self.gate, listen)?.0);
        Ok(())
    }
}

/// The settings all fixtures share; `docs/fixtures.md` names them.
fn base(api_url: &str) -> Value {
    json!({
        "webhook": {"secrets": [SECRET]},
        "github": {"api_url": api_url, "connect_timeout_s": 1, "timeout_s": 1},
        "repositories": [{"full_name": REPOSITORY}],
        "store": {"url": "memory:"},
        "runners": {"host": "synthetic"},
        "rollout": {"mode": "enforce"},
        "server": {"http_workers": 1},
    })
}

#[async_trait]
impl Stage for Local {
    fn github(&self) -> &GitHub {
        &self.github
    }

    fn secret(&self) -> &SecretString {
        &self.secret
    }

    async fn post(&mut self, delivery: &Post) -> Result<u16> {
        let address = self.ingress.as_ref().and_then(Running::address).context("the ingress is closed")?;
        post(&self.http, &format!("http://{address}"), delivery).await
    }

    async fn work(&mut self) -> Result<usize> {
        Ok(self.gate.run_until_idle("replay").await?)
    }

    async fn decision(&self, delivery: &DeliveryId, job: JobId) -> Result<Option<Decision>> {
        let record = self.gate.job(job).await?;
        Ok(record.and_then(|record| record.entry(delivery).map(|entry| entry.decision.clone())))
    }

    async fn advance(&mut self, seconds: u32) -> Result<()> {
        self.clock.advance(TimeDelta::seconds(seconds.into()));
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        if let Some(ingress) = self.ingress.take() {
            ingress.stop().await;
        }
        let time: Arc<dyn Clock> = self.clock.clone();
        self.gate = runtime::build_gate(&self.config, &time, &self.store, Some(self.host.clone()), "replay00")?;
        self.open()
    }

    async fn remains(&self) -> Result<(u64, BTreeSet<String>)> {
        let environments = self.host.list().await?.len();
        let alerts: Vec<Alert> = records::list(self.gate.ledger.as_ref(), ALERTS).await?;
        let kinds = alerts.iter().map(|alert| alert.kind.as_str().to_owned()).collect();
        Ok((environments.try_into()?, kinds))
    }

    fn variable(&self) -> &str {
        self.gate.settings.repositories.first().map_or("", |repository| &repository.variable)
    }
}
