//! The event stream of one process: what happened, for metrics and for every other subscriber.
//!
//! An observer cannot fail and nothing waits for it, so no event changes what the program does.

use crate::domain::decision::Decision;
use crate::domain::event::Action;
use crate::domain::runner::Outcome;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Something that happened in this process. All durations are measured by the process's own clock unless noted.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// The ingress answered a delivery.
    DeliveryAnswered {
        /// `X-GitHub-Event` as the sender wrote it; an outsider can write anything there.
        event: &'a str,
        /// The action, if the body was read and has a known one.
        action: Option<Action>,
        /// The result, out of a closed set.
        result: &'static str,
        /// Time between the event at GitHub and its arrival; only for a queued delivery whose payload has the time.
        lag: Option<Duration>,
        /// Time to answer, without the arrival of the body.
        took: Duration,
    },
    /// The webhook secret at this position (from 0) signed a delivery.
    SecretUsed { position: usize },
    /// A worker received a delivery for the first time, this long after its arrival.
    DeliveryClaimed { waited: Duration },
    /// A decision was made; `took` includes the questions to GitHub.
    Decided { decision: &'a Decision, took: Duration },
    /// A slot became ready.
    SlotReady { took: Duration },
    /// GitHub was asked for a runner; `took` ends with its answer or with the timeout.
    RunnerRequested { took: Duration },
    /// A registered runner got its first job, this long after its registration.
    RunnerPickedUp { took: Duration },
    /// A trusted job of the pool started, this long after GitHub created it (GitHub's times).
    JobStarted { waited: Duration },
    /// A trusted job of the pool reached its first step, this long after its start (GitHub's times).
    JobSetUp { took: Duration },
    /// A runner ended.
    RunnerEnded { outcome: Outcome },
    /// A request to GitHub ended, with or without an answer. Endpoints come from a closed set.
    GithubAnswered {
        endpoint: &'static str,
        status: Option<u16>,
    },
    /// A sink accepted or refused an alert. Sinks come from a closed set.
    AlertSent { sink: &'static str, accepted: bool },
}

/// A subscriber to the events of this process.
pub trait Observer: Send + Sync + 'static {
    /// Handles an event. It must return at once.
    fn observe(&self, event: &Event<'_>);
}

/// Discards all events.
impl Observer for () {
    fn observe(&self, _event: &Event<'_>) {}
}

/// Passes each event to every subscriber, in order.
#[derive(Default)]
pub struct FanOut(Vec<Arc<dyn Observer>>);

impl FanOut {
    /// Creates the stream for these subscribers.
    #[must_use]
    pub fn new(subscribers: Vec<Arc<dyn Observer>>) -> Self {
        Self(subscribers)
    }
}

impl fmt::Debug for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FanOut({} subscribers)", self.0.len())
    }
}

impl Observer for FanOut {
    fn observe(&self, event: &Event<'_>) {
        for subscriber in &self.0 {
            subscriber.observe(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Observer for Recorder {
        fn observe(&self, event: &Event<'_>) {
            self.0.lock().expect("no panic").push(format!("{event:?}"));
        }
    }

    #[test]
    fn every_subscriber_observes_every_event_in_order() {
        let (first, second) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
        let stream = FanOut::new(vec![first.clone(), second.clone()]);
        stream.observe(&Event::SecretUsed { position: 1 });
        stream.observe(&Event::RunnerEnded { outcome: Outcome::Died });
        let seen = first.0.lock().expect("no panic").clone();
        assert_eq!(seen, ["SecretUsed { position: 1 }", "RunnerEnded { outcome: Died }"]);
        assert_eq!(seen, *second.0.lock().expect("no panic"));
    }
}
