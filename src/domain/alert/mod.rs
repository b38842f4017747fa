//! Alerts: what an operator is told of, by which key repeats are folded together, and who has been told what.

mod inert;
mod key;
mod kind;
mod life;
mod record;
mod telling;

pub use inert::inert;
pub use key::AlertKey;
pub(in crate::domain) use key::MAX_NAME_CHARS;
pub use kind::{AlertKind, Severity};
pub use life::ITSELF;
pub use record::{Alert, AlertState, Told};
pub use telling::Pace;
