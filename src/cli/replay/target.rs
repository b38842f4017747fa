//! A running jitgate as the stage: it receives deliveries on its public port and returns records on its admin API.

use super::expect::CanaryState;
use super::play::{Post, Remains, Stage};
use crate::adapters::clock::SystemClock;
use crate::domain::decision::Decision;
use crate::domain::ids::{DeliveryId, JobId};
use crate::ports::Clock;
use crate::simulator::Client as Simulator;
use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// Maximum time that a running jitgate may take to process a delivery.
const PROCESSING_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval between requests for the state of a delivery.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running jitgate with a simulated GitHub.
pub(super) struct Target {
    http: reqwest::Client,
    url: String,
    admin: Admin,
    secret: SecretString,
    variable: String,
    github: Simulator,
    /// Configured repositories without any delivery so far.
    untouched: VecDeque<String>,
    /// The repository of the current scenario.
    repository: String,
    /// Number of scenarios started so far.
    begun: u32,
    /// Deliveries that were posted and are not yet known to be processed.
    waiting: Vec<String>,
}

/// The admin API of a running jitgate.
pub(super) struct Admin {
    pub(super) url: String,
    pub(super) token: SecretString,
}

impl Target {
    /// Connects to a running jitgate. Rejects one without a simulated GitHub, because replay would act on the real GitHub.
    pub(super) async fn connect(url: String, admin: Admin, secret: SecretString, variable: String) -> Result<Self> {
        let http = reqwest::Client::new();
        let status = get(&http, &admin, "/api/v1/status").await?;
        ensure!(
            status.pointer("/github/simulated") == Some(&Value::Bool(true)),
            "jitgate at {url} does not use a simulated GitHub; start one with `jitgate simulate` and set github.api_url to it"
        );
        let api = status
            .pointer("/github/api_url")
            .and_then(Value::as_str)
            .context("the admin API does not return the URL of GitHub")?;
        let listed = get(&http, &admin, "/api/v1/deliveries").await?;
        let touched: BTreeSet<&str> = texts(&listed, "/deliveries", "repository").collect();
        let served = status
            .get("repositories")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let untouched = served.filter_map(Value::as_str).filter(|name| !touched.contains(name));
        Ok(Self {
            untouched: untouched.map(str::to_owned).collect(),
            repository: String::new(),
            begun: 0,
            github: Simulator::new(api, http.clone()),
            http,
            url,
            admin,
            secret,
            variable,
            waiting: Vec::new(),
        })
    }

    /// Creates an empty world for a scenario with these jobs, or returns the reason why it cannot be played here. Each
    /// scenario has its own repository, because jitgate's knowledge about a repository cannot be reset.
    pub(super) async fn begin(&mut self, jobs: &[u64]) -> Result<Option<&'static str>> {
        for job in jobs {
            let known = get(&self.http, &self.admin, &format!("/api/v1/jobs/{job}")).await?;
            if !known.is_null() {
                return Ok(Some("contains a job that this jitgate already knows"));
            }
        }
        let Some(repository) = self.untouched.pop_front() else {
            return Ok(Some("needs another configured repository without any delivery"));
        };
        self.github.reset().await?;
        // The first named repository is the one of the world.
        self.github
            .apply(&json!({"repositories": [{"full_name": repository}]}))
            .await?;
        self.repository = repository;
        self.begun += 1;
        Ok(None)
    }

    /// Waits until jitgate has nothing to do for runners, and returns the number of checks with pending work.
    async fn wait_for_the_pool(&self, start: tokio::time::Instant) -> Result<usize> {
        let mut count = 0;
        while get(&self.http, &self.admin, "/api/v1/status").await?["pool"]["quiet"] == json!(false) {
            count += 1;
            if start.elapsed() > PROCESSING_TIMEOUT {
                bail!(
                    "jitgate is still busy with its runners after {} s",
                    PROCESSING_TIMEOUT.as_secs()
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(count)
    }

    /// Prefixes GUIDs by scenario, because every world of the simulator counts from the same GUID.
    fn guid(&self, guid: &str) -> String {
        match guid.strip_prefix("00000000-") {
            Some(rest) => format!("{:08}-{rest}", self.begun),
            None => guid.to_owned(),
        }
    }
}

/// Returns the texts under `key` in each element of the list at `pointer`.
fn texts<'a>(answer: &'a Value, pointer: &str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let list = answer.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(move |element| element.get(key)?.as_str())
}

async fn get(http: &reqwest::Client, admin: &Admin, path: &str) -> Result<Value> {
    let url = format!("{}{path}", admin.url.trim_end_matches('/'));
    let request = http.get(&url).bearer_auth(admin.token.expose_secret());
    let answer = request.send().await.with_context(|| format!("cannot reach {url}"))?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(Value::Null);
    }
    ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
    answer
        .json()
        .await
        .with_context(|| format!("{url} did not answer with JSON"))
}

