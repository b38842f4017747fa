//! Alerts: the facts for an operator, the key that combines repetitions, and the sinks that have received each change.

mod escalation;
mod inert;
mod key;
mod kind;
mod life;
mod overdue;
mod record;
mod telling;

pub use escalation::Owners;
pub use inert::inert;
pub use key::AlertKey;
pub(in crate::domain) use key::MAX_NAME_CHARS;
pub use kind::{AlertKind, Severity};
pub use life::ITSELF;
pub use overdue::{Escalation, Overdue};
pub use record::{Alert, AlertState, PastEpisode, Told};
pub use telling::Pace;
