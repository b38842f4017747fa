//! The operator's own runners: an installed runner program that stays registered at GitHub. They have no job gate.
//!
//! - `installation` what the folder of a runner program shows: its registration, its service, its owner
//! - `place` the repository or organization of a URL
//! - `jit_file` the file that `jit request` writes and `runner run` reads
//! - `listed` a runner in GitHub's inventory
//! - `one_job` the steps of `runner run`
//! - `problem` one thing that is wrong, with its remedy
//! - `repair` the steps of `runner register`
//! - `unit` services of runners, as systemd shows them
//! - `health` the judgement of `runner health`
//! - `recovery` the steps of `runner recover`

pub mod health;
pub mod installation;
pub mod jit_file;
pub mod listed;
pub mod one_job;
pub mod place;
pub mod problem;
pub mod recovery;
pub mod repair;
pub mod unit;
