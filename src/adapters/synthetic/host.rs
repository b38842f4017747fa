//! Slots that are entries in a map, and runners that are two HTTP calls: one to come online, one to go.

use crate::ports::runner_host::{RunnerHost, Slot, SlotId, SlotState};
use crate::ports::{Clock, Failure};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A runner connects.
const ONLINE: &str = "online";
/// A runner goes, or is taken away.
const OFFLINE: &str = "offline";

/// Pretends to be a machine full of runners.
pub struct SyntheticHost {
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    booted: u64,
    slots: BTreeMap<SlotId, Pretended>,
}

struct Pretended {
    running: Option<Running>,
    state: SlotState,
    since: DateTime<Utc>,
}

#[derive(Clone)]
struct Running {
    name: String,
    server: String,
}

/// The `.runner` file inside a JIT configuration, as the simulated GitHub writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunnerFile {
    server_url: String,
    #[serde(default)]
    simulated: bool,
}

impl SyntheticHost {
    /// An empty host whose runners connect through `http`.
    #[must_use]
    pub fn new(http: reqwest::Client, clock: Arc<dyn Clock>) -> Self {
        Self {
            http,
            clock,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    async fn tell(&self, runner: &Running, what: &str) -> Result<(), Failure> {
        let url = format!("{}/{what}", runner.server);
        let failed = |error: reqwest::Error| {
            Failure::Transient(format!("runner {} cannot say it is {what}: {error}", runner.name))
        };
        let answer = self.http.post(url).send().await.map_err(failed)?;
        if what == OFFLINE && answer.status() == reqwest::StatusCode::NOT_FOUND {
            // GitHub removes an ephemeral runner by itself once its job is over.
            return Ok(());
        }
        answer.error_for_status().map(|_| ()).map_err(failed)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads where a runner would connect to; refuses a real GitHub.
fn server_of(config: &SecretString) -> Result<String, Failure> {
    let bad = |what: &str| Failure::Permanent(format!("the JIT configuration {what}"));
    let outer = STANDARD
        .decode(config.expose_secret())
        .map_err(|_| bad("is not base64"))?;
    let files: HashMap<String, String> = serde_json::from_slice(&outer).map_err(|_| bad("is not JSON"))?;
    let runner = files.get(".runner").ok_or_else(|| bad("has no .runner file"))?;
    let inner = STANDARD
        .decode(runner)
        .map_err(|_| bad("has an unreadable .runner file"))?;
    // GitHub's own files can start with a byte order mark.
    let text = inner.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&inner);
    let file: RunnerFile = serde_json::from_slice(text).map_err(|_| bad("has an unreadable .runner file"))?;
    if file.simulated {
        Ok(file.server_url)
    } else {
        Err(bad(
            "is of a real GitHub, and synthetic runners work with the simulated one only",
        ))
    }
}

#[async_trait]
impl RunnerHost for SyntheticHost {
    async fn boot(&self) -> Result<SlotId, Failure> {
        let since = self.clock.now();
        let id = self.with(|state| {
            state.booted += 1;
            let id = SlotId(format!("synthetic-{}", state.booted));
            let pretended = Pretended {
                running: None,
                state: SlotState::Ready,
                since,
            };
            state.slots.insert(id.clone(), pretended);
            id
        });
        self.changed.notify_one();
        Ok(id)
    }

    async fn claim(&self, slot: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure> {
        let running = Running {
            name: runner.to_owned(),
            server: server_of(&config)?,
        };
        let now = self.clock.now();
        self.with(|state| match state.slots.get_mut(slot) {
            Some(free) if free.state == SlotState::Ready => {
                *free = Pretended {
                    running: Some(running.clone()),
                    state: SlotState::Claimed,
                    since: now,
                };
                Ok(())
            }
            Some(_) => Err(Failure::Permanent(format!("slot {} was used before", slot.0))),
            None => Err(Failure::Permanent(format!("there is no slot {}", slot.0))),
        })?;
        self.tell(&running, ONLINE).await
    }

    async fn open_gate(&self, slot: &SlotId) -> Result<(), Failure> {
        let now = self.clock.now();
        self.with(|state| match state.slots.get_mut(slot) {
            Some(waiting) if matches!(waiting.state, SlotState::AtGate(_)) => {
                waiting.state = SlotState::Open;
                waiting.since = now;
                Ok(())
            }
            _ => Err(Failure::Permanent(format!("nobody is at the gate of slot {}", slot.0))),
        })
    }

    async fn destroy(&self, slot: &SlotId) -> Result<(), Failure> {
        let gone = self.with(|state| state.slots.remove(slot));
        self.changed.notify_one();
        match gone.and_then(|gone| gone.running) {
            Some(running) => self.tell(&running, OFFLINE).await,
            None => Ok(()),
        }
    }

    async fn list(&self) -> Result<Vec<Slot>, Failure> {
        Ok(self.with(|state| {
            let slot = |(id, slot): (&SlotId, &Pretended)| Slot {
                id: id.clone(),
                runner: slot.running.as_ref().map(|running| running.name.clone()),
                state: slot.state.clone(),
                since: slot.since,
            };
            state.slots.iter().map(slot).collect()
        }))
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}
