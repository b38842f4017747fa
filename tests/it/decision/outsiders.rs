//! The attempts of people without rights: none of them gets a runner or switches routing off.

use crate::support::world::{
    NEWER_HEAD, OTHER_JOB, World, all_actions, allowed, bot, codes, commit, pull, unanswered, user,
};
use jitgate::domain::alert::AlertKind;
use jitgate::domain::decision::{Action, Decision};
use jitgate::domain::event::JobStatus;
use jitgate::domain::facts::{Admitted, Base, Commit, Fact, LedgerFacts};
use jitgate::domain::ids::RunId;
use jitgate::domain::policy::{CommitsBy, Permission};
use jitgate::domain::reason::Reason;
use jitgate::domain::routing::RoutingState;
use jitgate::domain::routing::RoutingVerdict::{Attempt, Correct, Misroute, NotRouted};
use jitgate::domain::trust::Trust;

#[track_caller]
fn contained(decision: &Decision) {
    let actions = all_actions(decision);
    assert!(!actions.contains(&Action::Provision), "{decision:#?}");
    assert!(!actions.contains(&Action::Rollback), "{decision:#?}");
}

#[test]
fn a_second_pull_request_on_a_members_branch_changes_nothing() {
    let alone = World::trusted();
    let second = alone.clone().with(|w| w.pulls().push(pull(6, "mallory", "NONE")));
    let closed = second.clone().with(|w| w.pulls()[1].open = false);
    let invited = alone
        .clone()
        .with(|w| w.pulls().insert(0, pull(6, "mallory", "COLLABORATOR")));
    for world in [second, closed, invited] {
        assert_eq!(all_actions(&world.decide()), [Action::Provision]);
        for (now, with_second) in [
            (
                alone.clone().completed("cancelled"),
                world.clone().completed("cancelled"),
            ),
            (
                alone.clone().running_on_ours(crate::support::world::JOB, true),
                world.clone().running_on_ours(crate::support::world::JOB, true),
            ),
        ] {
            assert_eq!(all_actions(&with_second.decide()), all_actions(&now.decide()));
        }
    }
}

#[test]
fn a_pull_request_of_an_outsider_is_not_held_against_the_member_whose_branch_it_uses() {
    // Ann pushes to a branch for which only Mallory has opened a pull request.
    let world = World::trusted().with(|w| *w.pulls() = vec![pull(6, "mallory", "NONE")]);
    let decision = world.decide();
    assert_eq!(decision.trust.verdict, Trust::Untrusted);
    let actions = all_actions(&decision);
    assert_eq!(actions, [Action::Alert(AlertKind::UntrustedOnSelfHosted)]);
    // A run that Mallory caused is Mallory's.
    let caused = world.with(|w| w.run().actor = Some(user("mallory")));
    assert!(all_actions(&caused.decide()).contains(&Action::CancelRun));
}

#[test]
fn an_open_pull_request_of_an_outsider_does_not_replace_the_closed_one_of_a_member() {
    let world = World::trusted().with(|w| {
        w.pulls()[0].open = false;
        w.pulls().push(pull(6, "mallory", "NONE"));
    });
    assert_eq!(codes(&world.decide().admission.reasons), ["pull-request-closed"]);
}

#[test]
fn a_pull_request_of_an_outsider_at_the_commit_is_no_evidence_beside_a_member_whose_head_has_moved() {
    let world = World::trusted().labels(&["ubuntu-latest"]).with(|w| {
        NEWER_HEAD.clone_into(&mut w.pulls()[0].head_sha);
        w.pulls().push(pull(6, "mallory", "NONE"));
    });
    let decision = world.decide_on(&world.truth);
    assert_eq!(decision.routing.verdict, Correct);
    assert_eq!(all_actions(&decision), []);
}

