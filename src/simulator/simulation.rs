//! The state of a simulator: the world, and the data that GitHub keeps about its callers.

use super::access::Tokens;
use super::apps::Apps;
use super::faults::Faults;
use super::outbox::Outbox;
use super::quota::Quota;
use super::render::webhook;
use super::state::State;
use super::world::Status;
use crate::ports::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Simulation {
    pub(super) state: State,
    pub(super) tokens: Tokens,
    pub(super) apps: Apps,
    pub(super) quota: Quota,
    pub(super) faults: Faults,
    pub(super) outbox: Outbox,
    pub(super) calls: BTreeMap<String, u64>,
}

impl Simulation {
    pub(super) fn new(clock: Arc<dyn Clock>, url: String) -> Self {
        Self::of(State::new(clock, url), Outbox::default())
    }

    fn of(state: State, outbox: Outbox) -> Self {
        Self {
            state,
            tokens: Tokens::default(),
            apps: Apps::default(),
            quota: Quota::default(),
            faults: Faults::default(),
            outbox,
            calls: BTreeMap::new(),
        }
    }

    /// Empties the world. Ids and GUIDs continue, because a jitgate that keeps running must not see one twice.
    pub(super) fn reset(&mut self) {
        *self = Self::of(self.state.emptied(), self.outbox.emptied());
    }

    /// Sends the delivery about a change of a job.
    pub(super) fn announce(&mut self, job: u64, action: Status) {
        if let Some(payload) = webhook::workflow_job(&self.state, action, job) {
            let fault = self.faults.next_delivery(self.outbox.has_waiting());
            self.outbox.announce(payload, self.state.now(), fault);
        }
    }
}
