//! The opening of a host: its slots, and the faults of this machine, which are logged.

use super::host::SlotHost;
use crate::domain::finding::{Finding, Subject};
use crate::ports::Clock;
use std::path::Path;
use std::sync::Arc;

/// Opens the slots of a host; see [`SlotHost::open`].
///
/// # Errors
/// When the state directory cannot be used, with the remedy.
pub(crate) fn open_slots(
    host: &str,
    state_dir: &Path,
    instance: &str,
    program: &Path,
    clock: Arc<dyn Clock>,
) -> Result<SlotHost, Finding> {
    SlotHost::open(host, state_dir, instance, program, clock).map_err(|error| {
        Finding::problem(
            Subject::Host,
            format!("cannot use {} for runners: {error}", state_dir.display()),
            "set server.state_dir to a directory that this user can write to and run programs from",
        )
    })
}

/// Logs the findings about this machine at the opening of a host.
pub(crate) fn log_findings(findings: &[Finding]) {
    for finding in findings {
        let (what, remedy) = (&finding.what, finding.remedy.as_deref());
        if finding.is_problem() {
            tracing::error!(remedy, "cannot make runners: {what}");
        } else {
            tracing::warn!(remedy, "{what}");
        }
    }
}
