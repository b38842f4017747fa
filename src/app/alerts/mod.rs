//! Alerts: stored first (`store`) and sent afterwards (`dispatch`), so that no decision waits for a receiver; and the
//! alerts of the ingress (`old_secret`, `unreadable`).

mod dispatch;
mod old_secret;
mod store;
mod undecided;
mod unreadable;

pub use old_secret::OldSecret;
pub use store::{AlertFilter, Alerts, Settled};
