//! Escalation of an alert to the second owner. An alert escalates at most once for each deadline of an episode.

use super::overdue::{Escalation, Overdue};
use super::record::{Alert, AlertState};

/// The owners of the service, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners {
    pub primary: Option<String>,
    pub secondary: Option<String>,
}

impl Owners {
    /// Returns the owner who must act on an alert: the latest one that it was escalated to, or the primary owner.
    #[must_use]
    pub fn of<'a>(&'a self, alert: &'a Alert) -> Option<&'a str> {
        let escalated = alert.escalations.iter().rev().find_map(|it| it.to.as_deref());
        escalated.or(self.primary.as_deref())
    }
}

impl Alert {
    /// Returns the escalated alert, which every sink receives again. Returns `None` if the alert belongs to another
    /// episode, is resolved, has escalated for this deadline, or was acknowledged in time.
    #[must_use]
    pub fn escalated(mut self, episode: u32, escalation: &Escalation) -> Option<Self> {
        let is_over = match escalation.overdue {
            Overdue::Acknowledgement => self.state != AlertState::Open,
            Overdue::Restoration => self.state == AlertState::Resolved,
        };
        if is_over || self.episode != episode || self.has_escalated_for(escalation.overdue) {
            return None;
        }
        self.escalations.push(escalation.clone());
        Some(self.with_news())
    }

    /// Reports whether the alert has escalated for this deadline in this episode.
    #[must_use]
    pub fn has_escalated_for(&self, overdue: Overdue) -> bool {
        self.escalations.iter().any(|it| it.overdue == overdue)
    }

    /// Returns the escalation that asks for an action now: the latest one, unless an acknowledgement or the end of the
    /// alert followed it.
    #[must_use]
    pub fn pressing(&self) -> Option<&Escalation> {
        let is_answered = |it: &&Escalation| self.acked_at.is_some_and(|acked_at| acked_at >= it.at);
        let latest = self.escalations.last().filter(|_| self.state != AlertState::Resolved);
        latest.filter(|it| !is_answered(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::{AlertKey, AlertKind};
    use crate::domain::ids::JobId;
    use crate::domain::samples::at;

    fn alert() -> Alert {
        let key = AlertKey::new(AlertKind::StolenRunner, None);
        Alert::new(&key, Some(JobId(1)), "it happened", at(0))
    }

    fn escalation(overdue: Overdue, second: i64) -> Escalation {
        Escalation {
            at: at(second),
            to: Some("infrastructure".to_owned()),
            overdue,
            since: at(0),
        }
    }

    #[test]
    fn an_alert_escalates_once_for_each_deadline_of_an_episode() {
        let (ack, restore) = (
            escalation(Overdue::Acknowledgement, 900),
            escalation(Overdue::Restoration, 1800),
        );
        let once = alert().escalated(1, &ack).expect("it is open");
        assert_eq!((once.revision, once.news), (2, 2), "every sink receives it again");
        assert_eq!(once.clone().escalated(1, &ack), None);
        assert_eq!(alert().escalated(2, &ack), None, "another episode");
        let twice = once.escalated(1, &restore).expect("it is open");
        assert_eq!(twice.escalations, [ack.clone(), restore.clone()]);
        let acked = alert().acked("ann", at(899)).expect("it is open");
        assert_eq!(acked.clone().escalated(1, &ack), None);
        assert!(
            acked.escalated(1, &restore).is_some(),
            "the restoration is still overdue"
        );
        assert_eq!(twice.resolved("ann", at(1900)).escalated(1, &restore), None);
        let other = Alert::new(
            &AlertKey::new(AlertKind::StolenRunner, None),
            Some(JobId(2)),
            "again",
            at(2000),
        );
        let once = alert().escalated(1, &ack).expect("it is open");
        let again = once.resolved("ann", at(1900)).raised_again(&other);
        assert_eq!(again.escalations, []);
        assert!(again.escalated(2, &ack).is_some());
    }

    #[test]
    fn an_escalation_is_pressing_until_a_person_acts() {
        let owners = Owners {
            primary: Some("ci".to_owned()),
            secondary: Some("infrastructure".to_owned()),
        };
        assert_eq!((alert().pressing(), owners.of(&alert())), (None, Some("ci")));
        let escalated = alert().escalated(1, &escalation(Overdue::Acknowledgement, 900));
        let escalated = escalated.expect("it is open");
        assert_eq!(
            escalated.pressing().map(|it| it.overdue),
            Some(Overdue::Acknowledgement)
        );
        assert_eq!(owners.of(&escalated), Some("infrastructure"));
        let acked = escalated.acked("ann", at(1000)).expect("it is open");
        assert_eq!(acked.pressing(), None);
        let again = acked.escalated(1, &escalation(Overdue::Restoration, 1800));
        let again = again.expect("it is not resolved");
        assert_eq!(again.pressing().map(|it| it.overdue), Some(Overdue::Restoration));
        assert_eq!(again.resolved("ann", at(1801)).pressing(), None);
    }
}
