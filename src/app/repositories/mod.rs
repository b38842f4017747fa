//! The repositories behind the configured names.

pub mod pins;
pub mod renamed;
