//! The life cycle of an alert: raised, acknowledged, resolved, and reopened.
//!
//! A resolved alert reopens, with a new count, when it is raised for a job that it has not counted. Late events of a
//! counted job change nothing, except for an alert about a state, which can return for the same job.

use super::inert::inert;
use super::key::MAX_NAME_CHARS;
use super::record::{Alert, AlertState, PastEpisode};
use chrono::{DateTime, TimeDelta, Utc};

/// Number of jobs that an alert remembers.
const MAX_JOBS: usize = 64;

/// The name of the resolver of alerts that end by themselves.
pub const ITSELF: &str = "jitgate";

impl Alert {
    /// Returns the alert after it is raised once more. A job that it knows changes nothing.
    #[must_use]
    pub fn raised_again(mut self, by: &Self) -> Self {
        let is_known = by.job_id.is_some_and(|job| self.jobs.contains(&job));
        let is_over = self.state == AlertState::Resolved;
        let still_waits = by.job_id.is_none_or(|job| self.waiting.contains(&job));
        if is_known && (!self.kind.lasts() || (!is_over && still_waits)) {
            return self;
        }
        if is_over {
            self.earlier = Some(PastEpisode {
                episode: self.episode,
                opened_at: self.opened_at,
                acked_at: self.acked_at,
                acked_by: self.acked_by,
                resolved_at: self.resolved_at,
                resolved_by: self.resolved_by,
            });
            self.state = AlertState::Open;
            self.episode += 1;
            self.opened_at = by.last_at;
            self.count = 1;
            (self.acked_at, self.acked_by) = (None, None);
            (self.resolved_at, self.resolved_by) = (None, None);
            self.escalations.clear();
            self.waiting.clear();
        } else if !is_known {
            self.count += 1;
        }
        if let Some(job) = by.job_id {
            remember(&mut self.jobs, job);
            if self.kind.lasts() {
                remember(&mut self.waiting, job);
            }
            self.job_id = Some(job);
        }
        self.last_at = self.last_at.max(by.last_at);
        self.summary.clone_from(&by.summary);
        self.changed(is_over)
    }

    /// Returns the acknowledged alert. An earlier acknowledgement is kept, and a resolved alert gives `None`.
    #[must_use]
    pub fn acked(mut self, by: &str, at: DateTime<Utc>) -> Option<Self> {
        match self.state {
            AlertState::Resolved => None,
            AlertState::Acked => Some(self),
            AlertState::Open => {
                self.state = AlertState::Acked;
                self.acked_at = Some(at);
                self.acked_by = Some(inert(by, MAX_NAME_CHARS));
                Some(self.changed(true))
            }
        }
    }

    /// Returns the resolved alert.
    #[must_use]
    pub fn resolved(mut self, by: &str, at: DateTime<Utc>) -> Self {
        if self.state == AlertState::Resolved {
            return self;
        }
        self.state = AlertState::Resolved;
        self.resolved_at = Some(at);
        self.resolved_by = Some(inert(by, MAX_NAME_CHARS));
        self.waiting.clear();
        self.changed(true)
    }

    /// Returns the alert after its cause ended for one job, or for all jobs if none is given.
    #[must_use]
    pub fn over_for(mut self, job: Option<u64>, at: DateTime<Utc>) -> Self {
        if let Some(job) = job {
            if !self.waiting.contains(&job) {
                return self;
            }
            self.waiting.retain(|waiting| *waiting != job);
            if !self.waiting.is_empty() {
                return self;
            }
        }
        self.resolved(ITSELF, at)
    }

    /// Returns true if the alert is over because it was not raised again for `retention`. An alert about a state lasts
    /// until the state ends.
    #[must_use]
    pub fn is_outlived(&self, after: TimeDelta, now: DateTime<Utc>) -> bool {
        self.state != AlertState::Resolved && !self.kind.lasts() && now - self.last_at >= after
    }

    /// Returns the alert with a change that every sink receives without delay.
    pub(super) fn with_news(self) -> Self {
        self.changed(true)
    }

