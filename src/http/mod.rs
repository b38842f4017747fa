//! The two listeners: the public one takes deliveries, the admin one answers questions.

mod admin;
mod alerts;
mod connections;
mod health;
mod metrics;
mod problem;
mod runners;
mod server;
mod webhook;

pub use admin::AdminState;
pub use health::{Health, Readiness};
pub use metrics::Metrics;
pub use server::{AdminBind, Limits, ListenError, Running, serve_admin, serve_public};
