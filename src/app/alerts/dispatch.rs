//! Sends alerts to sinks, at least once and until each sink accepts them. Sinks are independent: each receives one
//! alert at a time, and a sink that hangs delays neither the others nor any decision.
//!
//! Several workers can send alerts of one store. A worker first records its attempt by compare-and-set, so an alert is
//! sent twice only if a worker dies or a sink answers too late.

use super::store::Alerts;
use crate::app::incidents;
use crate::domain::alert::Alert;
use crate::ports::alert_sink::{AlertSink, SEND_TIMEOUT_S};
use crate::ports::{Event, Failure};
use chrono::{DateTime, TimeDelta, Utc};
use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Interval between two checks without an event. Other workers on the same store also raise alerts.
const CHECK_INTERVAL: TimeDelta = TimeDelta::seconds(5);
/// Minimum time between two checks.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Number of alerts that a sink receives before more urgent ones are looked for.
const MAX_IN_A_ROW: usize = 8;
/// Time that sinks have to answer after a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The messages that are due, and the time of the next one.
struct Plan {
    due: Vec<(usize, Vec<Alert>)>,
    next_at: Option<DateTime<Utc>>,
}

impl Alerts {
    /// Sends alerts to the sinks until `stop` resolves.
    pub async fn run(self: &Arc<Self>, stop: impl Future<Output = ()>) {
        let mut busy = vec![false; self.sinks.len()];
        let mut telling = JoinSet::new();
        let mut is_indexed = false;
        let mut look_at = Instant::now();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep_until(look_at) => look_at = Instant::now() + MIN_INTERVAL,
            }
            if !is_indexed {
                is_indexed = self
                    .rebuild_index()
                    .await
                    .map_err(|failure| log_failure(&failure))
                    .is_ok();
            }
            let now = self.clock.now();
            let plan = match self.gather().await {
                Ok(live) => self.plan(&live, &busy, now),
                Err(failure) => {
                    log_failure(&failure);
                    Plan {
                        due: Vec::new(),
                        next_at: None,
                    }
                }
            };
            for (at, alerts) in plan.due {
                let Some(sink) = self.sinks.get(at).cloned() else {
                    continue;
                };
                if let Some(busy) = busy.get_mut(at) {
                    *busy = true;
                }
                let book = self.clone();
                telling.spawn(async move {
                    for alert in alerts {
                        if let Err(failure) = book.send(sink.as_ref(), &alert.id).await {
                            log_failure(&failure);
                        }
                    }
                    at
                });
            }
            let wait = plan.next_at.map_or(CHECK_INTERVAL, |next_at| {
                (next_at - now).clamp(TimeDelta::zero(), CHECK_INTERVAL)
            });
            tokio::select! {
                () = &mut stop => break,
                () = self.changed.notified() => {}
                Some(done) = telling.join_next() => match done {
                    Ok(at) => busy.iter_mut().skip(at).take(1).for_each(|busy| *busy = false),
                    Err(error) => tracing::error!(%error, "a sink receives no more alerts until the next start"),
                },
                () = tokio::time::sleep(wait.to_std().unwrap_or_default()) => {}
            }
        }
        let told = async { while telling.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, told).await.is_err() {
            tracing::info!("some alerts are sent after the next start");
        }
    }

    /// Sends all due messages, one after the other. Returns the number of accepted messages.
    ///
    /// # Errors
    /// The failure of the ledger.
    pub async fn run_until_idle(&self) -> Result<usize, Failure> {
        self.rebuild_index().await?;
        let mut taken = 0;
        loop {
            let live = self.gather().await?;
            let plan = self.plan(&live, &vec![false; self.sinks.len()], self.clock.now());
            if plan.due.is_empty() {
                return Ok(taken);
            }
            for (at, alerts) in plan.due {
                for (sink, alert) in alerts.iter().filter_map(|alert| Some((self.sinks.get(at)?, alert))) {
                    taken += usize::from(self.send(sink.as_ref(), &alert.id).await?);
                }
            }
        }
    }

    /// Returns the live alerts and removes the settled ones from the index, after their incidents have ended.
    async fn gather(&self) -> Result<Vec<Alert>, Failure> {
        let mut live = self.live().await?;
        for alert in &live {
            if alert.is_settled() {
                incidents::follow(self.ledger.as_ref(), self.retention, alert).await?;
                self.remove_from_index(&alert.id).await?;
            } else {
                self.resolve_outlived(alert).await?;
            }
        }
        live.retain(|alert| !alert.is_settled());
        Ok(live)
    }

    fn plan(&self, live: &[Alert], busy: &[bool], now: DateTime<Utc>) -> Plan {
        let mut plan = Plan {
            due: Vec::new(),
            next_at: None,
        };
        let idle = self.sinks.iter().enumerate().zip(busy).filter(|(_, busy)| !**busy);
        for ((at, sink), _) in idle {
            let pace = sink.pace();
            let mut due = Vec::new();
            for alert in live {
                match alert.due_at(sink.name(), &pace) {
                    Some(due_at) if due_at <= now => due.push((due_at, alert)),
                    Some(due_at) => plan.next_at = Some(plan.next_at.map_or(due_at, |next_at| next_at.min(due_at))),
                    None => {}
                }
            }
            due.sort_by_key(|(due_at, alert)| (Reverse(alert.severity), *due_at));
            due.truncate(MAX_IN_A_ROW);
            if !due.is_empty() {
                let alerts = due.into_iter().map(|(_, alert)| alert.clone()).collect();
                plan.due.push((at, alerts));
            }
        }
        plan
    }

    /// Sends the current state of an alert to a sink if this is still due, and records the result. Returns true if the
    /// sink accepted it.
    async fn send(&self, sink: &dyn AlertSink, id: &str) -> Result<bool, Failure> {
        let (name, pace, now) = (sink.name(), sink.pace(), self.clock.now());
        let (alert, is_ours) = self
            .note(id, |old| {
                let due = old.filter(|old| old.due_at(name, &pace).is_some_and(|due_at| due_at <= now))?;
                Some(due.being_told(name, now, TimeDelta::seconds(SEND_TIMEOUT_S)))
            })
            .await?;
        let Some(alert) = alert.filter(|_| is_ours) else {
            return Ok(false);
        };
        let limit = Duration::from_secs(SEND_TIMEOUT_S.unsigned_abs());
        let answer = tokio::time::timeout(limit, sink.send(&alert)).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::Transient("timed out".to_owned())));
        self.observer.observe(&Event::AlertSent {
            sink: name,
            accepted: answer.is_ok(),
        });
        let (now, revision) = (self.clock.now(), alert.revision);
        let Err(failure) = answer else {
            self.note(id, |old| Some(old?.told_to(name, revision, now))).await?;
            return Ok(true);
        };
        tracing::warn!(sink = name, alert = id, %failure, "failed to send alert {id} to {name}; it is sent again");
        let not_before = match &failure {
            Failure::RateLimited { until, .. } => Some(*until),
            Failure::Transient(_) | Failure::Permanent(_) => None,
        };
        let (why, jitter) = (failure.to_string(), jitter(id, name, now));
        self.note(id, |old| Some(old?.not_told_to(name, &why, now, not_before, jitter)))
            .await?;
        Ok(false)
    }
}

fn log_failure(failure: &Failure) {
    tracing::error!(%failure, "failed to process alerts");
}

fn jitter(id: &str, sink: &str, now: DateTime<Utc>) -> f64 {
    let mut hasher = DefaultHasher::new();
    (id, sink, now.timestamp_millis()).hash(&mut hasher);
    f64::from(u16::try_from(hasher.finish() % 1000).unwrap_or_default()) / 1000.0
}
