//! Alerts: stored first (`book`), told afterwards (`telling`), so that no decision waits for a chat; and one that the
//! ingress raises (`old_secret`).

mod book;
mod old_secret;
mod telling;
mod undecided;

pub use book::{Alerts, Asked, Settled};
pub use old_secret::OldSecret;
