//! A jitgate inside this process as the stage: the real ingress on a loopback port, the memory store, a simulated GitHub
//! with its own port, synthetic runners, and a clock that only the fixture advances.

use super::expect::CanaryState;
use super::play::{Post, Remains, Stage};
use super::target::post;
use crate::adapters::clock::ManualClock;
use crate::adapters::hosts::synthetic::SyntheticHost;
use crate::app;
use crate::app::events::worker;
use crate::app::incidents;
use crate::app::jobs::record::load_job;
use crate::app::pool::pass as pool_pass;
use crate::app::records::{self, RolloutRecord};
use crate::app::recovery::passes as recovery_passes;
use crate::app::rollout::{pass as rollout_pass, status};
use crate::config::{self, Config, Credentials, Sources};
use crate::domain::alert::{Alert, AlertState, Overdue};
use crate::domain::decision::Decision;
use crate::domain::ids::{DeliveryId, JobId};
use crate::domain::rollout::Change;
use crate::http::{Bind, Running};
use crate::ports::{Clock, RunnerHost};
use crate::runtime::{self, Store};
use crate::simulator::{Client as GitHub, Simulator};
use anyhow::{Context, Result};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The webhook secret of the stage.
const SECRET: &str = "replay";
/// A token that the simulated GitHub accepts.
const TOKEN: &str = "sim-replay";
/// The repository of fixtures that do not name one.
const REPOSITORY: &str = "octo-org/chem-model";
/// Start time of every scenario: 2026-11-23T12:00:00Z, in seconds since 1970.
const BEGINNING_S: i64 = 1_795_435_200;
/// Maximum number of alerts that are read at the end.
const MAX_ALERTS: usize = 1000;

/// A stage with all its parts.
pub(super) struct Local {
    http: reqwest::Client,
    clock: Arc<ManualClock>,
    simulator: Simulator,
    github: GitHub,
    settings: Map<String, Value>,
    config: Config,
    store: Store,
    host: Arc<SyntheticHost>,
    ctx: Arc<app::Context>,
    ingress: Option<Running>,
    secret: SecretString,
}

impl Local {
    /// Sets up the stage with the settings of a fixture.
    pub(super) fn set_up(settings: &Map<String, Value>, http: &reqwest::Client) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(
            DateTime::<Utc>::from_timestamp(BEGINNING_S, 0).unwrap_or_default(),
        ));
        let time: Arc<dyn Clock> = clock.clone();
        let simulator =
            Simulator::start(time.clone(), ([127, 0, 0, 1], 0).into()).context("cannot start the simulated GitHub")?;
        let config = configuration(simulator.url(), settings)?;
        let store = runtime::open_store(&config, time.clone())?;
        let host = Arc::new(SyntheticHost::new(http.clone(), time.clone(), config.synthetic));
        let mut stage = Self {
            http: http.clone(),
            github: GitHub::new(simulator.url(), http.clone()),
            secret: SecretString::from(SECRET),
            ctx: runtime::build_context(&config, &time, &store, Some(host.clone()), "replay00", Arc::new(()))?,
            ingress: None,
            clock,
            simulator,
            settings: settings.clone(),
            config,
            store,
            host,
        };
        stage.open()?;
        Ok(stage)
    }

    /// Stops all parts of the stage.
    pub(super) async fn tear_down(self) {
        if let Some(ingress) = self.ingress {
            ingress.stop().await;
        }
        self.simulator.stop().await;
    }

    fn open(&mut self) -> Result<()> {
        let health = runtime::health(&self.ctx);
        let (ingress, _) =
            runtime::open_ingress(&self.config, &self.ctx, health, Bind::Tcp(([127, 0, 0, 1], 0).into()))?;
        self.ingress = Some(ingress);
        Ok(())
    }
}

impl Local {
    /// Returns the changes of the rollout of the first repository.
    async fn changes(&self) -> Result<Vec<String>> {
        let Some(repository) = self.ctx.settings.repositories.first() else {
            return Ok(Vec::new());
        };
        let record: Option<RolloutRecord> = records::load(self.ctx.ledger.as_ref(), repository.name.as_str()).await?;
        let changes = record.map(|record| record.history).unwrap_or_default();
        changes.iter().map(what).collect()
    }
}

/// Returns the kind of a change; `would-` precedes a change that the mode `observe` only reports.
fn what(change: &Change) -> Result<String> {
    let what = serde_json::to_value(change.what)?;
    let what = what.as_str().unwrap_or_default();
    Ok(if change.would {
        format!("would-{what}")
    } else {
        what.to_owned()
    })
}

