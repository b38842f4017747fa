//! What these tests share with those in tests/it.

#[path = "../it/support/gate.rs"]
pub(crate) mod gate;
#[path = "../it/support/payload.rs"]
#[expect(dead_code, reason = "two test programs share this, and each uses a part of it")]
pub(crate) mod payload;
