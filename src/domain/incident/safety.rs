//! The safe routing state of an incident, and the deadlines of its owners.
//!
//! Routing that is off is safe, and so is an alert that is resolved. A safe state lasts until the alert is raised again
//! while routing is on.

use super::record::{Happened, Incident};
use super::state::{IncidentEvent, IncidentState};
use crate::domain::alert::{AlertKind, ITSELF, Overdue};
use chrono::{DateTime, TimeDelta, Utc};

/// The routing of a repository, as GitHub showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    On,
    Off {
        /// The time of the change, by GitHub's clock, if it is known.
        since: Option<DateTime<Utc>>,
        /// The person or `jitgate`, if known.
        by: Option<String>,
        /// The reason of this change, if known.
        why: Option<String>,
    },
}

/// The deadlines of the owners, from the start of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// The time in which a person must acknowledge the alert.
    pub acknowledgement: TimeDelta,
    /// The time in which there must be a safe routing state.
    pub restoration: TimeDelta,
}

impl Incident {
    /// Returns true if it must be known whether routing is off: there is no safe state, or the alert was raised again
    /// since routing was last seen off. Another repository's variable shows nothing.
    #[must_use]
    pub fn needs_routing(&self) -> bool {
        let is_raised_since = self.seen_off_at.is_some_and(|seen_at| self.last_at > seen_at);
        self.kind != AlertKind::RepositoryChanged
            && match self.state {
                IncidentState::Open | IncidentState::Acknowledged => true,
                IncidentState::Safe | IncidentState::Handled => is_raised_since && !self.is_contained(),
                IncidentState::Closed => false,
            }
    }

    /// Applies the routing that GitHub showed at `now`.
    pub fn see(&mut self, routing: &Routing, now: DateTime<Utc>) {
        if !self.needs_routing() {
            return;
        }
        match routing {
            Routing::Off { since, by, why } => {
                self.seen_off_at = Some(now);
                let why = why.as_deref().map_or_else(String::new, |why| format!(": {why}"));
                let by = by.as_deref();
                let at = since
                    .unwrap_or(now)
                    .clamp(self.unsafe_since, now.max(self.unsafe_since));
                self.make_safe(at, &format!("self-hosted routing is off{why}"), by);
            }
            Routing::On => {
                if self.apply(IncidentEvent::MadeUnsafe) {
                    self.unsafe_since = self.last_at;
                    (self.safe_at, self.safe_by, self.safe_how) = (None, None, None);
                    let what = "no safe routing state: raised again while self-hosted routing is on".to_owned();
                    self.enter(self.last_at, Happened::Unsafe, what, Some(ITSELF));
                }
            }
        }
    }

    /// Returns the deadlines that were missed and for which the alert has not escalated, each with the start of its time.
    #[must_use]
    pub fn overdue(&self, deadlines: &Deadlines, now: DateTime<Utc>) -> Vec<(Overdue, DateTime<Utc>)> {
        let running = self.running(deadlines);
        let missed = running.filter(|(_, _, ends_at)| *ends_at <= now);
        missed.map(|(overdue, since, _)| (overdue, since)).collect()
    }

    /// Returns the end of the next deadline.
    #[must_use]
    pub fn next_deadline(&self, deadlines: &Deadlines) -> Option<DateTime<Utc>> {
        self.running(deadlines).map(|(_, _, ends_at)| ends_at).min()
    }

