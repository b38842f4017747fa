//! Slots that are entries in a map, and runners that are a few HTTP calls to the simulated GitHub. The configuration sets
//! their durations and failures.

use super::configuration::server_of;
use crate::config::Synthetic;
use crate::domain::slot::{Ending, Hello, Remains, Slot, SlotId, SlotSize, SlotState};
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

/// Interval between two polls of the simulated GitHub while there are runners, since it sends no events to them.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A host of simulated runners.
pub struct SyntheticHost {
    /// A random part of the names of its slots, because the ledger can still have slots of other or earlier processes, and
    /// destroys them.
    start: u64,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    behaviour: Synthetic,
    /// Numbers of slots and runners since the behaviour was last set.
    booted: u32,
    claimed: u32,
    called: u32,
    /// Number of all slots.
    named: u64,
    slots: BTreeMap<SlotId, SyntheticSlot>,
}

struct SyntheticSlot {
    size: SlotSize,
    running: Option<Running>,
    state: SlotState,
    since: DateTime<Utc>,
    made: DateTime<Utc>,
    booted: Option<DateTime<Utc>>,
    /// The result of its next step.
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Fails,
    /// The slot of a runner ends before the runner connects.
    Dies,
}

#[derive(Clone)]
struct Running {
    name: String,
    server: String,
    connected: bool,
    /// Its hook never calls the job gate.
    silent: bool,
    /// Its job runs without an answer of the job gate.
    ungated: bool,
}

/// The job of a runner at the simulated GitHub.
#[derive(Deserialize, Default)]
struct RunnerJob {
    job: Option<u64>,
    run: Option<u64>,
    attempt: Option<u32>,
    repository: Option<String>,
}

impl SyntheticHost {
    /// Returns an empty host whose runners connect through `http`.
    #[must_use]
    pub fn new(http: reqwest::Client, clock: Arc<dyn Clock>, behaviour: Synthetic) -> Self {
        Self {
            start: RandomState::new().build_hasher().finish(),
            http,
            clock,
            state: Mutex::new(State {
                behaviour,
                ..State::default()
            }),
            changed: Notify::new(),
        }
    }

