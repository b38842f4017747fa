//! Runners from end to end: the real binary, real environments on this machine, and a simulated GitHub that goes on by
//! itself. A `run.sh` stands in for the runner program of GitHub's and is as hostile as it can be: it goes on with its job
//! whatever the hook says.

mod crowd;
mod hooks;
mod killed;
mod left_over;
mod proof;
mod requests;
pub(crate) mod stage;
mod sweep;
mod thieves;
mod untrusted;