#[async_trait]
impl Stage for Target {
    fn github(&self) -> &Simulator {
        &self.github
    }

    fn secret(&self) -> &SecretString {
        &self.secret
    }

    async fn post(&mut self, delivery: &Post) -> Result<u16> {
        let guid = self.guid(&delivery.guid);
        let delivery = Post {
            guid,
            ..delivery.clone()
        };
        let status = post(&self.http, &self.url, &delivery).await?;
        if status == 202 {
            self.waiting.push(delivery.guid);
        }
        Ok(status)
    }

    async fn work(&mut self) -> Result<usize> {
        let count = self.waiting.len();
        let start = tokio::time::Instant::now();
        while let Some(guid) = self.waiting.last() {
            let answer = get(&self.http, &self.admin, &format!("/api/v1/deliveries/{guid}")).await?;
            let state = answer.pointer("/delivery/state").and_then(Value::as_str);
            let tries = answer.pointer("/delivery/attempts").and_then(Value::as_u64);
            // A delivery that waits for a retry has a first decision.
            if matches!(state, Some("done" | "dead" | "ignored")) || (state == Some("queued") && tries > Some(0)) {
                self.waiting.pop();
                continue;
            }
            if start.elapsed() > PROCESSING_TIMEOUT {
                bail!(
                    "jitgate did not process delivery {guid} within {} s",
                    PROCESSING_TIMEOUT.as_secs()
                );
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(count + self.wait_for_the_pool(start).await?)
    }

    async fn decision(&self, delivery: &DeliveryId, _job: JobId) -> Result<Option<Decision>> {
        let answer = get(&self.http, &self.admin, &format!("/api/v1/deliveries/{delivery}")).await?;
        match answer.get("decision") {
            None | Some(Value::Null) => Ok(None),
            Some(decision) => Ok(Some(serde_json::from_value(decision.clone())?)),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }

    async fn advance(&mut self, _seconds: u32) -> Result<()> {
        bail!("the clock of a running jitgate cannot be advanced")
    }

    async fn synthetic(&mut self, _changes: &Map<String, Value>) -> Result<()> {
        bail!("replay cannot change the runners of a running jitgate")
    }

    async fn restart(&mut self) -> Result<()> {
        bail!("replay cannot restart a running jitgate")
    }

    async fn recover(&mut self) -> Result<()> {
        bail!("a running jitgate makes its passes of recovery by itself")
    }

    async fn canary(&self) -> Result<Option<CanaryState>> {
        Ok(None)
    }

    async fn remains(&self) -> Result<Remains> {
        let answer = get(&self.http, &self.admin, "/api/v1/alerts").await?;
        let alerts = answer.get("alerts").and_then(Value::as_array).into_iter().flatten();
        // The admin API does not list slots, so this counts GitHub's records of runners.
        let mut remains = Remains::default();
        for alert in alerts {
            let text = |key| alert.get(key).and_then(Value::as_str);
            let (true, Some(kind)) = (text("repository") == Some(&self.repository), text("kind")) else {
                continue;
            };
            remains.alerts.insert(kind.to_owned());
            let escalations = alert.get("escalations").and_then(Value::as_array).into_iter().flatten();
            let overdue = escalations.filter_map(|it| it.get("overdue")?.as_str());
            remains
                .escalations
                .extend(overdue.map(|overdue| format!("{kind}:{overdue}")));
            let count = alert.get("count").and_then(Value::as_u64).unwrap_or_default();
            remains.alert_counts.entry(kind.to_owned()).or_default().push(count);
            if text("state") != Some("resolved") {
                remains.open_alerts.insert(kind.to_owned());
            }
        }
        Ok(remains)
    }

    fn variable(&self) -> &str {
        &self.variable
    }
}

/// Posts a delivery like GitHub and returns the HTTP status.
pub(super) async fn post(http: &reqwest::Client, url: &str, delivery: &Post) -> Result<u16> {
    let url = format!("{}/webhooks/github", url.trim_end_matches('/'));
    let mut request = http
        .post(&url)
        .header("content-type", "application/json")
        .header("user-agent", "GitHub-Hookshot/jitgate-replay")
        .header("x-github-event", &delivery.event)
        .header("x-github-delivery", &delivery.guid)
        .body(delivery.body.clone());
    if let Some((name, value)) = &delivery.signature {
        request = request.header(*name, value);
    }
    let answer = request.send().await.with_context(|| format!("cannot post to {url}"))?;
    Ok(answer.status().as_u16())
}