    /// Changes the behaviour. Its numbers count from now on.
    pub fn behave(&self, behaviour: Synthetic) {
        let mut state = self.lock();
        state.behaviour = behaviour;
        (state.booted, state.claimed, state.called) = (0, 0, 0);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event of a runner to the simulated GitHub. Returns none if it has no such runner any more: an ephemeral runner
    /// disappears when its job is over.
    async fn send(&self, runner: &Running, what: &str) -> Result<Option<RunnerJob>, Failure> {
        let name = &runner.name;
        let failed = |error: reqwest::Error| {
            Failure::Transient(format!(
                "failed to send \"{what}\" for the simulated runner {name}: {error}"
            ))
        };
        let url = format!("{}/{what}", runner.server);
        let answer = self.http.post(url).send().await.map_err(failed)?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.error_for_status().map_err(failed)?;
        answer.json().await.map(Some).map_err(failed)
    }

    /// Advances the slots whose next step is due.
    async fn advance(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        for (id, running) in self.begin_due_steps(now) {
            self.poll(&id, running, now).await?;
        }
        Ok(())
    }

    /// Changes the slots whose next step needs no call, and returns the runners to poll.
    fn begin_due_steps(&self, now: DateTime<Utc>) -> Vec<(SlotId, Running)> {
        let mut to_poll = Vec::new();
        let mut state = self.lock();
        let (boot, start) = (length(state.behaviour.boot), length(state.behaviour.start));
        for (id, slot) in &mut state.slots {
            match (&slot.state, &slot.running) {
                (SlotState::Booting, _) if now - slot.since >= boot => {
                    slot.since += boot;
                    slot.state = match slot.fate {
                        Fate::Works => {
                            slot.booted = Some(slot.since);
                            SlotState::Ready
                        }
                        Fate::Fails | Fate::Dies => {
                            SlotState::Ended(Ending::BootFailed("synthetic.failing_boots is set".to_owned()))
                        }
                    };
                }
                (SlotState::Claimed, Some(_)) if slot.fate == Fate::Dies => {
                    slot.state = SlotState::Ended(Ending::BootFailed("synthetic.dying_starts is set".to_owned()));
                }
                (SlotState::Claimed, Some(running)) if slot.fate == Fate::Works && now - slot.since >= start => {
                    to_poll.push((id.clone(), running.clone()));
                }
                (SlotState::Open, Some(running)) => to_poll.push((id.clone(), running.clone())),
                _ => {}
            }
        }
        to_poll
    }

    async fn poll(&self, id: &SlotId, mut running: Running, now: DateTime<Utc>) -> Result<(), Failure> {
        if !running.connected {
            let how = if running.ungated { "online" } else { "connect" };
            self.send(&running, how).await?;
            running.connected = true;
        }
        let look = self.send(&running, "look").await?;
        let mut state = self.lock();
        let Some(slot) = state.slots.get_mut(id) else {
            return Ok(());
        };
        let next = match (&slot.state, look) {
            (SlotState::Open, None | Some(RunnerJob { job: None, .. })) => Some(SlotState::Ended(Ending::Exited)),
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

fn fate(number: u32, failing: u32) -> Fate {
    if number < failing { Fate::Fails } else { Fate::Works }
}

#[async_trait]
impl RunnerHost for SyntheticHost {
    async fn boot(&self, size: SlotSize) -> Result<SlotId, Failure> {
        // A simulated slot has any size.
        let since = self.clock.now();
        let mut state = self.lock();
        let fate = fate(state.booted, state.behaviour.failing_boots);
        state.booted += 1;
        state.named += 1;
        let id = SlotId(format!("synthetic-{:016x}-{}", self.start, state.named));
        let slot = SyntheticSlot {
            size,
            running: None,
            state: SlotState::Booting,
            since,
            made: since,
            booted: None,
            fate,
        };
        state.slots.insert(id.clone(), slot);
        self.changed.notify_one();
        Ok(id)
    }

    async fn claim(&self, slot: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure> {
        let server = server_of(&config)?;
        let now = self.clock.now();
        let mut state = self.lock();
        let behaviour = state.behaviour;
        let fate = match fate(state.claimed, behaviour.failing_starts) {
            Fate::Works if state.claimed < behaviour.dying_starts => Fate::Dies,
            fate => fate,
        };
        let ungated = state.called < behaviour.open_gates;
        let silent = ungated || state.called < behaviour.silent_hooks;
        match state.slots.get_mut(slot) {
            Some(free) if free.state == SlotState::Ready => {
                *free = SyntheticSlot {
                    size: free.size.take(),
                    running: Some(Running {
                        name: runner.to_owned(),
                        server,
                        connected: false,
                        silent,
                        ungated,
                    }),
                    state: SlotState::Claimed,
                    since: now,
                    made: free.made,
                    booted: free.booted,
                    fate,
                };
            }
            Some(_) => return Err(Failure::Permanent(format!("slot {} was used before", slot.0))),
            None => return Err(Failure::Permanent(format!("there is no slot {}", slot.0))),
        }
        state.claimed += 1;
        state.called += u32::from(fate == Fate::Works);
        self.changed.notify_one();
        Ok(())
    }

    async fn open_gate(&self, slot: &SlotId) -> Result<(), Failure> {
        let now = self.clock.now();
        let no_job = || Failure::Permanent(format!("no job waits at the gate of slot {}", slot.0));
        let running = match self.lock().slots.get(slot) {
            Some(waiting) if matches!(waiting.state, SlotState::AtGate(_)) => waiting.running.clone(),
            _ => None,
        };
        self.send(&running.ok_or_else(no_job)?, "open").await?;
        if let Some(waiting) = self.lock().slots.get_mut(slot) {
            waiting.state = SlotState::Open;
            waiting.since = now;
        }
        Ok(())
    }

    async fn destroy(&self, slot: &SlotId) -> Result<(), Failure> {
        let running = self.lock().slots.get(slot).and_then(|slot| slot.running.clone());
        if let Some(running) = running.filter(|running| running.connected) {
            self.send(&running, "offline").await?;
        }
        self.lock().slots.remove(slot);
        self.changed.notify_one();
        Ok(())
    }

    async fn remains(&self, slot: &SlotId) -> Result<Remains, Failure> {
        Ok(if self.lock().slots.contains_key(slot) {
            Remains::Slot("the memory of this process".to_owned())
        } else {
            Remains::Nothing
        })
    }

    async fn list(&self) -> Result<Vec<Slot>, Failure> {
        self.advance().await?;
        let slot = |(id, slot): (&SlotId, &SyntheticSlot)| Slot {
            id: id.clone(),
            size: slot.size.clone(),
            runner: slot.running.as_ref().map(|running| running.name.clone()),
            state: slot.state.clone(),
            since: slot.since,
            made: Some(slot.made),
            booted: slot.booted,
        };
        Ok(self.lock().slots.iter().map(slot).collect())
    }

    async fn changed(&self) {
        let quiet = self.lock().slots.values().all(|slot| slot.state == SlotState::Ready);
        let look = async {
            if quiet {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
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
    async fn the_slots_of_an_earlier_process_are_not_listed() {
        let host = || SyntheticHost::new(reqwest::Client::new(), Arc::new(Still), Synthetic::default());
        let (before, after) = (host(), host());
        let old = before.boot(None).await.expect("a slot");
        let new = after.boot(None).await.expect("a slot");
        after.destroy(&old).await.expect("destroyed");
        let left = after.list().await.expect("slots");
        assert_eq!(left.iter().map(|slot| &slot.id).collect::<Vec<_>>(), [&new]);
    }
}