#[test]
fn a_job_without_the_run_label_of_its_workflow_was_not_routed_and_makes_no_misroute() {
    let by_hand = World::fork().labels(&["self-hosted", "linux", "x64", "chem-trusted-pr"]);
    assert_eq!(by_hand.decide().routing.verdict, Misroute);
    let learned = |l: &mut LedgerFacts| {
        l.labelled_workflows.insert(".github/workflows/ci.yml".to_owned());
    };
    let by_hand = by_hand.ledger(learned);
    assert_eq!(by_hand.decide().routing.verdict, Attempt);
    assert!(!all_actions(&by_hand.decide()).contains(&Action::Rollback));
    let routed = World::fork().ledger(learned);
    assert_eq!(routed.decide().routing.verdict, Misroute);
}

#[test]
fn a_fork_against_a_stale_branch_makes_no_misroute() {
    let stale = |world: World| {
        world.with(|w| {
            w.pulls()[0].base = Some(Base {
                branch: "release-1".to_owned(),
                is_default: false,
            });
        })
    };
    let decision = stale(World::fork()).decide();
    assert_eq!(decision.routing.verdict, Attempt);
    contained(&decision);
    let retargeted = World::fork().with(|w| w.truth.retargeted = Fact::Known(true));
    let unsaid = World::fork().with(|w| w.pulls()[0].base = None);
    for world in [retargeted, unsaid] {
        assert_eq!(world.decide().routing.verdict, Attempt);
        contained(&world.decide());
    }
    // The rule covers a further branch where the operator says so.
    let covered =
        stale(World::fork()).with(|w| w.policy.routing.branches = crate::support::world::globs(&["release-*"]));
    assert_eq!(covered.decide().routing.verdict, Misroute);
    // A member's pull request into a branch without the rule is not held against routing either.
    let member = stale(World::trusted().labels(&["ubuntu-latest"]));
    assert_eq!(all_actions(&member.decide()), []);
}

#[test]
fn a_workflow_with_hard_coded_self_hosted_makes_no_misroute() {
    for labels in [&["self-hosted"][..], &["self-hosted", "linux", "x64"]] {
        let decision = World::fork().labels(labels).decide();
        assert_eq!(decision.routing.verdict, Attempt);
        contained(&decision);
    }
}

#[test]
fn a_list_that_lags_accuses_no_author_right_after_an_event() {
    let lagging = |world: World| world.ledger(|l| l.catching_up = true);
    let unlisted = World::trusted().with(|w| w.pulls().clear());
    let older = World::trusted().with(|w| NEWER_HEAD.clone_into(&mut w.pulls()[0].head_sha));
    let uninvited = World::trusted().with(|w| {
        w.truth
            .permissions
            .insert("ann".to_owned(), Fact::Known(Permission::None));
    });
    for world in [unlisted, older, uninvited] {
        let decision = lagging(world.clone()).decide();
        assert_eq!(all_actions(&decision), [Action::Retry], "{decision:#?}");
        assert!(!all_actions(&world.decide()).contains(&Action::Retry));
    }
    // A fork is a fork at once.
    assert!(all_actions(&lagging(World::fork()).decide()).contains(&Action::CancelRun));
}

#[test]
fn a_body_that_names_a_trusted_run_and_another_job_gets_nothing() {
    let forge = |change: &dyn Fn(&mut World)| {
        World::trusted().with(|w| {
            w.forged = true;
            change(w);
        })
    };
    let forged = [
        forge(&|w| w.live().id = OTHER_JOB),
        forge(&|w| w.live().run_id = RunId(8)),
        forge(&|w| w.live().run_attempt = 2),
        forge(&|w| NEWER_HEAD.clone_into(&mut w.live().head_sha)),
        forge(&|w| w.live().labels.clear()),
    ];
    for world in forged {
        for decision in [world.decide(), world.decide_on(&world.truth)] {
            assert_eq!(codes(&decision.admission.reasons), ["job-mismatch"]);
            assert_eq!(all_actions(&decision), []);
        }
    }
    // A repository that only the payload calls private is not served where public ones are not.
    let public = World::trusted().with(|w| {
        w.run().private = None;
        w.policy.trust.public_repositories = false;
    });
    assert_eq!(codes(&public.decide().admission.reasons), ["public-repository"]);
}

