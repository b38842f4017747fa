//! The incident as a mirror of its alert: every change of the alert in this episode becomes an event of the incident.
//! The alert is authoritative for acknowledgement, escalation and end, so a repeated call changes nothing.

use super::record::{Happened, Incident, TimelineEntry};
use super::state::{IncidentEvent, IncidentState};
use crate::domain::alert::{Alert, AlertKind, AlertState, Escalation, ITSELF, PastEpisode};
use crate::domain::routing_verdict::RoutingVerdict;
use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::BTreeMap;

/// A change of the alert that the incident does not know yet.
enum Change<'a> {
    Repeated,
    Sent(&'a str, u64),
    Acknowledged(Option<&'a str>),
    Escalated(&'a Escalation),
    Closed(Option<&'a str>),
}

impl Incident {
    /// Returns the incident of the alert's current episode as it was when the alert opened. A contained attempt is safe
    /// from the start.
    #[must_use]
    pub fn open(alert: &Alert) -> Self {
        let (id, opened_at) = (Self::id_of(&alert.id, alert.episode), alert.opened_at);
        let mut incident = Self {
            id,
            alert: alert.id.clone(),
            episode: alert.episode,
            kind: alert.kind,
            severity: alert.severity,
            repository: alert.repository.clone(),
            verdict: alert.verdict.clone(),
            summary: alert.summary.clone(),
            state: IncidentState::Open,
            count: 1,
            opened_at,
            last_at: opened_at,
            acknowledged_at: None,
            acknowledged_by: None,
            escalations: Vec::new(),
            unsafe_since: opened_at,
            safe_at: None,
            safe_by: None,
            safe_how: None,
            seen_off_at: None,
            closed_at: None,
            closed_by: None,
            jobs: Vec::new(),
            evidence: Vec::new(),
            findings: Vec::new(),
            timeline: Vec::new(),
            told: BTreeMap::new(),
        };
        incident.enter(opened_at, Happened::Opened, alert.summary.clone(), Some(ITSELF));
        if incident.is_contained() {
            incident.make_safe(opened_at, "the job was contained and reached no step", Some(ITSELF));
        }
        incident
    }

    /// Returns true if the incident is an attempt that the design contains. A theft is one, too: the verdict is `attempt`
    /// only if the job gate let no step start, and otherwise `misroute`.
    #[must_use]
    pub fn is_contained(&self) -> bool {
        let can_be_contained = matches!(self.kind, AlertKind::UntrustedOnSelfHosted | AlertKind::StolenRunner);
        can_be_contained && self.verdict == RoutingVerdict::Attempt.as_str()
    }

    /// Applies what the alert shows and the incident does not know yet. If the alert has reopened, the incident ends with
    /// its episode.
    pub fn follow(&mut self, alert: &Alert) {
        if alert.id != self.alert || alert.episode < self.episode {
            return;
        }
        if alert.episode > self.episode {
            let earlier = alert.earlier.as_ref().filter(|past| past.episode == self.episode);
            return self.end_with(earlier, alert.opened_at);
        }
        self.jobs = jobs_of_the_episode(alert);
        let mut changes = self.unknown_changes(alert);
        changes.sort_by_key(|(at, _)| *at);
        for (at, change) in changes {
            self.apply_change(at, change, alert);
        }
    }

    fn unknown_changes<'a>(&self, alert: &'a Alert) -> Vec<(DateTime<Utc>, Change<'a>)> {
        let mut changes = Vec::new();
        if alert.count > self.count {
            changes.push((alert.last_at, Change::Repeated));
        }
        for (sink, told) in &alert.told {
            let known = self.told.get(sink).copied().unwrap_or_default();
            if let Some(at) = told.at.filter(|at| *at >= self.opened_at)
                && told.revision >= alert.news
                && known < alert.news
            {
                changes.push((at, Change::Sent(sink, told.revision)));
            }
        }
        if let Some(at) = alert.acked_at.filter(|_| self.acknowledged_at.is_none()) {
            changes.push((at, Change::Acknowledged(alert.acked_by.as_deref())));
        }
        let is_new = |it: &&Escalation| !self.escalations.iter().any(|known| known.overdue == it.overdue);
        let escalations = alert.escalations.iter().filter(is_new);
        changes.extend(escalations.map(|it| (it.at, Change::Escalated(it))));
        if let Some(at) = alert.resolved_at.filter(|_| alert.state == AlertState::Resolved) {
            changes.push((at, Change::Closed(alert.resolved_by.as_deref())));
        }
        changes
    }

    fn apply_change(&mut self, at: DateTime<Utc>, change: Change<'_>, alert: &Alert) {
        match change {
            Change::Repeated => {
                (self.count, self.last_at) = (alert.count, alert.last_at);
                self.summary.clone_from(&alert.summary);
                let what = format!("raised again, {} times in all", alert.count);
                self.enter(at, Happened::Repeated, what, Some(ITSELF));
            }
            Change::Sent(sink, revision) => {
                self.told.insert(sink.to_owned(), revision);
                let what = format!("{} sent to {sink}", subject(alert));
                self.enter(at, Happened::Sent, what, Some(ITSELF));
            }
            Change::Acknowledged(by) => self.acknowledge(at, by),
            Change::Escalated(escalation) => self.escalate(escalation),
            Change::Closed(by) => self.close(at, by),
        }
    }

    fn acknowledge(&mut self, at: DateTime<Utc>, by: Option<&str>) {
        if self.apply(IncidentEvent::Acknowledged) {
            self.acknowledged_at = Some(at);
            self.acknowledged_by = by.map(str::to_owned);
            self.enter(at, Happened::Acknowledged, "acknowledged".to_owned(), by);
        }
    }

    fn escalate(&mut self, escalation: &Escalation) {
        if self.apply(IncidentEvent::Escalated) {
            self.escalations.push(escalation.clone());
            let to = escalation.to.as_deref().unwrap_or("all receivers");
            let since = escalation.since.to_rfc3339_opts(SecondsFormat::Secs, true);
            let what = format!("escalated to {to}: {} {since}", escalation.overdue.in_words());
            self.enter(escalation.at, Happened::Escalated, what, Some(ITSELF));
        }
    }

    fn close(&mut self, at: DateTime<Utc>, by: Option<&str>) {
        if !self.state.is_safe() {
            self.make_safe(at, "the alert was resolved", by);
        }
        if self.apply(IncidentEvent::Closed) {
            self.closed_at = Some(at);
            self.closed_by = by.map(str::to_owned);
            self.enter(at, Happened::Closed, "resolved".to_owned(), by);
        }
    }

    /// Ends the incident of an episode that another one has followed.
    fn end_with(&mut self, earlier: Option<&PastEpisode>, at: DateTime<Utc>) {
        let Some(past) = earlier else {
            return self.close(at, None);
        };
        if let Some(at) = past.acked_at.filter(|_| self.acknowledged_at.is_none()) {
            self.acknowledge(at, past.acked_by.as_deref());
        }
        self.close(past.resolved_at.unwrap_or(at), past.resolved_by.as_deref());
    }

    pub(super) fn make_safe(&mut self, at: DateTime<Utc>, how: &str, by: Option<&str>) {
        if self.apply(IncidentEvent::MadeSafe) {
            self.safe_at = Some(at);
            self.safe_by = by.map(str::to_owned);
            self.safe_how = Some(how.to_owned());
            self.enter(at, Happened::Safe, format!("safe routing state: {how}"), by);
        }
    }

    pub(super) fn enter(&mut self, at: DateTime<Utc>, event: Happened, what: String, by: Option<&str>) {
        let by = by.map(str::to_owned);
        self.note(TimelineEntry { at, event, what, by });
    }
}

/// Returns the subject of the latest message to the sinks.
fn subject(alert: &Alert) -> &'static str {
    match alert.state {
        AlertState::Resolved => "the end of the alert was",
        _ if alert.pressing().is_some() => "the escalation was",
        AlertState::Acked => "the acknowledgement was",
        AlertState::Open => "the alert was",
    }
}

/// Returns the jobs of the alert's current episode. The alert also remembers jobs of earlier ones.
fn jobs_of_the_episode(alert: &Alert) -> Vec<u64> {
    let count = usize::try_from(alert.count).unwrap_or(usize::MAX);
    let before = alert.jobs.len().saturating_sub(count);
    let mut jobs: Vec<u64> = alert.jobs.iter().skip(before).copied().collect();
    if let Some(job) = alert.job_id.filter(|job| !jobs.contains(job)) {
        // A job that returns is not remembered twice.
        jobs = vec![job];
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::{AlertKey, Overdue};
    use crate::domain::ids::JobId;
    use crate::domain::samples::at;

    fn alert(job: u64, second: i64) -> Alert {
        let key = AlertKey::new(AlertKind::StolenRunner, None);
        Alert::new(&key, Some(JobId(job)), "it happened", at(second))
    }

    fn lines(incident: &Incident) -> Vec<String> {
        let line = |entry: &TimelineEntry| {
            let by = entry.by.as_deref().unwrap_or("-");
            format!("{} {} ({by})", entry.at.timestamp(), entry.what)
        };
        incident.timeline.iter().map(line).collect()
    }

    #[test]
    fn every_change_of_the_alert_is_in_the_timeline_once_and_in_order() {
        let escalation = Escalation {
            at: at(900),
            to: Some("infrastructure".to_owned()),
            overdue: Overdue::Acknowledgement,
            since: at(0),
        };
        let told = alert(1, 0).told_to("slack", 1, at(2)).raised_again(&alert(2, 60));
        let escalated = told
            .escalated(1, &escalation)
            .expect("it is open")
            .told_to("slack", 3, at(901));
        let over = escalated
            .clone()
            .acked("ann", at(1000))
            .expect("it is open")
            .resolved("bob", at(2000));
        let mut all_at_once = Incident::open(&over);
        all_at_once.follow(&over);
        let mut step_by_step = Incident::open(&alert(1, 0));
        for alert in [&alert(1, 0).told_to("slack", 1, at(2)), &escalated, &over, &over] {
            step_by_step.follow(alert);
        }
        let expected = [
            "0 it happened (jitgate)",
            "2 the alert was sent to slack (jitgate)",
            "60 raised again, 2 times in all (jitgate)",
            "900 escalated to infrastructure: unacknowledged since 1970-01-01T00:00:00Z (jitgate)",
            "901 the escalation was sent to slack (jitgate)",
            "1000 acknowledged (ann)",
            "2000 safe routing state: the alert was resolved (bob)",
            "2000 resolved (bob)",
        ];
        assert_eq!(lines(&step_by_step), expected);
        let is_no_message = |line: &&str| !line.contains(" sent to ");
        assert_eq!(
            lines(&all_at_once),
            expected.into_iter().filter(is_no_message).collect::<Vec<_>>()
        );
        assert_eq!(step_by_step.jobs, [1, 2]);
        assert_eq!(
            (
                step_by_step.state,
                step_by_step.closed_by.as_deref(),
                step_by_step.safe_by.as_deref()
            ),
            (IncidentState::Closed, Some("bob"), Some("bob"))
        );
    }

    #[test]
    fn an_alert_that_reopens_ends_the_incident_of_its_earlier_episode() {
        let first = alert(1, 0);
        let mut incident = Incident::open(&first);
        let over = first.acked("ann", at(5)).expect("it is open").resolved("bob", at(9));
        let again = over.raised_again(&alert(2, 70)).raised_again(&alert(3, 71));
        incident.follow(&again);
        assert_eq!(
            (incident.state, incident.closed_at),
            (IncidentState::Closed, Some(at(9)))
        );
        assert_eq!(incident.acknowledged_by.as_deref(), Some("ann"));
        let mut next = Incident::open(&again);
        next.follow(&again);
        assert_eq!(
            (next.state, next.opened_at, &next.jobs),
            (IncidentState::Open, at(70), &vec![2, 3])
        );
        assert_ne!(next.id, incident.id);
        let unchanged = next.clone();
        next.follow(&alert(1, 0));
        assert_eq!(next, unchanged, "an answer about an earlier episode is out of date");
    }

    #[test]
    fn a_contained_attempt_is_safe_from_the_start() {
        for kind in [AlertKind::UntrustedOnSelfHosted, AlertKind::StolenRunner] {
            let alert = |verdict| {
                let key = AlertKey::new(kind, None).of_author(verdict, Some("mallory"));
                Alert::new(&key, Some(JobId(1)), "it happened", at(0))
            };
            let attempt = Incident::open(&alert(RoutingVerdict::Attempt));
            assert_eq!(
                (attempt.state, attempt.safe_at),
                (IncidentState::Safe, Some(at(0))),
                "{kind:?}"
            );
            for verdict in [RoutingVerdict::Misroute, RoutingVerdict::Unjudged] {
                let other = Incident::open(&alert(verdict));
                assert_eq!(
                    (other.state, other.safe_at),
                    (IncidentState::Open, None),
                    "{kind:?} {verdict:?}"
                );
            }
        }
        let key = AlertKey::new(AlertKind::Rollback, None).caused_by(RoutingVerdict::Attempt.as_str());
        let rollback = Incident::open(&Alert::new(&key, Some(JobId(1)), "routing is off", at(0)));
        assert_eq!(rollback.state, IncidentState::Open, "only what GitHub shows is off");
    }
}
