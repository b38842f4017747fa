//! Refusals of GitHub.

use crate::ports::Failure;

/// Turns a permanent refusal of an action into a transient failure. A missing permission can return within seconds, or
/// a person can correct it, so only its age makes a delivery fail.
pub(in crate::app) fn passing(failure: Failure) -> Failure {
    match failure {
        Failure::Permanent(what) => {
            tracing::error!(what, "GitHub refused an action; it is repeated");
            Failure::Transient(what)
        }
        other => other,
    }
}