#[test]
fn an_event_alone_destroys_cancels_and_accuses_nothing() {
    let silent = |world: World| world.with(|w| w.truth.live_job = unanswered());
    let unconfirmed = [
        silent(World::fork().running_on_ours(OTHER_JOB, false)),
        silent(World::fork()),
        silent(World::trusted().labels(&["ubuntu-latest"])),
        World::fork_that_changes_workflows()
            .running_on_ours(OTHER_JOB, false)
            .with(|w| {
                w.live().runner_id = None;
                w.live().status = JobStatus::Queued;
            }),
        World::trusted()
            .completed("success")
            .ledger(|l| l.served = true)
            .with(|w| {
                w.live().status = JobStatus::InProgress;
            }),
    ];
    for world in unconfirmed {
        let actions = all_actions(&world.decide());
        for action in [Action::DestroyRunner, Action::ForceCancelRun, Action::Rollback] {
            assert!(!actions.contains(&action), "{action} without GitHub's word: {world:#?}");
        }
    }
    assert!(!all_actions(&silent(World::fork()).decide()).contains(&Action::CancelRun));
}

#[test]
fn a_job_that_passed_its_job_gate_keeps_its_verdict() {
    let passed = Admitted {
        pull_request: Some(5),
        author: Some("ann".to_owned()),
        state: RoutingState::On,
        verdict: Correct,
    };
    let world = World::trusted()
        .running_on_ours(crate::support::world::JOB, true)
        .ledger(|l| l.admitted = Some(passed));
    let changes: [&dyn Fn(&mut World); 5] = [
        &|w| w.pulls().push(pull(6, "mallory", "NONE")),
        &|w| *w.pulls() = vec![pull(6, "mallory", "NONE")],
        &|w| w.pulls()[0].open = false,
        &|w| w.truth.permissions.clear(),
        &|w| w.run().actor = None,
    ];
    for change in changes {
        let changed = world.clone().with(change);
        for decision in [
            changed.decide(),
            changed.decide_on(&changed.truth),
            changed.completed("failure").decide(),
        ] {
            assert_eq!(all_actions(&decision), []);
            assert_eq!(
                (decision.trust.verdict, decision.routing.verdict),
                (Trust::Trusted, Correct)
            );
        }
    }
}

#[test]
fn a_bot_does_not_launder_the_commits_of_others() {
    let merger = || bot("merger[bot]");
    let world = World::trusted().with(|w| {
        w.policy.trust.allow_bots = vec![allowed("merger[bot]")];
        w.run().actor = Some(merger());
        w.run().triggering_actor = Some(merger());
        w.pulls()[0].author = Some(merger());
        w.truth.commits = Fact::Known(vec![Commit {
            author: Some(merger()),
            ..commit("ann")
        }]);
    });
    assert_eq!(all_actions(&world.decide()), [Action::Provision]);
    let carried = world
        .clone()
        .with(|w| w.truth.commits = Fact::Known(vec![commit("mallory")]));
    assert_eq!(codes(&carried.decide().admission.reasons), ["commit-author"]);
    let by_people = |author: &str| {
        world.clone().with(|w| {
            w.policy.trust.allow_bots[0].commits_by = CommitsBy::PeopleWithPermission;
            w.truth.commits = Fact::Known(vec![commit(author)]);
        })
    };
    assert_eq!(all_actions(&by_people("bob").decide()), [Action::Provision]);
    let by_mallory = by_people("mallory").decide();
    assert_eq!(codes(&by_mallory.admission.reasons), ["commit-author"]);
    // If the bot must be the author, a commit of an administrator is refused.
    let by_a_member = world
        .clone()
        .with(|w| w.truth.commits = Fact::Known(vec![commit("ann")]));
    assert_eq!(codes(&by_a_member.decide().admission.reasons), ["commit-author"]);
    let of_another_head = world.clone().with(|w| {
        w.truth.commits = Fact::Known(vec![Commit {
            sha: NEWER_HEAD.to_owned(),
            author: Some(merger()),
            ..commit("ann")
        }]);
    });
    assert_eq!(codes(&of_another_head.decide().admission.reasons), ["commits-unknown"]);
    let elsewhere = world.clone().with(|w| w.run().head_branch = Some("other".to_owned()));
    assert_eq!(codes(&elsewhere.decide().trust.reasons), ["bot-actor"]);
    let unlisted = world.with(|w| w.truth.commits = Fact::Gone);
    assert_eq!(codes(&unlisted.decide().admission.reasons), ["commits-unknown"]);
}

