//! Where alerts go besides the ledger. What alerts say is inert already (`domain::alert::inert`); each sink escapes for its
//! receiver all the same.

mod alertmanager;
mod log;
mod post;
mod slack;
mod webhook;

pub use alertmanager::Alertmanager;
pub use log::LogSink;
pub use post::{Post, SetupError};
pub use slack::Slack;
pub use webhook::Webhook;
