//! The workflows that set run labels, learned from trusted jobs. An outsider's job without the label of such a workflow was
//! not routed by its rule, so it is no evidence that the rule is broken.

use crate::app::context::Context;
use crate::app::records::{self, RepositoryRecord};
use crate::app::settings::Repository;
use crate::domain::decision::Decision;
use crate::domain::event::JobEvent;
use crate::domain::facts::{Facts, Run};
use crate::domain::labels::LabelsClass;
use crate::domain::trust::Trust;
use crate::ports::Failure;

/// Records the workflow of a trusted pool job with a run label, once.
pub(in crate::app) async fn learn(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    facts: &Facts,
    decision: &Decision,
) -> Result<(), Failure> {
    let is_trusted = decision.trust.verdict == Trust::Trusted && decision.labels_class == LabelsClass::Pool;
    let Some(path) = facts.run.known().map(Run::workflow).filter(|_| is_trusted) else {
        return Ok(());
    };
    let is_known = facts.ledger.labelled_workflows.contains(path);
    if is_known || !repository.policy.routing.routes(path) || !repository.policy.labels.has_run_label(&event.job) {
        return Ok(());
    }
    let (ledger, name) = (ctx.ledger.as_ref(), repository.name.as_str());
    records::update(
        ledger,
        name,
        ctx.settings.retention,
        |record: &mut Option<RepositoryRecord>| {
            record
                .get_or_insert_default()
                .labelled_workflows
                .insert(path.to_owned());
        },
    )
    .await
}
