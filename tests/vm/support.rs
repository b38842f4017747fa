//! What these tests share with those in tests/it.

#[path = "../it/support/gate.rs"]
pub(crate) mod gate;
#[path = "../it/support/payload.rs"]
pub(crate) mod payload;
