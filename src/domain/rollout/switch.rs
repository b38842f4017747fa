//! The routing variable as it was last seen, and announced changes of it.

use super::change::Origin;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Time in which an announced change must show at GitHub. Later changes are not attributed to it.
const INTENT_TIMEOUT: TimeDelta = TimeDelta::minutes(10);

/// The routing variable at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// True if the variable switches routing on. A missing variable does not.
    pub on: bool,
    /// The time of its last change by GitHub's clock; none if the variable does not exist.
    pub updated_at: Option<DateTime<Utc>>,
    /// The time of the question.
    pub seen_at: DateTime<Utc>,
}

impl Switch {
    /// Reports whether GitHub's answer is newer than an earlier one. GitHub's clock has a resolution of one second.
    #[must_use]
    pub fn is_newer_than(&self, earlier: &Self) -> bool {
        match (self.updated_at, earlier.updated_at) {
            (Some(now), Some(before)) if now != before => now > before,
            _ => self.on != earlier.on && self.seen_at > earlier.seen_at,
        }
    }
}

/// A change of the variable that is announced before it is made, so that the history has its author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub on: bool,
    #[serde(flatten)]
    pub origin: Origin,
}

impl Intent {
    /// Reports whether the change to `on` that is seen now is the announced one.
    #[must_use]
    pub fn explains(&self, on: bool, now: DateTime<Utc>) -> bool {
        self.on == on && now - self.origin.at <= INTENT_TIMEOUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    #[test]
    fn a_stale_answer_is_no_change() {
        let seen = |on, updated: Option<i64>, seen| Switch {
            on,
            updated_at: updated.map(at),
            seen_at: at(seen),
        };
        let known = seen(true, Some(10), 20);
        for (answer, is_newer) in [
            (seen(false, Some(11), 15), true),
            (seen(false, Some(9), 25), false),
            (seen(true, Some(10), 25), false),
            (seen(false, Some(10), 25), true),
            (seen(false, Some(10), 15), false),
            (seen(false, None, 25), true),
            (seen(false, None, 15), false),
        ] {
            assert_eq!(answer.is_newer_than(&known), is_newer, "{answer:?}");
        }
    }

    #[test]
    fn an_announced_change_explains_only_itself() {
        let origin = Origin {
            by: Some("alice".to_owned()),
            why: None,
            at: at(0),
        };
        let intent = Intent { on: false, origin };
        assert!(intent.explains(false, at(600)));
        assert!(!intent.explains(true, at(1)) && !intent.explains(false, at(601)));
    }
}
