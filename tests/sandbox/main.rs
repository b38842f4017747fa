//! The local host through its port, with real sandboxes: jobs are scripts in the place of actions/runner.
#![cfg(test)]

mod boots;
mod descriptors;
mod ends;
mod environment;
mod gate;
mod hidden;
mod kernel;
mod limits;
mod network;
mod stage;
mod survives;
mod worker;
mod world;
