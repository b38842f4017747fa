//! The operator's own runners: one job from a just-in-time configuration, and runners that stay registered.
//!
//! They have no job gate: GitHub gives them any job with their labels. The rules are in `domain::base_runner`.

pub mod account;
pub mod consent;
pub mod health;
pub mod one_job;
pub mod preflight;
pub mod recover;
pub mod register;
pub mod units;