#[test]
fn a_commit_without_a_verified_signature_gets_no_runner_where_signatures_are_required() {
    let world = World::trusted().with(|w| w.policy.trust.require_verified_commits = true);
    assert_eq!(codes(&world.decide().admission.reasons), ["unverified-commit"]);
    let signed = world.with(|w| {
        w.truth.commits = Fact::Known(vec![Commit {
            verified: true,
            ..commit("ann")
        }]);
    });
    assert_eq!(all_actions(&signed.decide()), [Action::Provision]);
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
fn missing_answers_are_requested_again_and_the_job_is_contained_meanwhile() {
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
fn an_attempt_switches_routing_off_only_if_the_operator_configured_it() {
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
    // An unknown permission accuses no person.
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
    // A fork is untrusted independent of its author, so the association does not matter.
    let world = World::fork().with(|w| {
        w.truth
            .permissions
            .insert("mallory".to_owned(), Fact::Known(Permission::Admin));
    });
    assert!(world.decide_on(&world.truth).actions.contains(&Action::Rollback));
}

#[test]
fn a_rerun_by_a_person_without_rights_gets_no_runner() {
    let world = World::trusted().with(|w| {
        w.run().run_attempt = 2;
        w.event.job.run_attempt = 2;
        w.run().triggering_actor = Some(user("mallory"));
    });
    let decision = world.decide();
    assert_eq!(codes(&decision.admission.reasons), ["triggering-actor-permission:read"]);
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
    assert!(world.decide().trust.reasons.contains(&Reason::Fork));
}

#[test]
fn a_signed_body_replayed_a_day_later_does_nothing() {
    let a_day_ago = crate::support::world::noon() - chrono::TimeDelta::days(1);
    let world = World::trusted().with(|w| w.event.job.created_at = Some(a_day_ago));
    for replayed in [
        world.clone().ledger(|l| l.served = true),
        world.clone().ledger(|l| l.overtaken = true),
        world
            .clone()
            .with(|w| w.truth.live_job = Fact::Gone)
            .ledger(|l| l.attempts = 4),
        world.with(|w| w.event.job.created_at = Some(a_day_ago - chrono::TimeDelta::hours(2))),
    ] {
        assert_eq!(all_actions(&replayed.decide()), []);
    }
}

#[test]
fn a_job_cancelled_before_its_placement_is_no_evidence() {
    // A push cancels the previous run. The later jobs of that run end without labels and without a runner, which is no
    // fault.
    for world in [World::fork(), World::trusted()] {
        assert_eq!(all_actions(&world.labels(&[]).completed("cancelled").decide()), []);
    }
}

#[test]
fn steps_that_a_payload_lists_are_no_evidence() {
    let stolen = World::fork_that_changes_workflows().running_on_ours(OTHER_JOB, false);
    for name in ["Set up job", "Run curl", "Pre Run actions/checkout@v4", ""] {
        let with_step = stolen.clone().step(name);
        assert_eq!(
            all_actions(&with_step.decide()),
            all_actions(&stolen.decide()),
            "{name:?}"
        );
        contained(&with_step.clone().completed("failure").decide());
    }
    // The host let something through on this runner that was not this job.
    let passed = World::fork_that_changes_workflows().running_on_ours(OTHER_JOB, true);
    assert!(all_actions(&passed.decide()).contains(&Action::Rollback));
}
