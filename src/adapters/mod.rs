//! What the ports mean in the real world: one module for each thing we talk to. None imports another.

pub mod github;