    fn changed(mut self, is_news: bool) -> Self {
        self.revision += 1;
        if is_news {
            self.news = self.revision;
        }
        self
    }
}

fn remember(jobs: &mut Vec<u64>, job: u64) {
    if !jobs.contains(&job) {
        jobs.push(job);
        let surplus = jobs.len().saturating_sub(MAX_JOBS);
        jobs.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::{AlertKey, AlertKind};
    use crate::domain::ids::{JobId, RepositoryName};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200 + second, 0).expect("in range")
    }

    fn alert(kind: AlertKind, job: u64, second: i64) -> Alert {
        let repository = RepositoryName::parse("octo/chem").expect("a name");
        let key = AlertKey::new(kind, Some(&repository));
        Alert::new(&key, Some(JobId(job)), "it happened", at(second))
    }

    #[test]
    fn what_a_job_did_opens_again_for_another_job_only() {
        let first = alert(AlertKind::StolenRunner, 1, 0);
        let over = first.acked("ann", at(1)).expect("it is open").resolved("ann", at(2));
        assert_eq!(over.clone().raised_again(&alert(AlertKind::StolenRunner, 1, 3)), over);
        let again = over.clone().raised_again(&alert(AlertKind::StolenRunner, 2, 3));
        assert_eq!((again.state, again.episode, again.count), (AlertState::Open, 2, 1));
        assert_eq!((again.first_at, again.opened_at), (at(0), at(3)));
        assert_eq!((&again.acked_by, &again.resolved_by), (&None, &None));
        assert_eq!(again.news, again.revision);
        assert_eq!(
            again.acked("bob", at(4)).and_then(|alert| alert.acked_by).as_deref(),
            Some("bob")
        );
        assert_eq!(over.acked("bob", at(4)), None);
    }

    #[test]
    fn a_state_is_over_once_it_is_for_every_job_and_may_come_back() {
        let kind = AlertKind::TrustUndecided;
        let both = alert(kind, 1, 0).raised_again(&alert(kind, 2, 1));
        assert_eq!((both.count, both.news), (2, 1), "a repeat is no news");
        assert_eq!(both.clone().raised_again(&alert(kind, 2, 2)), both);
        let one = both.clone().over_for(Some(1), at(3));
        assert_eq!(one.state, AlertState::Open);
        assert_eq!(one.clone().over_for(Some(7), at(4)), one, "a job it knows nothing of");
        let none = one.over_for(Some(2), at(4));
        assert_eq!(
            (none.state, none.resolved_by.as_deref()),
            (AlertState::Resolved, Some(ITSELF))
        );
        assert_eq!(none.raised_again(&alert(kind, 1, 5)).episode, 2);
        assert_eq!(both.over_for(None, at(3)).state, AlertState::Resolved);
    }

    #[test]
    fn only_what_happened_is_outlived() {
        let day = TimeDelta::days(1);
        assert!(alert(AlertKind::StolenRunner, 1, 0).is_outlived(day, at(86_400)));
        assert!(!alert(AlertKind::StolenRunner, 1, 0).is_outlived(day, at(86_399)));
        assert!(!alert(AlertKind::Rollback, 1, 0).is_outlived(day, at(90_000)));
    }

    #[test]
    fn without_a_job_every_time_counts_and_jobs_are_bounded() {
        let kind = AlertKind::OldWebhookSecretUsed;
        let key = AlertKey::new(kind, None).caused_by("position-1");
        let used = |second| Alert::new(&key, None, "it was used", at(second));
        assert_eq!(used(0).raised_again(&used(1)).raised_again(&used(2)).count, 3);
        let many = (2..=500).fold(alert(AlertKind::JobStuck, 1, 0), |alert, job| {
            alert.raised_again(&self::alert(AlertKind::JobStuck, job, 1))
        });
        assert_eq!((many.count, many.jobs.len(), many.waiting.len()), (500, 64, 64));
    }
}
