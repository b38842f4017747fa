//! Measurements of jobs, runners and slots. Each is taken once although events arrive twice and in any order, because
//! the records show what is already known.

use super::records::{Entry, JobRecord, RunnerRecord};
use crate::domain::event::{Action, JobEvent};
use crate::domain::labels::LabelsClass;
use crate::domain::runner::RunnerState;
use crate::domain::slot::{Slot, SlotId, SlotState};
use crate::domain::trust::Trust;
use crate::ports::event::{Event, Observer};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::time::Duration;

/// Time after which a requested slot that the host does not list is forgotten.
const BOOT_TIMEOUT: TimeDelta = TimeDelta::hours(1);

/// The durations that an event shows for the first time about a trusted job of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Heard {
    queue_wait: Option<Duration>,
    setup_latency: Option<Duration>,
}

impl Heard {
    /// Compares an event and its decision with the record of the job.
    pub(super) fn of(known: Option<&JobRecord>, event: &JobEvent, entry: &Entry) -> Self {
        let is_new = |action: Action, counts: fn(&Entry) -> bool| {
            let known = known.into_iter().flat_map(|record| &record.decisions);
            let mut before = known.filter(|known| known.decision.action == action);
            event.action == action && counts(entry) && !before.any(counts)
        };
        Self {
            queue_wait: event
                .job
                .queue_wait()
                .filter(|_| is_new(Action::InProgress, is_of_the_pool)),
            setup_latency: event
                .job
                .setup_latency()
                .filter(|_| is_new(Action::Completed, ran_on_ours)),
        }
    }

    pub(super) fn report(self, observer: &dyn Observer) {
        if let Some(waited) = self.queue_wait {
            observer.observe(&Event::JobStarted { waited });
        }
        if let Some(took) = self.setup_latency {
            observer.observe(&Event::JobSetUp { took });
        }
    }
}

fn is_of_the_pool(entry: &Entry) -> bool {
    let decision = &entry.decision;
    decision.trust.verdict == Trust::Trusted && decision.labels_class == LabelsClass::Pool
}

fn ran_on_ours(entry: &Entry) -> bool {
    is_of_the_pool(entry) && entry.facts.ledger.taken_by.is_some()
}

/// Returns the time between the registration of a runner and its first job; `None` if it had no job.
pub(super) fn pickup(runner: &RunnerRecord) -> Option<Duration> {
    let came_to = |state| {
        let mut entered = runner.history.iter().filter(|entered| entered.state == state);
        entered.next().map(|entered| entered.at)
    };
    let had_a_job = runner.taken_at.into_iter().chain(came_to(RunnerState::Gated)).min()?;
    (had_a_job - came_to(RunnerState::Minted)?).to_std().ok()
}

/// The requested slots that are not ready yet. Those of before a restart are not measured.
#[derive(Debug, Default)]
pub(super) struct Boots(HashMap<SlotId, DateTime<Utc>>);

impl Boots {
    /// Records the request of a slot.
    pub(super) fn asked(&mut self, slot: SlotId, at: DateTime<Utc>) {
        self.0.insert(slot, at);
    }

    /// Compares with the host's list. Returns the boot times of the slots that are ready now.
    pub(super) fn seen(&mut self, slots: &[Slot], now: DateTime<Utc>) -> Vec<Duration> {
        let mut took = Vec::new();
        self.0
            .retain(|id, asked| match slots.iter().find(|slot| slot.id == *id) {
                // The slot is not listed yet, or it is lost.
                None => now - *asked < BOOT_TIMEOUT,
                Some(slot) if slot.state == SlotState::Ready => {
                    took.extend((slot.since - *asked).to_std());
                    false
                }
                Some(slot) => slot.state == SlotState::Booting,
            });
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{JobId, RepositoryName};
    use crate::domain::runner::RunnerEvent;
    use crate::domain::samples::at;

    fn slot(id: &str, state: SlotState, since: i64) -> Slot {
        Slot {
            id: SlotId(id.to_owned()),
            size: None,
            runner: None,
            state,
            since: at(since),
            made: None,
            booted: None,
        }
    }

    #[test]
    fn a_boot_is_measured_once_and_from_the_asking_to_the_readiness() {
        let mut boots = Boots::default();
        for id in ["a", "b", "lost"] {
            boots.asked(SlotId(id.to_owned()), at(10));
        }
        let booting = [slot("a", SlotState::Booting, 11), slot("b", SlotState::Booting, 11)];
        assert!(boots.seen(&booting, at(12)).is_empty());
        let mixed = [
            slot("a", SlotState::Ready, 15),
            slot("b", SlotState::Ended(crate::domain::slot::Ending::Lost), 16),
        ];
        assert_eq!(boots.seen(&mixed, at(20)), [Duration::from_secs(5)]);
        assert!(boots.seen(&mixed, at(20)).is_empty());
        assert_eq!(boots.0.len(), 1);
        boots.seen(&mixed, at(20 + 3600));
        assert!(boots.0.is_empty(), "what got lost is forgotten");
    }

    #[test]
    fn a_runner_is_picked_up_by_whatever_was_heard_of_first() {
        let repository = RepositoryName::parse("o/r").expect("a name");
        let named = RunnerRecord::named("n".to_owned(), "i", repository, JobId(1), "s", at(0));
        let mut runner = named.clone();
        runner.advance(RunnerEvent::Made, at(1));
        assert_eq!(pickup(&runner), None);
        runner.advance(RunnerEvent::Knocked, at(8));
        assert_eq!(pickup(&runner), Some(Duration::from_secs(7)));
        runner.taken_at = Some(at(9));
        assert_eq!(pickup(&runner), Some(Duration::from_secs(7)));
        let unmade = RunnerRecord {
            taken_at: Some(at(9)),
            ..named
        };
        assert_eq!(pickup(&unmade), None);
    }
}
