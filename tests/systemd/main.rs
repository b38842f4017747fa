//! `jitgate setup` under a real systemd: a container with systemd as PID 1, started from a small Debian tree.
#![cfg(test)]

mod machine;
mod pool;
mod recovery;
mod token;
mod tree;
