//! The operator's own runners: `runner run`, `register`, `health` and `recover`, with scripts in place of `run.sh`,
//! `config.sh`, `svc.sh` and `systemctl` that record their arguments, and a GitHub that is built from its description.

mod guard;
mod health;
mod one_job;
mod recover;
mod register;
mod stage;
