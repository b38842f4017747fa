//! The decision: one pure function from an event and its facts to one record that says what is done and why.

mod decide;
mod record;

pub use decide::{Input, UNDECIDED_AFTER, decide};
pub use record::{Action, Decision, JobSummary, RoutingSummary, TrustSummary};
