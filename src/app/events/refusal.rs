//! Refusals of GitHub.

use crate::ports::Failure;

/// What GitHub refuses now it may do later: a permission comes back within seconds, or a person puts it right. So nothing
/// that GitHub says to an action gives a delivery up; its age does.
pub(in crate::app) fn passing(failure: Failure) -> Failure {
    match failure {
        Failure::Permanent(what) => {
            tracing::error!(what, "GitHub refuses an action, which is tried again");
            Failure::Transient(what)
        }
        other => other,
    }
}
