//! The hosts of runners, each behind the same port.

pub mod local;
pub mod synthetic;
