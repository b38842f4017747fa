//! `[runners]`: the pool of runners.

use super::check::{Check, Reported};
use super::routing::globs;
use globset::GlobSet;
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::time::Duration;

/// Maximum length of the prefix. GitHub accepts 64 characters for a runner's name, and instance, job id, attempt and
/// dashes need the rest.
const MAX_PREFIX_CHARS: usize = 30;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRunners {
    /// Runner host.
    pub(super) host: Host,
    /// Prefix of runner names: `PREFIX-INSTANCE-JOB-ATTEMPT`.
    name_prefix: String,
    /// Minimum number of slots.
    #[schemars(range(max = 10_000))]
    min: u32,
    /// Maximum number of slots.
    #[schemars(range(max = 10_000))]
    max: u32,
    /// Target number of slots. By default `max`.
    #[schemars(range(max = 10_000))]
    target: Option<u32>,
    /// Maximum number of slots for one repository. By default there is no limit.
    #[schemars(range(min = 1, max = 10_000))]
    max_per_repository: Option<NonZeroU32>,
    /// Interval between passes of the pool without an event.
    #[schemars(range(min = 1, max = 3600))]
    interval_s: u64,
    /// Timeout for the boot of a slot.
    #[schemars(range(min = 1, max = 3600))]
    boot_deadline_s: u64,
    /// Time that a job waits at the job gate before its slot is destroyed.
    #[schemars(range(min = 1, max = 3600))]
    gate_deadline_s: u64,
    /// Maximum duration of a job.
    #[schemars(range(min = 1, max = 604_800))]
    job_deadline_s: u64,
    /// Maximum number of runners for one job.
    #[schemars(range(min = 1, max = 100))]
    attempts: NonZeroU32,
    /// Globs of names of other self-hosted runners that are permitted.
    known: Vec<String>,
    /// Names of the operator's own runners that should be online.
    base: Vec<String>,
}

/// Settings of the pool of runners.
#[derive(Debug, Clone)]
pub struct Runners {
    /// Kind of slots.
    pub host: Host,
    pub name_prefix: String,
    pub min: u32,
    pub max: u32,
    pub target: u32,
    pub max_per_repository: Option<NonZeroU32>,
    pub interval: Duration,
    pub boot_deadline: Duration,
    pub gate_deadline: Duration,
    pub job_deadline: Duration,
    pub attempts: NonZeroU32,
    pub known: GlobSet,
    pub base: Vec<String>,
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
        let name = check.name("runners.name_prefix", &self.name_prefix, "-_.", MAX_PREFIX_CHARS);
        let bounds = self.check_bounds(check);
        let base = self.check_base(check);
        let known = [self.known.as_slice(), self.base.as_slice()].concat();
        let known = globs(check, "runners.known", &known, false);
        name?;
        base?;
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
            base: self.base,
        })
    }

    fn check_base(&self, check: &mut Check<'_>) -> Result<(), Reported> {
        let is_no_name = |name: &&String| name.trim().is_empty() || name.contains(['*', '?', '[']);
        match self.base.iter().find(is_no_name) {
            Some(name) => {
                let what = format!("contains {name:?}, which is not the name of a runner");
                Err(check.problem("runners.base", what, "use complete names, as GitHub lists them"))
            }
            None => Ok(()),
        }
    }

    fn check_bounds(&self, check: &mut Check<'_>) -> Result<(), Reported> {
        let (min, max) = (self.min, self.max);
        if min > max {
            let what = format!("is more than runners.max, which is {max}");
            return Err(check.problem("runners.min", what, "reduce it, or increase runners.max"));
        }
        match self.target {
            Some(target) if !(min..=max).contains(&target) => {
                let remedy = format!("use {min} to {max}, or change runners.min and runners.max");
                Err(check.problem("runners.target", "is not between runners.min and runners.max", remedy))
            }
            _ => Ok(()),
        }
    }
}
