//! Alerts: stored first (`book`), told afterwards (`telling`), so that no decision waits for a chat; and those that the
//! ingress raises (`old_secret`, `unreadable`).

mod book;
mod old_secret;
mod telling;
mod undecided;
mod unreadable;

pub use book::{Alerts, Asked, Settled};
pub use old_secret::OldSecret;
