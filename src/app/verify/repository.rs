//! The access to a repository, its routing, and runners that jitgate does not know.

use super::unanswered::unanswered;
use super::{sharing, workflow};
use crate::app::repositories::pins;
use crate::app::runners::ungated;
use crate::app::settings::Repository;
use crate::domain::finding::{Finding, Subject};
use crate::domain::pin::Shown;
use crate::domain::runner::is_of_prefix;
use crate::ports::github::{GitHubRunner, Purpose};
use crate::ports::{Administration, Examination, Failure, GitHub, Ledger};
use globset::GlobSet;

/// The known runners.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The ledger of jitgate's runners; `None` if the store cannot be read.
    pub ledger: Option<&'a dyn Ledger>,
    /// The prefix of their names, which is used without a ledger.
    pub prefix: &'a str,
    /// The names that the operator lists.
    pub others: &'a GlobSet,
}

impl Known<'_> {
    async fn made(&self, runner: &GitHubRunner) -> Result<bool, Failure> {
        match self.ledger {
            Some(ledger) => ungated::is_ours(ledger, runner).await,
            None => Ok(is_of_prefix(&runner.name, self.prefix)),
        }
    }
}

/// The connections to GitHub.
#[derive(Clone, Copy)]
pub struct Connections<'a> {
    pub github: &'a dyn GitHub,
    pub administration: &'a dyn Administration,
    pub examination: &'a dyn Examination,
}

/// Asks GitHub about a repository: its existence, its routing, its runners and their group, its policies and its
/// workflows.
pub async fn at_github(connections: Connections<'_>, repository: &Repository, known: Known<'_>) -> Vec<Finding> {
    let github = connections.github;
    let shown = match github.repository(&repository.name, Purpose::Judge).await {
        Ok(Some(shown)) => shown,
        Ok(None) => {
            return vec![Finding::problem(
                Subject::Github,
                format!("{}: GitHub shows no such repository", repository.name),
                "correct repositories.full_name, or give the app or token access to it",
            )];
        }
        // All other questions would fail in the same way.
        Err(failure) => return vec![unanswered(&repository.name, &failure)],
    };
    let (another, variable, runners, group, approval, workflows) = futures::join!(
        another(repository, &shown, known),
        github.variable(&repository.name, &repository.variable, Purpose::Judge),
        github.runners(&repository.scope),
        sharing::group(connections.administration, repository, &shown),
        sharing::fork_approval(connections.administration, repository, shown.is_public),
        workflow::deployed(connections.examination, repository),
    );
    let mut found = vec![visible(repository, shown.is_public)];
    found.extend(another);
    found.push(match variable {
        Ok(variable) => routing(repository, variable.is_some_and(|variable| variable.is_true())),
        Err(failure) => unanswered(&repository.name, &failure),
    });
    match runners {
        Ok(runners) => found.extend(runners_there(repository, &runners, known).await),
        Err(failure) => found.push(unanswered(&repository.name, &failure)),
    }
    found.extend(group.into_iter().chain(approval).chain(workflows));
    found
}

/// Returns the finding about a repository that is not the pinned one.
async fn another(repository: &Repository, shown: &Shown, known: Known<'_>) -> Option<Finding> {
    let pinned = match known.ledger {
        // A store that does not answer is a separate finding.
        Some(ledger) => pins::pinned(ledger, repository)
            .await
            .unwrap_or(repository.configured_ids),
        None => repository.configured_ids,
    };
    let name = &repository.name;
    pinned.contradict(&shown.ids).then(|| {
        Finding::problem(
            Subject::Repository,
            format!(
                "{name}: GitHub shows {}, but {pinned} is pinned under this name",
                shown.ids
            ),
            format!(
                "find out who has the name now; after a transfer: jitgate repository accept --repo {name} --why TEXT"
            ),
        )
    })
}

fn visible(repository: &Repository, public: bool) -> Finding {
    let name = &repository.name;
    match public {
        false => Finding::ok(Subject::Repository, format!("{name} is private")),
        true if repository.policy.trust.public_repositories => {
            Finding::ok(Subject::Repository, format!("{name} is public"))
        }
        true => Finding::problem(
            Subject::Repository,
            format!("{name} is public, and jobs of public repositories receive no runner on this host"),
            "choose another runners.host, or set local.public_repositories = true if every trusted author may run code on this machine",
        ),
    }
}

fn routing(repository: &Repository, on: bool) -> Finding {
    let (name, variable) = (&repository.name, &repository.variable);
    if on {
        return Finding::ok(
            Subject::Repository,
            format!("{name}: trusted routing is on ({variable} is true)"),
        );
    }
    Finding::warning(
        Subject::Repository,
        format!("{name}: trusted routing is off, so its jobs go to GitHub's runners ({variable} is not true)"),
        format!("when all other checks pass, run: jitgate routing enable --repo {name}"),
    )
}

/// An unknown runner has no job gate.
async fn runners_there(repository: &Repository, runners: &[GitHubRunner], known: Known<'_>) -> Vec<Finding> {
    let (mut ours, mut unknown) = (0, Vec::new());
    for runner in runners {
        match known.made(runner).await {
            Ok(true) => ours += 1,
            Ok(false) if ungated::is_listed(known.others, runner) => {}
            Ok(false) => unknown.push(no_gate_at(runner, repository)),
            Err(failure) => {
                let remedy = "check that store.url is correct and that its server is reachable";
                return vec![Finding::problem(Subject::Store, failure.to_string(), remedy)];
            }
        }
    }
    let listed = format!(
        "{}: runners can be listed; {ours} of jitgate's are registered, {} of others",
        repository.name,
        runners.len() - ours
    );
    std::iter::once(Finding::ok(Subject::Github, listed))
        .chain(unknown)
        .collect()
}

fn no_gate_at(runner: &GitHubRunner, repository: &Repository) -> Finding {
    let state = if runner.online { "online" } else { "offline" };
    let (name, labels) = (&repository.name, &repository.policy.labels);
    if labels.has_trust_label(&runner.labels) {
        return Finding::warning(
            Subject::Repository,
            format!(
                "{name}: runner {} ({state}) has the label {} and is not jitgate's: it runs any job with this label",
                runner.name, labels.trust_label
            ),
            "remove the label from the runner, or remove the runner",
        );
    }
    Finding::warning(
        Subject::Repository,
        format!(
            "{name}: runner {} ({state}) is neither jitgate's nor in runners.known: it runs any job with its labels",
            runner.name
        ),
        "add it to runners.known if it is intended; otherwise remove it",
    )
}
