//! What people without any rights can try, and that none of it gets them a runner or switches routing off.

use crate::world::{NEWER_HEAD, OTHER_JOB, World, all_actions, pull, unanswered, user};
use jitgate::domain::decision::{Action, Decision};
use jitgate::domain::event::Action as EventAction;
use jitgate::domain::facts::Fact;
use jitgate::domain::policy::Permission;
use jitgate::domain::routing::RoutingVerdict::{Attempt, Correct, Misroute, NotRouted};
use jitgate::domain::trust::Trust;

#[track_caller]
fn contained(decision: &Decision) {
    let actions = all_actions(decision);
    assert!(!actions.contains(&Action::Provision), "{decision:#?}");
    assert!(!actions.contains(&Action::Rollback), "{decision:#?}");
}

#[test]
fn a_second_pull_request_on_a_members_branch_accuses_nobody() {
    let world = World::trusted().with(|w| w.pulls().push(pull(6, "mallory", "NONE")));
    let decision = world.decide();
    assert_eq!(
        (decision.trust.verdict, decision.routing.verdict),
        (Trust::Untrusted, Attempt)
    );
    assert_eq!(decision.trust.pull_request, Some(6), "the one that is at fault");
    assert_eq!(decision.author.as_deref(), Some("mallory"));
    contained(&decision);
    // Closing it again changes nothing, and neither does the event.
    let closed = world.with(|w| w.pulls()[1].open = false);
    contained(&closed.decide());
    contained(&closed.completed("cancelled").decide());
}

#[test]
fn a_run_of_a_closed_second_pull_request_is_not_held_against_routing() {
    // Mallory's run was hosted, rightly. Then Mallory closes the pull request and Ann pushes to her branch.
    let world = World::trusted().labels(&["ubuntu-latest"]).with(|w| {
        w.run().actor = Some(user("mallory"));
        w.pulls().push(pull(6, "mallory", "NONE"));
        w.pulls()[1].open = false;
        for pull in w.pulls() {
            NEWER_HEAD.clone_into(&mut pull.head_sha);
        }
    });
    let decision = world.decide();
    assert_eq!(decision.routing.verdict, Correct);
    assert_eq!(all_actions(&decision), []);
}

#[test]
fn an_open_pull_request_of_a_stranger_counts_when_the_head_has_moved_on() {
    let world = World::trusted().with(|w| {
        w.pulls().insert(0, pull(4, "mallory", "NONE"));
        for pull in w.pulls() {
            NEWER_HEAD.clone_into(&mut pull.head_sha);
        }
    });
    assert_eq!(world.decide().trust.verdict, Trust::Untrusted);
    contained(&world.decide());
}

#[test]
fn a_push_and_a_quick_revert_make_no_misroute() {
    // The run was made for a commit that wrote our labels into the workflow; the pull request is clean again by now.
    let world = World::fork().with(|w| NEWER_HEAD.clone_into(&mut w.pulls()[0].head_sha));
    let decision = world.decide();
    assert_eq!(decision.routing.verdict, Attempt);
    contained(&decision);
    contained(&world.decide_on(&world.truth));
}

#[test]
fn a_fork_that_hides_its_pull_request_makes_no_misroute() {
    for world in [
        World::fork().with(|w| w.pulls().clear()),
        World::fork().with(|w| w.truth.pulls = unanswered()),
        World::fork().with(|w| w.run().head_repository = None),
        World::fork().with(|w| w.run().head_branch = None),
        World::fork().with(|w| w.truth.changes_workflows = unanswered()),
        World::fork().with(|w| w.truth.changes_workflows = Fact::Gone),
    ] {
        assert_eq!(world.decide().routing.verdict, Attempt);
        contained(&world.decide());
    }
}

#[test]
fn what_github_owes_is_asked_for_again_and_contained_meanwhile() {
    for world in [
        World::fork().with(|w| w.truth.pulls = unanswered()),
        World::fork().with(|w| w.truth.changes_workflows = unanswered()),
    ] {
        let decision = world.decide();
        assert!(decision.actions.contains(&Action::CancelRun));
        assert!(decision.actions.contains(&Action::Retry));
        assert!(!world.completed("cancelled").decide().actions.contains(&Action::Retry));
    }
}

#[test]
fn an_attempt_switches_routing_off_only_where_the_operator_said_so() {
    let world = World::fork_that_changes_workflows();
    contained(&world.decide());
    let told_to = world.with(|w| w.policy.rollback_on_attempt = true);
    assert!(told_to.decide().actions.contains(&Action::Rollback));
}

#[test]
fn the_authors_of_another_commit_bear_nothing_out() {
    let moved = World::trusted().with(|w| {
        w.policy.rollback_on_attempt = true;
        let mut pull = pull(5, "ann", "CONTRIBUTOR");
        NEWER_HEAD.clone_into(&mut pull.head_sha);
        *w.pulls() = vec![pull];
        w.truth
            .permissions
            .insert("ann".to_owned(), Fact::Known(Permission::None));
    });
    for decision in [moved.decide(), moved.decide_on(&moved.truth)] {
        assert_eq!(decision.routing.verdict, Attempt);
        contained(&decision);
    }
}

