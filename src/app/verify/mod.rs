//! The checks of `verify`: each is an independent finding, and none changes anything.

pub mod app_access;
pub mod clock;
pub mod repository;
pub mod runner_program;
pub mod services;
mod sharing;
mod unanswered;
mod workflow;

pub use repository::{Connections, Known, at_github};
pub use unanswered::merged;
