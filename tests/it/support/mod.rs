//! The code that tests of several themes share.

pub(crate) mod command;
pub(crate) mod description;
pub(crate) mod gate;
pub(crate) mod in_process;
#[expect(
    clippy::disallowed_types,
    reason = "GitHub's description is large: all tests of a process read it once"
)]
pub(crate) mod openapi;
pub(crate) mod payload;
pub(crate) mod program;
pub(crate) mod receiver;
pub(crate) mod redis;
#[expect(
    clippy::disallowed_types,
    reason = "one RSA key for all tests: making one takes long"
)]
pub(crate) mod scripted;
pub(crate) mod simulator;
pub(crate) mod sink;
pub(crate) mod stores;
pub(crate) mod world;
