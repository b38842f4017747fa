//! Plays the step `history` of a fixture: each pull request from its opening to the end of its run.

use super::fixture::{Deliver, Signature};
use super::history::{Ending, History, Planned};
use super::play::Player;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Maximum time between two reactions while runners fail.
const MAX_STRIDE_S: u32 = 30;

impl Player<'_> {
    pub(super) async fn history(&mut self, step: usize, history: &History) -> Result<()> {
        for planned in history.planned() {
            let first = planned.jobs.first().copied().unwrap_or_default();
            self.episode(step, &planned)
                .await
                .with_context(|| format!("job {first}"))?;
        }
        Ok(())
    }

    async fn episode(&mut self, step: usize, planned: &Planned) -> Result<()> {
        let behaviour = behaviour_of(planned);
        if !behaviour.is_empty() {
            let mut changes = self.synthetic.clone();
            changes.extend(behaviour.clone());
            self.stage.synthetic(&changes).await?;
        }
        self.stage.github().apply(&planned.world).await?;
        self.pass(planned.lag_s).await?;
        for job in &planned.jobs {
            self.deliver(step, &event("queued", *job, planned)).await?;
        }
        match planned.ending {
            Ending::Success | Ending::Failure => {
                self.pass(planned.wait_s).await?;
                self.pass(planned.duration_s).await?;
                self.pass(planned.rest_s).await?;
            }
            Ending::BootFailure | Ending::RegistrationFailure => {
                self.stride(planned.wait_s + planned.duration_s + planned.rest_s)
                    .await?;
            }
            Ending::Cancelled => {
                self.pass(planned.wait_s).await?;
                self.stage.github().apply(&planned.cancelled).await?;
                for job in &planned.jobs {
                    let unchecked = Deliver {
                        expect: None,
                        ..event("completed", *job, planned)
                    };
                    self.deliver(step, &unchecked).await?;
                }
                self.pass(planned.duration_s + planned.rest_s).await?;
            }
        }
        if !behaviour.is_empty() {
            let usual = self.synthetic.clone();
            self.stage.synthetic(&usual).await?;
        }
        Ok(())
    }

    /// Advances the clock at once, and lets jitgate and GitHub react.
    async fn pass(&mut self, seconds: u32) -> Result<()> {
        if seconds > 0 {
            self.stage.advance(seconds).await?;
            self.settle().await?;
        }
        Ok(())
    }

    /// Advances the clock in strides that begin with 1 s and double, because failures are followed by retries.
    async fn stride(&mut self, seconds: u32) -> Result<()> {
        let (mut left, mut stride) = (seconds, 1);
        while left > 0 {
            let now = left.min(stride);
            self.pass(now).await?;
            left -= now;
            stride = MAX_STRIDE_S.min(stride * 2);
        }
        Ok(())
    }
}

fn event(action: &str, job: u64, planned: &Planned) -> Deliver {
    Deliver {
        event: "workflow_job".to_owned(),
        action: Some(action.to_owned()),
        job: Some(job),
        payload: None,
        again: None,
        guid: None,
        signature: Signature::Good,
        expect: planned.expect.clone(),
    }
}

/// Returns the behaviour of the runners of a run, as changes of the section `synthetic`.
fn behaviour_of(planned: &Planned) -> Map<String, Value> {
    let behaviour = match planned.ending {
        Ending::BootFailure => json!({"dying_starts": u32::MAX}),
        Ending::RegistrationFailure | Ending::Cancelled => json!({"failing_starts": u32::MAX}),
        Ending::Success | Ending::Failure if planned.wait_s > 0 => json!({"start_s": planned.wait_s}),
        Ending::Success | Ending::Failure => json!({}),
    };
    behaviour.as_object().cloned().unwrap_or_default()
}
