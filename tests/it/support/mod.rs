//! The code that tests of several themes share.

pub(crate) mod command;
pub(crate) mod description;
pub(crate) mod gate;
pub(crate) mod in_process;
pub(crate) mod openapi;
pub(crate) mod payload;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod scripted;
pub(crate) mod simulator;
pub(crate) mod sink;
pub(crate) mod stores;
pub(crate) mod world;
