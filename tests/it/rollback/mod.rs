//! Rollbacks: what is left after a crash at any step, with two workers, and with a person who switches in between.

mod commands;
mod killed;
mod offline;
mod stage;
mod steps;
