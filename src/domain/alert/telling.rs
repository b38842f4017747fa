//! The delivery schedule of an alert for each sink.

use super::record::{Alert, AlertState, Told};
use crate::domain::retry::backoff;
use chrono::{DateTime, TimeDelta, Utc};

/// The delivery intervals of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The minimum time between two messages if the alert was only repeated.
    pub quiet: TimeDelta,
    /// The interval of reminders about an open alert that did not change. `None` sends no reminders.
    pub refresh: Option<TimeDelta>,
}

impl Alert {
    /// Returns the time of the next message to `sink`, or `None` if it needs none.
    #[must_use]
    pub fn due_at(&self, sink: &str, pace: &Pace) -> Option<DateTime<Utc>> {
        let nothing = Told::default();
        let told = self.told.get(sink).unwrap_or(&nothing);
        let after = |wait| told.at.map_or(self.opened_at, |at| at + wait);
        let wanted_at = if told.revision < self.news {
            self.opened_at
        } else if told.revision < self.revision {
            after(pace.quiet)
        } else if self.state == AlertState::Resolved {
            return None;
        } else {
            after(pace.refresh?)
        };
        Some(told.next_at.map_or(wanted_at, |next_at| next_at.max(wanted_at)))
    }

    /// Returns true if the alert is resolved and every sink has been notified.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.state == AlertState::Resolved && self.told.values().all(|told| told.revision >= self.revision)
    }

    /// Returns the alert with an attempt for `sink` in progress; no other worker makes one before `patience` has
    /// passed. The attempt is counted before it is made, so that another one follows a crash.
    #[must_use]
    pub fn being_told(mut self, sink: &str, now: DateTime<Utc>, patience: TimeDelta) -> Self {
        let told = self.told.entry(sink.to_owned()).or_default();
        told.attempts = told.attempts.saturating_add(1);
        told.next_at = Some(now + patience);
        self
    }

    /// Returns the alert after `sink` accepted it at `revision`.
    #[must_use]
    pub fn told_to(mut self, sink: &str, revision: u64, now: DateTime<Utc>) -> Self {
        let told = self.told.entry(sink.to_owned()).or_default();
        *told = Told {
            revision: told.revision.max(revision),
            at: Some(now),
            ..Told::default()
        };
        self
    }

    /// Returns the alert after `sink` refused it and asked for no attempt before `not_before`.
    #[must_use]
    pub fn not_told_to(
        mut self,
        sink: &str,
        why: &str,
        now: DateTime<Utc>,
        not_before: Option<DateTime<Utc>>,
        jitter: f64,
    ) -> Self {
        let told = self.told.entry(sink.to_owned()).or_default();
        let next_at = now + backoff(told.attempts.saturating_sub(1), jitter);
        told.next_at = Some(not_before.map_or(next_at, |not_before| not_before.max(next_at)));
        told.failure = Some(why.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::{AlertKey, AlertKind};
    use crate::domain::ids::JobId;

    const PACE: Pace = Pace {
        quiet: TimeDelta::seconds(600),
        refresh: Some(TimeDelta::seconds(60)),
    };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200 + second, 0).expect("in range")
    }

    fn alert(job: u64) -> Alert {
        let key = AlertKey::new(AlertKind::StolenRunner, None);
        Alert::new(&key, Some(JobId(job)), "it happened", at(0))
    }

    #[test]
    fn news_are_told_at_once_repeats_after_a_while_and_what_is_open_now_and_then() {
        let pace = Pace { refresh: None, ..PACE };
        let told = alert(1).told_to("s", 1, at(5));
        assert_eq!(alert(1).due_at("s", &PACE), Some(at(0)));
        assert_eq!(told.due_at("s", &PACE), Some(at(65)));
        assert_eq!(told.due_at("s", &pace), None);
        assert_eq!(told.due_at("other", &pace), Some(at(0)), "one that was added since");
        let repeated = told.raised_again(&alert(2));
        assert_eq!(repeated.due_at("s", &pace), Some(at(605)));
        let over = repeated.resolved("ann", at(6));
        assert_eq!(over.due_at("s", &pace), Some(at(0)));
        assert!(!over.is_settled());
        let known = over.told_to("s", 3, at(7));
        assert_eq!((known.due_at("s", &PACE), known.is_settled()), (None, true));
    }

    #[test]
    fn a_try_is_repeated_after_a_crash_and_after_a_failure_and_never_undone_by_a_late_answer() {
        let tried = alert(1).being_told("s", at(0), TimeDelta::seconds(30));
        assert_eq!(tried.due_at("s", &PACE), Some(at(30)));
        let failed = tried.not_told_to("s", "it is down", at(1), None, 0.0);
        assert_eq!(failed.due_at("s", &PACE), Some(at(2)));
        let twice = failed.being_told("s", at(2), TimeDelta::seconds(30));
        let limited = twice.clone().not_told_to("s", "too many", at(3), Some(at(90)), 0.0);
        assert_eq!(limited.due_at("s", &PACE), Some(at(90)));
        let failed = twice.not_told_to("s", "it is down", at(3), None, 0.0);
        assert_eq!(
            failed.due_at("s", &PACE),
            Some(at(5)),
            "the second failure waits longer"
        );
        let told = failed.told_to("s", 1, at(6)).told_to("s", 0, at(7));
        assert_eq!(
            told.told.get("s").map(|told| (told.revision, told.attempts)),
            Some((1, 0))
        );
    }
}
