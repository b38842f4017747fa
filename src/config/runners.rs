//! `[runners]`: the pool of runner environments.

use super::check::{Check, Reported};
use super::routing::globs;
use globset::GlobSet;
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::time::Duration;

/// GitHub takes 64 characters for a runner's name; instance, job id, attempt and dashes need the rest.
const LONGEST_PREFIX: usize = 30;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRunners {
    /// What makes the environments.
    pub(super) host: Host,
    /// Runners are called `PREFIX-INSTANCE-JOB-ATTEMPT`.
    name_prefix: String,
    /// Never fewer environments than this.
    #[schemars(range(max = 10_000))]
    min: u32,
    /// Never more.
    #[schemars(range(max = 10_000))]
    max: u32,
    /// How many are wanted. By default `max`.
    #[schemars(range(max = 10_000))]
    target: Option<u32>,
    /// Bound for one repository. By default none.
    #[schemars(range(min = 1, max = 10_000))]
    max_per_repository: Option<NonZeroU32>,
    /// How often the pool looks around when nothing wakes it.
    #[schemars(range(min = 1, max = 3600))]
    interval_s: u64,
    /// Time for an environment to boot.
    #[schemars(range(min = 1, max = 3600))]
    boot_deadline_s: u64,
    /// Time a job waits at the job gate before its environment is killed.
    #[schemars(range(min = 1, max = 3600))]
    gate_deadline_s: u64,
    /// Time for a whole job.
    #[schemars(range(min = 1, max = 604_800))]
    job_deadline_s: u64,
    /// How often a runner is made for one job before giving up.
    #[schemars(range(min = 1, max = 100))]
    attempts: NonZeroU32,
    /// Globs of names of self-hosted runners that are meant to be there beside jitgate's.
    known: Vec<String>,
}

/// The pool of runner environments.
#[derive(Debug, Clone)]
pub struct Runners {
    /// What makes the environments.
    pub host: Host,
    /// What the names of runners start with.
    pub name_prefix: String,
    /// Never fewer environments than this.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// How many are wanted: between the two.
    pub target: u32,
    /// Bound for one repository.
    pub max_per_repository: Option<NonZeroU32>,
    /// How often the pool looks around when nothing wakes it.
    pub interval: Duration,
    /// Time for an environment to boot.
    pub boot_deadline: Duration,
    /// Time a job waits at the job gate before its environment is killed.
    pub gate_deadline: Duration,
    /// Time for a whole job.
    pub job_deadline: Duration,
    /// How often a runner is made for one job before giving up.
    pub attempts: NonZeroU32,
    /// Names of self-hosted runners that are meant to be there beside jitgate's.
    pub known: GlobSet,
}

/// The kind of slots: sandboxes on this machine, virtual machines, or simulated ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    Local,
    Qemu,
    Synthetic,
}

impl RawRunners {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Runners, Reported> {
        let name = check.name("runners.name_prefix", &self.name_prefix, "-_.", LONGEST_PREFIX);
        let bounds = self.check_bounds(check);
        let known = globs(check, "runners.known", &self.known, false);
        name?;
        bounds?;
        Ok(Runners {
            host: self.host,
            name_prefix: self.name_prefix,
            min: self.min,
            max: self.max,
            target: self.target.unwrap_or(self.max),
            max_per_repository: self.max_per_repository,
            interval: Duration::from_secs(self.interval_s),
            boot_deadline: Duration::from_secs(self.boot_deadline_s),
            gate_deadline: Duration::from_secs(self.gate_deadline_s),
            job_deadline: Duration::from_secs(self.job_deadline_s),
            attempts: self.attempts,
            known: known?,
        })
    }

    fn check_bounds(&self, check: &mut Check<'_>) -> Result<(), Reported> {
        let (min, max) = (self.min, self.max);
        if min > max {
            let what = format!("is more than runners.max, which is {max}");
            return Err(check.problem("runners.min", what, "lower it, or raise runners.max"));
        }
        match self.target {
            Some(target) if !(min..=max).contains(&target) => {
                let remedy = format!("give {min} to {max}, or change runners.min and runners.max");
                Err(check.problem("runners.target", "is not between runners.min and runners.max", remedy))
            }
            _ => Ok(()),
        }
    }
}
