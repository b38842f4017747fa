//! Plays a fixture on a stage: jitgate inside this process, or a running process.

use super::expect::{self, CanaryState, Difference, Outcome, RolloutState};
use super::expected::Expect;
use super::fixture::{Deliver, Fixture, Signature, Step};
use crate::app::signature;
use crate::domain::decision::Decision;
use crate::domain::ids::{DeliveryId, JobId};
use crate::simulator::{Client as Simulator, resolve_times};
use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A signed delivery.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) guid: String,
    pub(super) event: String,
    pub(super) body: Vec<u8>,
    pub(super) signature: Option<(&'static str, String)>,
}

/// A jitgate that fixtures are played on.
#[async_trait]
pub(super) trait Stage: Send {
    /// Returns the simulated GitHub.
    fn github(&self) -> &Simulator;
    /// Returns the secret that signs deliveries.
    fn secret(&self) -> &SecretString;
    /// Posts a delivery and returns the HTTP status.
    async fn post(&mut self, delivery: &Post) -> Result<u16>;
    /// Waits until no delivery is due and returns the number of processed deliveries.
    async fn work(&mut self) -> Result<usize>;
    /// Returns the decision on a delivery.
    async fn decision(&self, delivery: &DeliveryId, job: JobId) -> Result<Option<Decision>>;
    /// Returns the current time of jitgate and its simulated GitHub.
    fn now(&self) -> DateTime<Utc>;
    /// Advances the clock.
    async fn advance(&mut self, seconds: u32) -> Result<()>;
    /// Changes the behaviour of simulated runners, compared with the settings of the fixture.
    async fn synthetic(&mut self, changes: &Map<String, Value>) -> Result<()>;
    /// Restarts jitgate on the same store.
    async fn restart(&mut self) -> Result<()>;
    /// Makes one pass of recovery: reads GitHub's delivery log and polls its runs.
    async fn recover(&mut self) -> Result<()>;
    /// Returns the state of the canary, or none if the stage cannot show it.
    async fn canary(&self) -> Result<Option<CanaryState>>;
    /// Returns the remaining state.
    async fn remains(&self) -> Result<Remains>;
    /// Returns the name of the routing variable.
    fn variable(&self) -> &str;
}

/// The state that remains after a scenario.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// Number of claimed slots that still exist.
    pub(super) slots: u64,
    /// Kinds of the raised alerts.
    pub(super) alerts: BTreeSet<String>,
    /// Kinds of the unresolved alerts.
    pub(super) open_alerts: BTreeSet<String>,
    /// Escalations, as `KIND:DEADLINE`.
    pub(super) escalations: BTreeSet<String>,
    /// The numbers of repeats of the alerts of each kind.
    pub(super) alert_counts: BTreeMap<String, Vec<u64>>,
    /// The changes of the rollout, the oldest first.
    pub(super) history: Vec<String>,
}

/// The result of a delivery.
#[derive(Debug, Serialize)]
pub(super) struct Delivered {
    /// Number of the step in the fixture, counted from 1.
    pub(super) step: usize,
    pub(super) event: String,
    pub(super) guid: String,
    pub(super) status: u16,
    pub(super) decision: Option<Decision>,
    pub(super) differences: Vec<Difference>,
}

/// The result of a fixture.
#[derive(Debug, Serialize)]
pub(super) struct Played {
    pub(super) fixture: String,
    pub(super) title: String,
    pub(super) deliveries: Vec<Delivered>,
    pub(super) end: Outcome,
    pub(super) differences: Vec<Difference>,
}

impl Played {
    /// Returns true if every expectation was met.
    pub(super) fn passed(&self) -> bool {
        self.differences.is_empty() && self.deliveries.iter().all(|d| d.differences.is_empty())
    }
}

/// Maximum number of reactions between jitgate and GitHub after one step.
const MAX_REACTIONS: usize = 200;

/// Plays a fixture.
pub(super) async fn play(name: &str, fixture: &Fixture, stage: &mut dyn Stage) -> Result<Played> {
    stage
        .github()
        .apply(&fixture.github)
        .await
        .context("cannot create the world")?;
    let mut player = Player {
        name,
        stage,
        sent: Vec::new(),
        deliveries: Vec::new(),
        synthetic: Map::new(),
        differences: Vec::new(),
    };
    for (at, step) in fixture.steps.iter().enumerate() {
        player
            .step(at + 1, step)
            .await
            .with_context(|| format!("step {}", at + 1))?;
    }
    let tally = player.stage.github().tally().await?;
    let mut remains = player.stage.remains().await?;
    for counts in remains.alert_counts.values_mut() {
        counts.sort_unstable_by(|a, b| b.cmp(a));
    }
    let variable = tally.variables.get(player.stage.variable()).cloned();
    let end = Outcome {
        minted: tally.minted,
        ran: tally.ran,
        left: tally.runners_left + remains.slots,
        alerts: remains.alerts,
        open_alerts: remains.open_alerts,
        escalations: remains.escalations,
        alert_counts: remains.alert_counts,
        variable,
        reruns: tally.reruns,
        stage: player.stage.canary().await?.map(|canary| canary.stage),
        history: remains.history,
    };
    let mut differences = player.differences;
    differences.extend(expect::of_end(&fixture.end, &end));
    Ok(Played {
        fixture: name.to_owned(),
        title: fixture.title.clone(),
        deliveries: player.deliveries,
        differences,
        end,
    })
}

/// A scenario that is being played.
pub(super) struct Player<'a> {
    name: &'a str,
    pub(super) stage: &'a mut dyn Stage,
    sent: Vec<Post>,
    deliveries: Vec<Delivered>,
    /// The changes of the latest step `synthetic`.
    pub(super) synthetic: Map<String, Value>,
    /// Unmet expectations outside of deliveries.
    differences: Vec<Difference>,
}

