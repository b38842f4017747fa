//! The alerts that a decision raises.

use super::record::Decision;
use crate::domain::admission::AdmissionVerdict;
use crate::domain::alert::{Alert, AlertKey, AlertKind, MAX_NAME_CHARS, inert};
use crate::domain::reason::{self, Reason};

impl Decision {
    /// Returns the alert of this kind. Repeats share a key of repository, kind, verdict and person. The key of an alert
    /// about a state consists of repository and kind only, because the call that ends it knows no more.
    #[must_use]
    pub fn alert(&self, kind: AlertKind) -> Alert {
        let verdict = self.routing.verdict;
        let mut key = AlertKey::new(kind, Some(&self.repository));
        if !kind.lasts() {
            key = key.of_author(verdict, self.author.as_deref());
        }
        let mut alert = Alert::new(&key, Some(self.job.id), &summary(kind, self), self.decided_at);
        verdict.as_str().clone_into(&mut alert.verdict);
        alert
    }
}

fn summary(kind: AlertKind, decision: &Decision) -> String {
    // A quotation mark inside a name must not end the quotation.
    let name = inert(&decision.job.name, MAX_NAME_CHARS).replace('"', "'");
    let mut job = format!("job {} \"{name}\"", decision.job.id);
    if let Some(pull) = decision.trust.pull_request {
        job.push_str(&format!(" of pull request {pull}"));
    }
    if let Some(author) = &decision.author {
        job.push_str(&format!(" by {}", inert(author, MAX_NAME_CHARS)));
    }
    let reasons = reason::join(&decision.trust.reasons);
    match kind {
        AlertKind::UntrustedOnSelfHosted => {
            format!("{job} is not trusted ({reasons}) and asked for a self-hosted runner")
        }
        AlertKind::TrustedNotRouted => format!("{job} is trusted and was not routed to self-hosted runners"),
        AlertKind::StolenRunner => format!("{job} took a runner that was not made for it"),
        AlertKind::MisconfiguredLabels => format!("{job} has labels that no runner here is meant to serve"),
        AlertKind::TrustUndecided if decision.trust.reasons == [Reason::OverBudget] => {
            format!(
                "{job} is not judged yet: the person or the fork behind it has used up its budget of calls to GitHub"
            )
        }
        AlertKind::TrustUndecided => format!("GitHub leaves the trust of {job} undecided ({reasons})"),
        AlertKind::JobStuck => {
            let reasons = reason::join(&decision.admission.reasons);
            let what = match decision.admission.verdict {
                AdmissionVerdict::Hold => "GitHub leaves open whether it may have one",
                _ => "is refused one",
            };
            format!("{job} waits for a runner, and {what} ({reasons})")
        }
        AlertKind::RunnerBootFailure => format!("no runner came up for {job}"),
        AlertKind::RepositoryChanged => {
            format!("{job} is of another repository than the one that is pinned under this name")
        }
        AlertKind::Rollback => format!("self-hosted routing was switched off because of {job}"),
        other => format!("{} at {job}", other.as_str()),
    }
}
