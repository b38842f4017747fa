//! A host's slots as a test sees them, and the waiting for them. Shared by the tests of sandboxes and of virtual machines.

use super::TIMEOUT;
use jitgate::domain::slot::{Slot, SlotId, SlotState};
use jitgate::ports::RunnerHost;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// Interval between two looks at something that no event reports.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The name of the runner in a slot.
pub(crate) fn runner(slot: &SlotId) -> String {
    format!("chem-jit-abcdefgh-{}", slot.0)
}

pub(crate) async fn listed(host: &impl RunnerHost, id: &SlotId) -> Option<Slot> {
    let slots = host.list().await.expect("a list");
    slots.into_iter().find(|slot| slot.id == *id)
}

/// Waits for the host's events until a slot is as wanted. It fails at once when the slot has ended otherwise.
pub(crate) async fn until(host: &impl RunnerHost, id: &SlotId, wanted: impl Fn(&Slot) -> bool) -> Slot {
    let waiting = async {
        loop {
            let slot = listed(host, id).await.expect("it is listed");
            if wanted(&slot) {
                return slot;
            }
            assert!(!matches!(slot.state, SlotState::Ended(_)), "it ended: {slot:?}");
            host.changed().await;
        }
    };
    match timeout(TIMEOUT, waiting).await {
        Ok(slot) => slot,
        Err(_) => panic!("still {:?}", listed(host, id).await),
    }
}

/// Waits for what no event reports.
pub(crate) async fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let mut ticks = interval(LOOK_INTERVAL);
    let waiting = async {
        loop {
            ticks.tick().await;
            if let Some(seen) = look() {
                return seen;
            }
        }
    };
    timeout(TIMEOUT, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}
