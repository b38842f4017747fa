//! The receivers of alerts outside the ledger. Alert texts are inert already (`domain::alert::inert`); each sink also
//! escapes them for its receiver.

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
