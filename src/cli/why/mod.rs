//! `jitgate why`: the reasons for the decision on a job, or on the jobs of a pull request.

mod args;
mod command;
mod job;
mod pull;

pub(super) use args::Args;
pub(super) use command::run;
pub(super) use job::decision_lines;
