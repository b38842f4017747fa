//! The two listeners: the public one accepts deliveries, the admin one serves the admin API.

mod admin;
mod alerts;
mod body;
mod connections;
mod health;
mod incidents;
mod list;
mod listener;
mod metrics;
mod problem;
mod runners;
mod server;
mod webhook;

pub use admin::AdminState;
pub use health::{Health, Readiness};
pub use listener::{Bind, ListenError, Listener};
pub use metrics::Metrics;
pub use server::{Limits, Running, serve_admin, serve_public};
