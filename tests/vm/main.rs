//! Virtual machines: a real image, made by mmdebstrap from Debian, and real guests.
#![cfg(test)]

mod built;
mod confined;
mod fallbacks;
mod hostile;
mod image;
mod jobs;
mod machine;
mod network;
mod plain;
mod sizes;
mod slots;
#[path = "../it/runners/stage.rs"]
#[expect(dead_code, reason = "two test programs share this, and each uses a part of it")]
mod stage;
mod support;
mod unprivileged;
#[path = "../sandbox/world.rs"]
mod world;