#[test]
fn a_private_member_is_refused_without_a_rollback() {
    // Shows as CONTRIBUTOR, may write, and the workflow's own rule knew better.
    let world = World::trusted().with(|w| *w.pulls() = vec![pull(5, "ann", "CONTRIBUTOR")]);
    let decision = world.decide();
    assert_eq!(decision.routing.verdict, Misroute);
    assert_eq!(decision.warnings, ["association-and-permission-disagree"]);
    contained(&decision);
    // Were Ann really a stranger, the rule would be broken.
    let stranger = world.clone().with(|w| {
        w.truth
            .permissions
            .insert("ann".to_owned(), Fact::Known(Permission::Read));
    });
    assert!(stranger.decide().actions.contains(&Action::Rollback));
    // And while nobody knows, nobody is accused.
    let unknown = world.with(|w| w.truth.permissions.clear());
    contained(&unknown.decide());
    assert!(unknown.decide().actions.contains(&Action::Retry));
}

#[test]
fn an_invitee_with_read_access_is_not_held_against_routing() {
    // Shows as COLLABORATOR, may only read, and was rightly sent to hosted runners.
    let world = World::trusted().labels(&["ubuntu-latest"]).with(|w| {
        *w.pulls() = vec![pull(5, "mallory", "COLLABORATOR")];
    });
    let decision = world.decide();
    assert_eq!(decision.routing.verdict, NotRouted);
    assert_eq!(decision.warnings, ["association-and-permission-disagree"]);
    contained(&decision);
    let ghost = world.clone().with(|w| w.pulls()[0].author = None);
    contained(&ghost.decide());
    let unknown = world.with(|w| w.truth.permissions.clear()).decide();
    contained(&unknown);
    assert!(unknown.actions.contains(&Action::Retry));
}

#[test]
fn being_known_here_does_not_excuse_a_fork() {
    // A fork is untrusted whoever made it, so its association is beside the point.
    let world = World::fork().with(|w| {
        w.truth
            .permissions
            .insert("mallory".to_owned(), Fact::Known(Permission::Admin));
    });
    assert!(world.decide_on(&world.truth).actions.contains(&Action::Rollback));
}

#[test]
fn a_rerun_by_somebody_without_rights_gets_nothing() {
    let world = World::trusted().with(|w| {
        w.run().run_attempt = 2;
        w.event.job.run_attempt = 2;
        w.run().triggering_actor = Some(user("mallory"));
    });
    let decision = world.decide();
    assert_eq!(decision.admission.reasons, ["triggering-actor-permission:read"]);
    contained(&decision);
}

#[test]
fn a_login_in_another_case_borrows_no_permission() {
    let world = World::trusted().with(|w| w.run().triggering_actor = Some(user("ANN")));
    contained(&world.decide());
    contained(&world.decide_on(&world.truth));
}

#[test]
fn a_fork_whose_branch_is_called_main_is_a_fork() {
    let world = World::fork().with(|w| w.run().head_branch = Some("main".to_owned()));
    assert!(world.decide().trust.reasons.contains(&"fork".to_owned()));
}

#[test]
fn a_signed_body_replayed_a_day_later_does_nothing() {
    let a_day_ago = crate::world::noon() - chrono::TimeDelta::days(1);
    let world = World::trusted().with(|w| w.event.job.created_at = Some(a_day_ago));
    for replayed in [
        world.clone().ledger(|l| l.served = true),
        world.clone().ledger(|l| l.overtaken = true),
        world
            .clone()
            .with(|w| w.truth.live_job = Fact::Gone)
            .ledger(|l| l.attempts = 2),
        world.with(|w| w.event.job.created_at = Some(a_day_ago - chrono::TimeDelta::hours(2))),
    ] {
        assert_eq!(all_actions(&replayed.decide()), []);
    }
}

#[test]
fn a_job_cancelled_before_it_was_placed_says_nothing() {
    // A push cancels the run before it; its later jobs end without labels, without a runner, and without anybody's fault.
    for world in [World::fork(), World::trusted()] {
        assert_eq!(all_actions(&world.labels(&[]).completed("cancelled").decide()), []);
    }
}

#[test]
fn names_of_steps_hide_nothing_and_prove_nothing() {
    let stolen = || World::fork_that_changes_workflows().running_on_ours(OTHER_JOB, false);
    // GitHub's own steps come before the gate has spoken.
    for own in [
        "Set up job",
        "Set up runner",
        "Initialize containers",
        "Complete runner",
        "Complete job",
    ] {
        contained(&stolen().step(own).decide());
    }
    // An action's `pre:` is the workflow's own code.
    for theirs in ["Run curl", "Pre Run actions/checkout@v4", "set up job", ""] {
        assert!(
            stolen().step(theirs).decide().actions.contains(&Action::Rollback),
            "{theirs:?}"
        );
    }
    // A step on somebody else's runner is no business of ours.
    let elsewhere = World::fork_that_changes_workflows()
        .step("Run curl")
        .with(|w| w.event.action = EventAction::InProgress);
    contained(&elsewhere.decide());
}
