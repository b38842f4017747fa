//! The implementations of the ports. Adapters do not depend on each other.

pub mod alerts;
pub mod clock;
pub mod github;
pub mod hosts;
pub mod image;
pub mod memory;
pub mod private_file;
pub mod redis;
pub mod runner_home;
pub mod sqlite;
pub mod tools;
pub mod unit_files;
