//! Alerts: what an operator is told of, by which key repeats are folded together, and who has been told what.

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
