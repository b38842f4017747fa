//! Told of what happens, so that it can be counted. Being told never fails, and nothing depends on it.

use crate::domain::decision::Decision;
use crate::domain::event::Action;
use crate::domain::runner::Outcome;
use std::time::Duration;

/// A delivery that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Reception<'a> {
    /// `X-GitHub-Event` as it was sent: anybody can write anything there.
    pub event: &'a str,
    /// The action, where the body was read and has one we know.
    pub action: Option<Action>,
    /// What became of it, out of a closed set.
    pub result: &'static str,
    /// How long after the event itself it arrived; only for what was queued, and where the payload says.
    pub lag: Option<Duration>,
    /// How long the answer took, the body's arrival apart.
    pub took: Duration,
}

/// Counts and measures; by default nothing.
pub trait Observer: Send + Sync + 'static {
    /// A delivery was answered.
    fn received(&self, _reception: &Reception<'_>) {}

    /// The webhook secret at this position, from 0, signed a delivery.
    fn secret_used(&self, _position: usize) {}

    /// A worker has a delivery for the first time, so long after it was received.
    fn claimed(&self, _waited: Duration) {}

    /// A decision was made; gathering the facts and deciding took so long.
    fn decided(&self, _decision: &Decision, _took: Duration) {}

    /// An environment is ready, so long after it was asked for.
    fn booted(&self, _took: Duration) {}

    /// GitHub was asked for a runner and answered, or did not, in so much time.
    fn minted(&self, _took: Duration) {}

    /// A job is on a runner, so long after GitHub made it.
    fn picked_up(&self, _took: Duration) {}

    /// A trusted job runs in the pool, and waited so long for it.
    fn job_started(&self, _waited: Duration) {}

    /// A trusted job of the pool is over; from its start to its first step it took so long.
    fn job_set_up(&self, _took: Duration) {}

    /// A runner has ended.
    fn runner_ended(&self, _outcome: Outcome) {}

    /// GitHub answered a request, or did not. Endpoints come from a closed set.
    fn github_answered(&self, _endpoint: &'static str, _status: Option<u16>) {}

    /// A sink took an alert, or did not. Sinks come from a closed set.
    fn alert_told(&self, _sink: &'static str, _taken: bool) {}
}

/// Nobody looks.
impl Observer for () {}
