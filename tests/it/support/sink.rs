//! An alert sink that records the alerts it receives.

use async_trait::async_trait;
use jitgate::domain::alert::{Alert, Pace};
use jitgate::ports::Failure;
use jitgate::ports::alert_sink::AlertSink;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

pub(crate) struct RecordingSink {
    pace: Pace,
    received: Mutex<Vec<Alert>>,
    /// A sink with this never answers, and notifies it of each call.
    called: Option<Notify>,
}

impl RecordingSink {
    pub(crate) fn new(pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            pace,
            received: Mutex::default(),
            called: None,
        })
    }

    /// Returns a sink that never answers.
    pub(crate) fn that_hangs(pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            pace,
            received: Mutex::default(),
            called: Some(Notify::new()),
        })
    }

    pub(crate) fn received(&self) -> Vec<Alert> {
        self.received.lock().expect("no panic").clone()
    }

    /// Waits for a call of a sink that hangs.
    pub(crate) async fn called(&self) {
        self.called.as_ref().expect("a sink that hangs").notified().await;
    }
}

#[async_trait]
impl AlertSink for RecordingSink {
    fn name(&self) -> &'static str {
        "recording"
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        if let Some(called) = &self.called {
            called.notify_one();
            std::future::pending::<()>().await;
        }
        self.received.lock().expect("no panic").push(alert.clone());
        Ok(())
    }
}
