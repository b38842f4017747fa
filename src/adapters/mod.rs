//! The ports, made real. Adapters know nothing of each other.

pub mod alerts;
pub mod clock;
pub mod github;
pub mod hosts;
pub mod memory;
pub mod redis;
pub mod sqlite;
