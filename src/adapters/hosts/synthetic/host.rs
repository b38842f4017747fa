//! Slots that are entries in a map, and runners that are a few HTTP calls to the simulated GitHub. How long they take and
//! which of them fail is set beforehand.

use super::configuration::server_of;
use crate::config::Synthetic;
use crate::domain::slot::{Ending, Hello, Slot, SlotId, SlotState};
use crate::ports::RunnerHost;
use crate::ports::{Clock, Failure};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How often a simulated GitHub is worth a look while there are runners: it does not call.
const LOOK: Duration = Duration::from_millis(200);

/// Pretends to be a machine full of runners.
pub struct SyntheticHost {
    /// In the names of its slots: the ledger still has those of other processes, and of dead ones, and has them destroyed.
    start: u64,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    behaviour: Synthetic,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    booted: u64,
    claimed: u32,
    knocked: u32,
    slots: BTreeMap<SlotId, Pretended>,
}

struct Pretended {
    running: Option<Running>,
    state: SlotState,
    since: DateTime<Utc>,
    /// What becomes of it by itself.
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Fails,
}

#[derive(Clone)]
struct Running {
    name: String,
    server: String,
    connected: bool,
    /// Its hook never calls.
    silent: bool,
    /// Its job does not wait for an answer either.
    ungated: bool,
}

/// What the hook of a runner's job says.
#[derive(Deserialize, Default)]
struct Look {
    job: Option<u64>,
    run: Option<u64>,
    attempt: Option<u32>,
    repository: Option<String>,
}

