//! The deployed `route` jobs against the shipped one, on every protected branch.

use super::unanswered::unanswered;
use crate::app::settings::Repository;
use crate::domain::finding::{Finding, Subject};
use crate::domain::route_rule::{Compared, Configured, Difference, TRUSTED, compare};
use crate::ports::{Examination, Failure};
use futures::future::join_all;

/// Maximum number of branches that are read.
const MAX_BRANCHES: usize = 20;
/// Maximum number of workflows that are read of a branch.
const MAX_WORKFLOWS: usize = 10;
/// Maximum number of differences that a finding lists.
const MAX_DIFFERENCES: usize = 4;

/// Compares the workflows that follow the routing variable.
pub(super) async fn deployed(examination: &dyn Examination, repository: &Repository) -> Vec<Finding> {
    let name = &repository.name;
    let branches = match examination.protected_branches(name).await {
        Ok(branches) => branches,
        Err(failure) => return vec![unanswered(format!("{name}: protected branches"), &failure)],
    };
    let mut found = Vec::new();
    if branches.is_empty() {
        found.push(Finding::warning(
            Subject::Repository,
            format!("{name}: no branch is protected, so each writer can change the routing rule"),
            "protect the default branch by a ruleset that requires a review",
        ));
    }
    if branches.len() > MAX_BRANCHES {
        found.push(Finding::unknown(
            Subject::Repository,
            &format!(
                "{name}: route job on {} protected branches",
                branches.len() - MAX_BRANCHES
            ),
            format!("only {MAX_BRANCHES} branches are read"),
        ));
    }
    let mut places: Vec<Option<&str>> = branches
        .iter()
        .take(MAX_BRANCHES)
        .map(|name| Some(name.as_str()))
        .collect();
    if places.is_empty() {
        places.push(None);
    }
    let compared = places
        .into_iter()
        .map(|branch| on_branch(examination, repository, branch));
    found.extend(join_all(compared).await.concat());
    found
}

async fn on_branch(examination: &dyn Examination, repository: &Repository, branch: Option<&str>) -> Vec<Finding> {
    let place = branch.map_or_else(
        || "the default branch".to_owned(),
        |branch| format!("branch {}", branch),
    );
    match routed(examination, repository, branch).await {
        Ok(workflows) if workflows.is_empty() => vec![Finding::warning(
            Subject::Repository,
            format!("{}: no workflow of routing.workflows is on {place}", repository.name),
            "copy deploy/workflow/ci.yml there, or correct routing.workflows",
        )],
        Ok(workflows) => workflows
            .iter()
            .map(|(path, text)| judged(repository, &place, path, text))
            .collect(),
        Err(failure) => vec![unanswered(
            format!("{}: workflows on {place}", repository.name),
            &failure,
        )],
    }
}

/// Returns path and text of the workflows that follow the routing variable.
async fn routed(
    examination: &dyn Examination,
    repository: &Repository,
    branch: Option<&str>,
) -> Result<Vec<(String, String)>, Failure> {
    let paths = examination.workflows(&repository.name, branch).await?;
    let routed = paths.into_iter().filter(|path| repository.policy.routing.routes(path));
    let texts = routed.take(MAX_WORKFLOWS).map(async |path| {
        let text = examination.file(&repository.name, &path, branch).await?;
        Ok(text.map(|text| (path, text)))
    });
    let texts: Result<Vec<_>, Failure> = join_all(texts).await.into_iter().collect();
    Ok(texts?.into_iter().flatten().collect())
}

fn judged(repository: &Repository, place: &str, path: &str, text: &str) -> Finding {
    let name = &repository.name;
    let (trust, labels) = (&repository.policy.trust, &repository.policy.labels);
    let configured = Configured {
        variable: &repository.variable,
        associations: &trust.associations,
        labels: &labels.labels,
        run_label_prefix: &labels.run_label_prefix,
    };
    match compare(text, configured) {
        Compared::Same => Finding::ok(
            Subject::Repository,
            format!("{name}: the route job in {path} on {place} is that of jitgate"),
        ),
        Compared::Missing => Finding::warning(
            Subject::Repository,
            format!("{name}: {path} on {place} has no job `route`"),
            "copy the route job of deploy/workflow/ci.yml, or remove the workflow from routing.workflows",
        ),
        Compared::Different(differences) => {
            let is_of_rule = |difference: &Difference| difference.place == TRUSTED;
            let remedy = if trust.allow_bots.is_empty() || !differences.iter().any(is_of_rule) {
                "copy the route job of deploy/workflow/ci.yml, with the variable, associations and labels of the configuration"
            } else {
                "copy the route job of deploy/workflow/ci.yml; a difference for the bots of trust.allow_bots is intended"
            };
            let listed = listed(&differences);
            Finding::warning(
                Subject::Repository,
                format!("{name}: the route job in {path} on {place} differs from that of jitgate: {listed}"),
                remedy,
            )
        }
    }
}

fn listed(differences: &[Difference]) -> String {
    let shown = differences.iter().take(MAX_DIFFERENCES).map(ToString::to_string);
    let shown = shown.collect::<Vec<_>>().join("; ");
    match differences.len().saturating_sub(MAX_DIFFERENCES) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
