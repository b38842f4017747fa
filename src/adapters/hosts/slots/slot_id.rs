//! The ids of slots. They are unique on every machine, because processes are found by them, and contain the time at which the
//! slot was made.

use crate::domain::slot::SlotId;
use chrono::{DateTime, Utc};

/// Returns the id of a slot that is made now.
pub(super) fn new(now: DateTime<Utc>, random: [u8; 8]) -> SlotId {
    SlotId(format!("slot-{:x}-{}", now.timestamp_millis(), hex::encode(random)))
}

/// Returns the time at which a slot was made, in whole milliseconds, or none for an id of another form.
pub(super) fn time_of(id: &SlotId) -> Option<DateTime<Utc>> {
    let (millis, _) = id.0.strip_prefix("slot-")?.split_once('-')?;
    DateTime::from_timestamp_millis(i64::from_str_radix(millis, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    #[test]
    fn an_id_tells_when_its_slot_was_made() {
        let id = new(at(1_000_000), [7; 8]);
        assert_eq!(id.0, "slot-3b9aca00-0707070707070707");
        assert_eq!(time_of(&id), Some(at(1_000_000)));
        for other in ["slot", "slot-1", "slot-x-1", "synthetic-1-2"] {
            assert_eq!(time_of(&SlotId(other.to_owned())), None, "{other}");
        }
    }
}