    /// Returns each running deadline, with its start and its end.
    fn running(&self, deadlines: &Deadlines) -> impl Iterator<Item = (Overdue, DateTime<Utc>, DateTime<Utc>)> {
        let of = |overdue| match overdue {
            Overdue::Acknowledgement => (self.state.is_acknowledged(), self.opened_at, deadlines.acknowledgement),
            Overdue::Restoration => (self.state.is_safe(), self.unsafe_since, deadlines.restoration),
        };
        let running = Overdue::ALL.map(|overdue| {
            let (is_met, since, time) = of(overdue);
            let is_escalated = self.escalations.iter().any(|it| it.overdue == overdue);
            (!is_met && !is_escalated).then_some((overdue, since, since + time))
        });
        running.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::{Alert, AlertKey, Escalation};
    use crate::domain::ids::JobId;
    use crate::domain::routing_verdict::RoutingVerdict;
    use crate::domain::samples::at;

    const DEADLINES: Deadlines = Deadlines {
        acknowledgement: TimeDelta::seconds(900),
        restoration: TimeDelta::seconds(1800),
    };
    const OFF: Routing = Routing::Off {
        since: None,
        by: None,
        why: None,
    };

    fn alert(verdict: RoutingVerdict) -> Alert {
        let key = AlertKey::new(AlertKind::UntrustedOnSelfHosted, None).of_author(verdict, None);
        Alert::new(&key, Some(JobId(1)), "it happened", at(0))
    }

    fn overdue(incident: &Incident, second: i64) -> Vec<Overdue> {
        let overdue = incident.overdue(&DEADLINES, at(second));
        overdue.into_iter().map(|(overdue, _)| overdue).collect()
    }

    fn escalated(alert: Alert, overdue: Overdue, second: i64) -> Alert {
        let escalation = Escalation {
            at: at(second),
            to: None,
            overdue,
            since: at(0),
        };
        alert.escalated(1, &escalation).expect("it was not escalated")
    }

    #[test]
    fn each_deadline_is_missed_once_and_at_its_second() {
        let alert = alert(RoutingVerdict::Misroute);
        let mut incident = Incident::open(&alert);
        assert_eq!(incident.next_deadline(&DEADLINES), Some(at(900)));
        assert_eq!(overdue(&incident, 899), []);
        assert_eq!(overdue(&incident, 900), [Overdue::Acknowledgement]);
        assert_eq!(
            overdue(&incident, 1800),
            Overdue::ALL,
            "after a long outage both are missed"
        );
        let alert = escalated(alert, Overdue::Acknowledgement, 900);
        incident.follow(&alert);
        assert_eq!(overdue(&incident, 1799), []);
        assert_eq!(overdue(&incident, 1800), [Overdue::Restoration]);
        incident.follow(&escalated(alert, Overdue::Restoration, 1800));
        assert_eq!(
            (overdue(&incident, 9000), incident.next_deadline(&DEADLINES)),
            (vec![], None)
        );
    }

    #[test]
    fn an_acknowledgement_does_not_stop_the_restoration_nor_a_safe_state_the_acknowledgement() {
        let alert = alert(RoutingVerdict::Misroute);
        let (mut acknowledged, mut safe) = (Incident::open(&alert), Incident::open(&alert));
        acknowledged.follow(&alert.acked("ann", at(899)).expect("it is open"));
        assert_eq!(overdue(&acknowledged, 1800), [Overdue::Restoration]);
        safe.see(&OFF, at(20));
        assert_eq!(overdue(&safe, 1800), [Overdue::Acknowledgement]);
        acknowledged.see(&OFF, at(1799));
        assert_eq!(overdue(&acknowledged, 1800), []);
    }

    #[test]
    fn the_safe_state_begins_when_routing_went_off_but_not_before_the_incident() {
        for (since, safe_at) in [(None, 50), (Some(30), 30), (Some(-5), 0), (Some(70), 50)] {
            let mut incident = Incident::open(&alert(RoutingVerdict::Misroute));
            incident.see(
                &Routing::Off {
                    since: since.map(at),
                    by: Some("alice".to_owned()),
                    why: Some("misroutes".to_owned()),
                },
                at(50),
            );
            assert_eq!(
                (incident.safe_at, incident.safe_by.as_deref()),
                (Some(at(safe_at)), Some("alice"))
            );
            assert_eq!(
                incident.safe_how.as_deref(),
                Some("self-hosted routing is off: misroutes")
            );
        }
    }

    #[test]
    fn a_repeat_while_routing_is_on_is_unsafe_again() {
        let first = alert(RoutingVerdict::Misroute);
        let mut incident = Incident::open(&first);
        incident.see(&Routing::On, at(5));
        assert_eq!(incident.unsafe_since, at(0), "it was never safe");
        incident.see(&OFF, at(10));
        assert!(!incident.needs_routing(), "nothing happened since");
        let mut repeat = alert(RoutingVerdict::Misroute);
        (repeat.jobs, repeat.job_id, repeat.last_at) = (vec![2], Some(2), at(400));
        incident.follow(&first.raised_again(&repeat));
        assert!(incident.needs_routing());
        let mut still_off = incident.clone();
        still_off.see(&OFF, at(401));
        assert_eq!(
            (still_off.state, still_off.safe_at),
            (IncidentState::Safe, Some(at(10)))
        );
        assert!(!still_off.needs_routing());
        incident.see(&Routing::On, at(401));
        assert_eq!((incident.state, incident.safe_at), (IncidentState::Open, None));
        assert_eq!(overdue(&incident, 2199), [Overdue::Acknowledgement]);
        assert!(overdue(&incident, 2200).contains(&Overdue::Restoration));
    }

    #[test]
    fn neither_a_contained_attempt_nor_a_strangers_repository_needs_the_variable() {
        let first = alert(RoutingVerdict::Attempt);
        let mut attempt = Incident::open(&first);
        attempt.last_at = at(50);
        assert!(!attempt.needs_routing());
        assert_eq!(overdue(&attempt, 1800), [Overdue::Acknowledgement]);
        let key = AlertKey::new(AlertKind::RepositoryChanged, None);
        let mut changed = Incident::open(&Alert::new(&key, None, "it has another id", at(0)));
        changed.see(&OFF, at(1));
        assert_eq!((changed.state, changed.needs_routing()), (IncidentState::Open, false));
    }
}
