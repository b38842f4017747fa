//! The consent that a runner without a job gate needs: a public repository, where anyone can propose code, requires the
//! operator's word.

use crate::domain::base_runner::place::Place;
use crate::domain::ids::RepositoryName;
use crate::ports::github::Purpose;
use crate::ports::{Failure, GitHub};

/// The answer to the question whether a runner could receive jobs of a public repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exposure {
    /// Every repository that is known to use the runner is private.
    Private,
    /// This repository is public.
    Public(RepositoryName),
    /// The repositories are not known.
    Unknown,
}

/// Asks GitHub for the visibility of the repositories that a runner serves. `known` are the configured repositories, which
/// stand for those of an organization.
///
/// # Errors
/// The failure of GitHub.
pub async fn exposure(
    github: &dyn GitHub,
    place: Option<&Place>,
    known: &[RepositoryName],
) -> Result<Exposure, Failure> {
    let repositories: Vec<RepositoryName> = match place {
        Some(Place::Repository(name)) => vec![name.clone()],
        Some(Place::Organization(login)) => {
            let of_login = |name: &&RepositoryName| name.owner().eq_ignore_ascii_case(login);
            known.iter().filter(of_login).cloned().collect()
        }
        None => Vec::new(),
    };
    if repositories.is_empty() {
        return Ok(Exposure::Unknown);
    }
    for name in repositories {
        // A repository that these credentials cannot see is not public.
        let shown = github.repository(&name, Purpose::Admit).await?;
        if shown.is_some_and(|shown| shown.is_public) {
            return Ok(Exposure::Public(name));
        }
    }
    Ok(Exposure::Private)
}
