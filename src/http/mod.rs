//! The two listeners: the public one accepts deliveries, the admin one serves the admin API. A third one serves the page of
//! `setup app` while it runs.

mod admin;
mod alerts;
mod app_form;
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
pub use app_form::{AppForm, AppFormListener, AppFormResult, AppFormReturn, AppFormServer};
pub use health::{Health, Readiness};
pub use listener::{Bind, ListenError, Listener};
pub use metrics::Metrics;
pub use server::{Limits, Running, serve_admin, serve_public};
