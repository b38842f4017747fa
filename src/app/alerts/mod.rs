//! Alerts: stored first (`store`), told afterwards (`dispatch`), so that no decision waits for a chat; and those that the
//! ingress raises (`old_secret`, `unreadable`).

mod dispatch;
mod old_secret;
mod store;
mod undecided;
mod unreadable;

pub use old_secret::OldSecret;
pub use store::{Alerts, Asked, Settled};
