//! A model of GitHub with an HTTP API, for `jitgate replay`, `jitgate simulate` and tests.
//!
//! The model is a world, not a list of canned answers. Its repositories, pull requests, runs, jobs and runners change like
//! GitHub's, and are visible through the REST API and through deliveries. `docs/fixtures.md` describes the world's JSON,
//! the faults and the control API.
//!
//! ```text
//!  control API ──> apply ──> ┌───────┐ <── rest/  <── jitgate's calls (faults, tokens, limits: api)
//!                            │ State │
//!  outbox <── deliveries <── └───────┘ <── /_runner/ID/online|offline <── the synthetic host
//!                                └── lifecycle: assign, settle, cancel, re-run
//! ```
//!
//! Invariants: no value is random (ids, GUIDs and dates come from counters and the clock), except the keys of Apps; one lock
//! is used and never held across an await; the server is bound to loopback only.

mod access;
mod api;
mod apply;
mod apps;
mod call;
mod client;
mod control;
mod faults;
mod lifecycle;
mod moment;
mod outbox;
mod quota;
mod render;
mod rest;
mod routes;
mod server;
mod settings;
mod simulation;
mod state;
mod web;
mod world;

pub use client::{Client, ClientError, Delivery, JobTally, Tally};
pub use moment::{first_date, relate_times, resolve_times};
pub use outbox::sign;
pub use routes::endpoints;
pub use server::{Simulator, StartError};
pub use world::Change;