impl Player<'_> {
    async fn step(&mut self, number: usize, step: &Step) -> Result<()> {
        if let Some(deliver) = &step.deliver {
            self.deliver(number, deliver).await?;
        } else if let Some(change) = &step.github {
            self.stage.github().apply(change).await?;
            self.settle().await?;
        } else if let Some(seconds) = step.advance_s {
            self.stage.advance(seconds).await?;
            self.settle().await?;
        } else if step.restart {
            self.stage.restart().await?;
            self.settle().await?;
        } else if step.recover {
            self.stage.recover().await?;
            self.settle().await?;
        } else if let Some(history) = &step.history {
            self.history(number, history).await?;
        } else if let Some(changes) = &step.synthetic {
            self.synthetic.clone_from(changes);
            self.stage.synthetic(changes).await?;
            self.settle().await?;
        }
        if let Some(expect) = &step.expect {
            self.compare_latest(expect).await?;
        }
        if let Some(expect) = &step.rollout {
            let tally = self.stage.github().tally().await?;
            let state = RolloutState {
                variable: tally.variables.get(self.stage.variable()).cloned(),
                canary: self.stage.canary().await?,
            };
            self.differences.extend(expect::of_rollout(number, expect, &state));
        }
        Ok(())
    }

    pub(super) async fn deliver(&mut self, number: usize, deliver: &Deliver) -> Result<()> {
        let post = self.post_of(deliver).await?;
        let status = self.stage.post(&post).await?;
        self.sent.push(post.clone());
        self.settle().await?;
        let decision = self.decision_of(&post).await?;
        let differences = match &deliver.expect {
            Some(expect) => expect::of_delivery(expect, status, decision.as_ref()),
            None => Vec::new(),
        };
        self.deliveries.push(Delivered {
            step: number,
            event: post.event,
            guid: post.guid,
            status,
            decision,
            differences,
        });
        Ok(())
    }

    async fn compare_latest(&mut self, expect: &Expect) -> Result<()> {
        let Some(post) = self.sent.last().cloned() else {
            bail!("expect requires a previous delivery");
        };
        let decision = self.decision_of(&post).await?;
        if let Some(latest) = self.deliveries.last_mut() {
            let differences = expect::of_delivery(expect, latest.status, decision.as_ref());
            latest.differences.extend(differences);
            latest.decision = decision;
        }
        Ok(())
    }

    async fn post_of(&self, deliver: &Deliver) -> Result<Post> {
        if let Some(again) = deliver.again {
            let Some(earlier) = self.sent.get(again) else {
                bail!("delivery {again} does not exist and cannot be sent again");
            };
            let mut post = earlier.clone();
            post.guid = deliver.guid.clone().unwrap_or(post.guid);
            return Ok(post);
        }
        let guid = deliver.guid.clone();
        let guid = guid.unwrap_or_else(|| made_up_guid(self.name, self.sent.len()));
        let mut given = deliver.payload.clone();
        if let Some(payload) = &mut given {
            resolve_times(payload, self.stage.now());
        }
        let payload = match (deliver.job, &deliver.action) {
            (Some(job), Some(action)) => {
                let patch = given.as_ref();
                self.stage.github().render(&deliver.event, action, job, patch).await?
            }
            _ => given.unwrap_or_default(),
        };
        Ok(self.signed(guid, &deliver.event, &payload, deliver.signature))
    }

    fn signed(&self, guid: String, event: &str, payload: &Value, how: Signature) -> Post {
        let body = payload.to_string().into_bytes();
        let sha256 = |secret: &SecretString| ("X-Hub-Signature-256", signature::sign(secret, &body));
        let signature = match how {
            Signature::Good => Some(sha256(self.stage.secret())),
            Signature::Wrong => Some(sha256(&SecretString::from("another secret"))),
            Signature::Sha1 => Some(("X-Hub-Signature", format!("sha1={}", "0".repeat(40)))),
            Signature::Missing => None,
        };
        Post {
            guid,
            event: event.to_owned(),
            body,
            signature,
        }
    }

    /// Lets jitgate and GitHub react to each other until neither has anything to do.
    pub(super) async fn settle(&mut self) -> Result<()> {
        for _ in 0..MAX_REACTIONS {
            let worked = self.stage.work().await? > 0;
            let outbox = self.stage.github().outbox().await?;
            let delivered = !outbox.is_empty();
            for delivery in outbox {
                let post = self.signed(delivery.guid, &delivery.event, &delivery.payload, Signature::Good);
                self.stage.post(&post).await?;
            }
            // Jobs proceed only after jitgate has processed all events.
            if delivered || worked {
                continue;
            }
            if self.stage.github().settle().await? == 0 {
                return Ok(());
            }
        }
        bail!("jitgate and GitHub do not stop reacting to each other");
    }

    async fn decision_of(&self, post: &Post) -> Result<Option<Decision>> {
        let payload: Value = serde_json::from_slice(&post.body).unwrap_or_default();
        let job = payload.pointer("/workflow_job/id").and_then(Value::as_u64);
        match (DeliveryId::parse(&post.guid), job) {
            (Some(guid), Some(job)) => self.stage.decision(&guid, JobId(job)).await,
            _ => Ok(None),
        }
    }
}

/// Returns a GUID in GitHub's form that is the same for the same input.
fn made_up_guid(fixture: &str, number: usize) -> String {
    use sha2::{Digest, Sha256};
    let digest = hex::encode(Sha256::digest(format!("{fixture}#{number}")));
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}