/// Returns the settings of all fixtures, overlaid with those of one fixture.
fn configuration(api_url: &str, settings: &Map<String, Value>) -> Result<Config> {
    let mut overrides = json!({
        "webhook": {"secrets": [SECRET]},
        "github": {"api_url": api_url},
        "repositories": [{"full_name": REPOSITORY}],
        "store": {"url": "memory:"},
        "runners": {"host": "synthetic"},
        "rollout": {"mode": "enforce"},
        "server": {"http_workers": 1},
    });
    overlay(&mut overrides, &Value::Object(settings.clone()));
    let loaded = config::load(Sources {
        overrides: overrides.as_object().cloned().unwrap_or_default(),
        ..Sources::default()
    })?;
    let mut config = loaded.config;
    config.github.credentials = Credentials::Token(SecretString::from(TOKEN));
    Ok(config)
}

/// Overlays a JSON object with another, section by section.
fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => base.clone_from(over),
    }
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
        let address = self
            .ingress
            .as_ref()
            .and_then(Running::address)
            .context("the ingress is closed")?;
        post(&self.http, &format!("http://{address}"), delivery).await
    }

    async fn work(&mut self) -> Result<usize> {
        let worked = worker::run_until_idle(&self.ctx, "replay").await?;
        let pooled = pool_pass::run_once(&self.ctx).await?;
        let rolled_out = rollout_pass::run_once(&self.ctx).await;
        Ok(worked + pooled + rolled_out + incidents::pass::run_once(&self.ctx).await?)
    }

    async fn decision(&self, delivery: &DeliveryId, job: JobId) -> Result<Option<Decision>> {
        let record = load_job(&self.ctx, job).await?;
        Ok(record.and_then(|record| record.entry(delivery).map(|entry| entry.decision.clone())))
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn advance(&mut self, seconds: u32) -> Result<()> {
        self.clock.advance(TimeDelta::seconds(seconds.into()));
        Ok(())
    }

    async fn synthetic(&mut self, changes: &Map<String, Value>) -> Result<()> {
        let mut settings = Value::Object(self.settings.clone());
        overlay(&mut settings, &json!({"synthetic": changes}));
        let settings = settings.as_object().cloned().unwrap_or_default();
        self.host
            .behave(configuration(self.simulator.url(), &settings)?.synthetic);
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        if let Some(ingress) = self.ingress.take() {
            ingress.stop().await;
        }
        let time: Arc<dyn Clock> = self.clock.clone();
        self.ctx = runtime::build_context(
            &self.config,
            &time,
            &self.store,
            Some(self.host.clone()),
            "replay00",
            Arc::new(()),
        )?;
        self.open()
    }

    async fn recover(&mut self) -> Result<()> {
        recovery_passes::run_once(&self.ctx).await?;
        Ok(())
    }

    async fn canary(&self) -> Result<Option<CanaryState>> {
        let Some(repository) = self.ctx.settings.repositories.first() else {
            return Ok(None);
        };
        let (settings, ledger) = (&self.ctx.settings, self.ctx.ledger.as_ref());
        let rules = (repository.policy.mode, &settings.rollout);
        let status = status::load(ledger, &repository.name, rules, settings.slo.window, self.clock.now()).await?;
        Ok(Some(CanaryState {
            stage: status.reached.stage,
            progress: status.reached.progress,
            triggers: status.hits().map(|trigger| trigger.name.as_str().to_owned()).collect(),
            why: status.history.last().and_then(|change| change.why.clone()),
        }))
    }

    async fn remains(&self) -> Result<Remains> {
        // A slot that waits for a job does not remain from a job.
        let slots = self.host.list().await?;
        let claimed = slots.iter().filter(|slot| slot.runner.is_some()).count();
        let alerts: Vec<Alert> = records::list(self.ctx.ledger.as_ref(), MAX_ALERTS).await?;
        let kind = |alert: &Alert| alert.kind.as_str().to_owned();
        let escalations = |alert: &Alert| -> Vec<String> {
            let word = |overdue: Overdue| format!("{}:{}", kind(alert), overdue.as_str());
            alert.escalations.iter().map(|it| word(it.overdue)).collect()
        };
        let is_open = |alert: &&Alert| alert.state != AlertState::Resolved;
        let mut alert_counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for alert in &alerts {
            alert_counts.entry(kind(alert)).or_default().push(alert.count);
        }
        Ok(Remains {
            alert_counts,
            history: self.changes().await?,
            slots: claimed.try_into()?,
            alerts: alerts.iter().map(kind).collect(),
            open_alerts: alerts.iter().filter(is_open).map(kind).collect(),
            escalations: alerts.iter().flat_map(escalations).collect(),
        })
    }

    fn variable(&self) -> &str {
        self.ctx
            .settings
            .repositories
            .first()
            .map_or("", |repository| &repository.variable)
    }
}
