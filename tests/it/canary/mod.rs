//! The canary and its rollback triggers, on histories of measured runs and a clock that only the test moves.

mod commands;
mod confirming;
mod guard;
mod observing;
mod stage;
mod triggers;
mod walking;
