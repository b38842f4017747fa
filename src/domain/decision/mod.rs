//! The decision: one pure function from an event and its facts to one record that says what is done and why.

mod alerts;
mod decide;
mod input;
mod plan;
mod record;

pub use decide::decide;
pub use input::Input;
pub use plan::UNDECIDED_ALERT_DELAY;
pub use record::{Action, Decision, JobSummary, RoutingSummary, TrustSummary};
