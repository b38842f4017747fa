//! Alerts: what an operator is told of, by which key repeats are folded together, and who has been told what.

mod inert;
mod kind;
mod life;
mod record;
mod telling;

pub use inert::inert;
pub use kind::{AlertKind, Severity};
pub use life::ITSELF;
pub use record::{Alert, AlertState, BadState};
pub use telling::{Pace, Told};
