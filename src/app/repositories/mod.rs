//! Which repository a configured name means.

pub mod pins;
pub mod renamed;
