//! The deadlines of the keeper, which stand above everything that a guest says.

use std::time::Duration;

/// The deadlines of one channel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// Time for a guest to boot and answer, beside the deadline of the caller.
    pub(super) hello: Duration,
    /// Time for a guest to get ready for a job.
    pub(super) prepare: Duration,
    /// Time for a guest to report that the runner program has started.
    pub(super) start: Duration,
    /// Time for a guest to power off after it reported the end of the runner program.
    pub(super) power_off: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(60),
            prepare: Duration::from_secs(60),
            start: Duration::from_secs(30),
            power_off: Duration::from_secs(5),
        }
    }
}
