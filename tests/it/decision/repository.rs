//! Jobs of a repository that only bears the name of ours.

use super::arbitrary::a_world;
use crate::support::world::{OURS, World, codes};
use jitgate::domain::decision::Action;
use jitgate::domain::ids::{AccountId, RepositoryId};
use jitgate::domain::pin::RepositoryIds;
use proptest::prelude::*;

const OWNER: AccountId = AccountId(9);

fn ids(id: RepositoryId, owner: AccountId) -> RepositoryIds {
    RepositoryIds {
        id: Some(id),
        owner_id: Some(owner),
    }
}

/// A trusted job of the pinned repository.
fn pinned() -> World {
    World::trusted().with(|w| {
        w.event.ids = ids(OURS, OWNER);
        w.run().repository_owner_id = Some(OWNER);
        w.truth.ledger.pinned = ids(OURS, OWNER);
    })
}

#[test]
fn another_id_in_the_payload_or_in_githubs_answer_gets_no_runner() {
    let elsewhere = ids(RepositoryId(OURS.0 + 7), OWNER);
    let sold = ids(OURS, AccountId(OWNER.0 + 7));
    assert!(pinned().decide().actions.contains(&Action::Provision));
    for (what, world) in [
        ("the payload", pinned().with(|w| w.event.ids = elsewhere)),
        ("the payload's owner", pinned().with(|w| w.event.ids = sold)),
        (
            "the run",
            pinned().with(|w| w.run().repository_id = RepositoryId(OURS.0 + 7)),
        ),
        (
            "the run's owner",
            pinned().with(|w| w.run().repository_owner_id = sold.owner_id),
        ),
        (
            "before anything is pinned",
            pinned().with(|w| {
                w.truth.ledger.pinned = RepositoryIds::default();
                w.event.ids = elsewhere;
            }),
        ),
    ] {
        let decision = world.decide();
        assert_eq!(codes(&decision.admission.reasons), ["repository-changed"], "{what}");
        let actions: Vec<String> = decision.actions.iter().map(ToString::to_string).collect();
        assert_eq!(actions, ["alert:repository-changed"], "{what}");
    }
}

#[test]
fn an_admitted_job_continues_if_its_repository_changes_hands() {
    let job = World::trusted().event.job.id;
    let sold = |world: World| world.with(|w| w.event.ids = ids(OURS, AccountId(OWNER.0 + 7)));
    let destroyed = |world: World| world.decide().actions.contains(&Action::DestroyRunner);
    assert!(!destroyed(sold(pinned().running_on_ours(job, true))));
    assert!(
        destroyed(sold(pinned().running_on_ours(job, false))),
        "it has not begun"
    );
}

proptest! {
    #[test]
    fn nothing_is_made_or_changed_in_a_repository_that_is_not_ours(mut world in a_world(), owner in 1_u64..3) {
        world.truth.ledger.pinned = ids(RepositoryId(u64::MAX), AccountId(owner));
        world.event.ids = ids(RepositoryId(1), AccountId(owner));
        let decision = world.decide();
        let done = decision.actions.iter().chain(&decision.would);
        for action in done {
            prop_assert!(
                matches!(action, Action::Alert(_) | Action::DestroyRunner),
                "{action} in {}", decision.repository
            );
        }
    }
}
