//! Values that unit tests start from. Each test changes what it is about.

use super::admission::{Admission, AdmissionVerdict};
use super::decision::{Decision, JobSummary, RoutingSummary, TrustSummary};
use super::event::{Action, Job, JobStatus};
use super::ids::{DeliveryId, JobId, RepositoryName, RunId};
use super::labels::LabelsClass;
use super::reason::Reason;
use super::rollout::{
    Cause, Evidence, Lifecycle, MeasuredJob, RolloutPolicy, StuckRun, StuckState, Trigger, WaitParts,
};
use super::routing_verdict::{RoutingState, RoutingVerdict};
use super::trust::Trust;
use chrono::{DateTime, TimeDelta, Utc};

pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
}

pub(crate) fn job(status: JobStatus) -> Job {
    Job {
        id: JobId(1),
        run_id: RunId(2),
        run_attempt: 1,
        name: "web".to_owned(),
        head_sha: "sha".to_owned(),
        labels: Vec::new(),
        status,
        conclusion: None,
        created_at: None,
        started_at: None,
        completed_at: None,
        runner: None,
        steps: Vec::new(),
    }
}

/// Returns a decision with these reasons of the trust verdict and of admission.
pub(crate) fn decision(trust: Trust, of_trust: Vec<Reason>, of_admission: Vec<Reason>) -> Decision {
    let job = job(JobStatus::Queued);
    Decision {
        delivery: DeliveryId::parse("guid-1").expect("an id"),
        received_at: at(0),
        decided_at: at(0),
        action: Action::Queued,
        repository: RepositoryName::parse("octo-org/chem-model").expect("a name"),
        job: JobSummary {
            id: job.id,
            name: job.name,
            run_id: job.run_id,
            run_attempt: job.run_attempt,
            head_sha: job.head_sha,
            labels: job.labels,
        },
        labels_class: LabelsClass::Pool,
        trust: TrustSummary {
            verdict: trust,
            pull_request: Some(7),
            reasons: of_trust,
        },
        routing: RoutingSummary {
            state: RoutingState::On,
            verdict: RoutingVerdict::Correct,
        },
        admission: Admission::new(AdmissionVerdict::Hold, of_admission),
        actions: Vec::new(),
        would: Vec::new(),
        warnings: Vec::new(),
        author: None,
        synthesized: false,
        own_rerun: false,
    }
}

/// Returns the policy of the default configuration.
pub(crate) fn rollout_policy() -> RolloutPolicy {
    RolloutPolicy {
        stages: vec![1, 10, 25],
        advances_manually: false,
        boot_failures: 2,
        queue_wait_p95: TimeDelta::seconds(120),
        queue_wait_window: 10,
        exclude_delivery_lag: true,
        offline: TimeDelta::seconds(600),
    }
}

pub(crate) fn cause(trigger: Trigger, is_misroute: bool) -> Cause {
    Cause {
        trigger,
        evidence: Evidence {
            summary: "too slow".to_owned(),
            items: Vec::new(),
        },
        job: None,
        is_misroute,
    }
}

/// Returns a stuck run with one job.
pub(crate) fn stuck_run(state: StuckState) -> StuckRun {
    StuckRun {
        run: RunId(20),
        attempt: 1,
        jobs: vec![JobId(101)],
        state,
        since: at(0),
        absent_since: None,
    }
}

/// Returns a job that was created and started at these seconds.
pub(crate) fn measured_job(lifecycle: Lifecycle, created: i64, started: Option<i64>) -> MeasuredJob {
    MeasuredJob {
        verdict: RoutingVerdict::Correct,
        created_at: Some(at(created)),
        started_at: started.map(at),
        ended_at: None,
        parts: WaitParts::default(),
        setup_ms: None,
        lifecycle,
        live: None,
    }
}