impl SyntheticHost {
    /// An empty host whose runners connect through `http`.
    #[must_use]
    pub fn new(http: reqwest::Client, clock: Arc<dyn Clock>, behaviour: Synthetic) -> Self {
        Self {
            start: RandomState::new().build_hasher().finish(),
            http,
            clock,
            behaviour,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the simulated GitHub something of a runner. None when it has no such runner any more: an ephemeral one goes by
    /// itself once its job is over.
    async fn tell(&self, runner: &Running, what: &str) -> Result<Option<Look>, Failure> {
        let name = &runner.name;
        let failed =
            |error: reqwest::Error| Failure::Transient(format!("the simulated runner {name} cannot {what}: {error}"));
        let url = format!("{}/{what}", runner.server);
        let answer = self.http.post(url).send().await.map_err(failed)?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.error_for_status().map_err(failed)?;
        answer.json().await.map(Some).map_err(failed)
    }

    /// Lets happen to the environments what happens by itself.
    async fn go_on(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        let (boot, start) = (length(self.behaviour.boot), length(self.behaviour.start));
        let mut to_look_at = Vec::new();
        for (id, slot) in &mut self.lock().slots {
            match (&slot.state, &slot.running) {
                (SlotState::Booting, _) if now - slot.since >= boot => {
                    slot.since += boot;
                    slot.state = match slot.fate {
                        Fate::Works => SlotState::Ready,
                        Fate::Fails => SlotState::Ended(Ending::BootFailed("it is told to fail".to_owned())),
                    };
                }
                (SlotState::Claimed, Some(running)) if slot.fate == Fate::Works && now - slot.since >= start => {
                    to_look_at.push((id.clone(), running.clone()));
                }
                (SlotState::Open, Some(running)) => to_look_at.push((id.clone(), running.clone())),
                _ => {}
            }
        }
        for (id, running) in to_look_at {
            self.look_after(&id, running, now).await?;
        }
        Ok(())
    }

    async fn look_after(&self, id: &SlotId, mut running: Running, now: DateTime<Utc>) -> Result<(), Failure> {
        if !running.connected {
            let how = if running.ungated { "online" } else { "connect" };
            self.tell(&running, how).await?;
            running.connected = true;
        }
        let look = self.tell(&running, "look").await?;
        let mut state = self.lock();
        let Some(slot) = state.slots.get_mut(id) else {
            return Ok(());
        };
        let next = match (&slot.state, look) {
            (SlotState::Open, None | Some(Look { job: None, .. })) => Some(SlotState::Ended(Ending::Exited)),
            (SlotState::Claimed, None) => Some(SlotState::Ended(Ending::Lost)),
            (SlotState::Claimed, Some(look)) if look.job.is_some() && !running.silent => {
                Some(SlotState::AtGate(Hello {
                    repository: look.repository,
                    run_id: look.run,
                    run_attempt: look.attempt,
                }))
            }
            _ => None,
        };
        slot.running = Some(running);
        if let Some(next) = next {
            slot.state = next;
            slot.since = now;
        }
        Ok(())
    }
}

fn length(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

fn fate(number: u64, failing: u32) -> Fate {
    if number < failing.into() {
        Fate::Fails
    } else {
        Fate::Works
    }
}

#[async_trait]
impl RunnerHost for SyntheticHost {
    async fn boot(&self) -> Result<SlotId, Failure> {
        let since = self.clock.now();
        let mut state = self.lock();
        let fate = fate(state.booted, self.behaviour.failing_boots);
        state.booted += 1;
        let id = SlotId(format!("synthetic-{:016x}-{}", self.start, state.booted));
        let pretended = Pretended {
            running: None,
            state: SlotState::Booting,
            since,
            fate,
        };
        state.slots.insert(id.clone(), pretended);
        self.changed.notify_one();
        Ok(id)
    }

    async fn claim(&self, slot: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure> {
        let server = server_of(&config)?;
        let now = self.clock.now();
        let mut state = self.lock();
        let fate = fate(state.claimed.into(), self.behaviour.failing_starts);
        let ungated = state.knocked < self.behaviour.open_gates;
        let silent = ungated || state.knocked < self.behaviour.silent_hooks;
        match state.slots.get_mut(slot) {
            Some(free) if free.state == SlotState::Ready => {
                *free = Pretended {
                    running: Some(Running {
                        name: runner.to_owned(),
                        server,
                        connected: false,
                        silent,
                        ungated,
                    }),
                    state: SlotState::Claimed,
                    since: now,
                    fate,
                };
            }
            Some(_) => return Err(Failure::Permanent(format!("slot {} was used before", slot.0))),
            None => return Err(Failure::Permanent(format!("there is no slot {}", slot.0))),
        }
        state.claimed += 1;
        state.knocked += u32::from(fate == Fate::Works);
        self.changed.notify_one();
        Ok(())
    }

    async fn open_gate(&self, slot: &SlotId) -> Result<(), Failure> {
        let now = self.clock.now();
        let nobody = || Failure::Permanent(format!("nobody is at the gate of slot {}", slot.0));
        let running = match self.lock().slots.get(slot) {
            Some(waiting) if matches!(waiting.state, SlotState::AtGate(_)) => waiting.running.clone(),
            _ => None,
        };
        self.tell(&running.ok_or_else(nobody)?, "open").await?;
        if let Some(waiting) = self.lock().slots.get_mut(slot) {
            waiting.state = SlotState::Open;
            waiting.since = now;
        }
        Ok(())
    }

    async fn destroy(&self, slot: &SlotId) -> Result<(), Failure> {
        let running = self.lock().slots.get(slot).and_then(|slot| slot.running.clone());
        if let Some(running) = running.filter(|running| running.connected) {
            self.tell(&running, "offline").await?;
        }
        self.lock().slots.remove(slot);
        self.changed.notify_one();
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Slot>, Failure> {
        self.go_on().await?;
        let slot = |(id, slot): (&SlotId, &Pretended)| Slot {
            id: id.clone(),
            runner: slot.running.as_ref().map(|running| running.name.clone()),
            state: slot.state.clone(),
            since: slot.since,
        };
        Ok(self.lock().slots.iter().map(slot).collect())
    }

    async fn changed(&self) {
        let quiet = self.lock().slots.values().all(|slot| slot.state == SlotState::Ready);
        let look = async {
            if quiet {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(LOOK).await;
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = look => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> DateTime<Utc> {
            DateTime::<Utc>::MIN_UTC
        }
    }

    #[tokio::test]
    async fn a_slot_of_an_earlier_process_is_none_of_ours() {
        let host = || SyntheticHost::new(reqwest::Client::new(), Arc::new(Still), Synthetic::default());
        let (before, after) = (host(), host());
        let old = before.boot().await.expect("a slot");
        let new = after.boot().await.expect("a slot");
        after.destroy(&old).await.expect("it is gone");
        let left = after.list().await.expect("slots");
        assert_eq!(left.iter().map(|slot| &slot.id).collect::<Vec<_>>(), [&new]);
    }
}
