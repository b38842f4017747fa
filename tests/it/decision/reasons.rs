//! Every reason code and every alert a decision can give, each with a story that leads to it.

use crate::support::world::{
    NEWER_HEAD, OTHER_JOB, World, allowed, bot, codes, commit, pull, routing_is, unanswered, user,
};
use chrono::TimeDelta;
use jitgate::domain::admission::AdmissionVerdict::{Deny, Hold};
use jitgate::domain::alert::AlertKind;
use jitgate::domain::decision::Action;
use jitgate::domain::event::JobStatus;
use jitgate::domain::facts::{Cause, Commit, Fact};
use jitgate::domain::ids::JobId;
use jitgate::domain::policy::Permission;
use jitgate::domain::question::Question;
use jitgate::domain::routing::RoutingVerdict;
use jitgate::domain::trust::Trust::{Ineligible, Trusted, Unknown, Untrusted};

#[test]
fn the_trust_verdict_has_reasons() {
    let trusted = World::trusted;
    for (world, verdict, reasons) in [
        (trusted(), Trusted, &[][..]),
        (World::fork(), Untrusted, &["fork", "association:NONE"]),
        (
            trusted().with(|w| w.run().head_repository = None),
            Untrusted,
            &["head-repository-gone"],
        ),
        (World::push(), Ineligible, &["event:push"]),
        (
            trusted().with(|w| w.run().event = "pull_request_target".to_owned()),
            Ineligible,
            &["event:pull_request_target"],
        ),
        (
            trusted().with(|w| w.run().actor = Some(bot("ci"))),
            Untrusted,
            &["bot-actor"],
        ),
        (
            trusted().with(|w| w.run().actor = Some(user("CI[Bot]"))),
            Untrusted,
            &["bot-actor"],
        ),
        (trusted().with(|w| w.run().actor = None), Untrusted, &["bot-actor"]),
        (
            trusted().with(|w| *w.pulls() = vec![pull(5, "carol", "CONTRIBUTOR")]),
            Untrusted,
            &["association:CONTRIBUTOR"],
        ),
        (trusted().with(|w| w.pulls().clear()), Untrusted, &["no-pull-request"]),
        (
            trusted().with(|w| w.truth.pulls = Fact::Gone),
            Untrusted,
            &["no-pull-request"],
        ),
        (
            trusted().with(|w| w.run().head_branch = None),
            Untrusted,
            &["no-pull-request"],
        ),
        (World::undecided(), Unknown, &["github-unavailable"]),
        (
            trusted().with(|w| w.truth.pulls = Fact::Failed(Cause::RateLimited)),
            Unknown,
            &["rate-limited"],
        ),
        (trusted().with(|w| w.truth.run = Fact::Gone), Unknown, &["run-gone"]),
    ] {
        let decision = world.decide();
        assert_eq!(decision.trust.verdict, verdict, "{reasons:?}");
        assert_eq!(codes(&decision.trust.reasons), reasons, "{reasons:?}");
    }
}

#[test]
fn associations_are_compared_without_regard_to_case() {
    let world = World::trusted().with(|w| w.policy.trust.associations = vec!["member".to_owned()]);
    assert_eq!(world.decide().trust.verdict, Trusted);
}

#[test]
fn a_denied_admission_has_reasons() {
    let trusted = World::trusted;
    let lowly = |who: &str| {
        let login = who.to_owned();
        move |w: &mut World| {
            w.truth.permissions.insert(login, Fact::Known(Permission::Read));
        }
    };
    for (world, reasons) in [
        (
            trusted().with(|w| w.run().triggering_actor = Some(bot("merger[bot]"))),
            &["bot-triggering-actor"][..],
        ),
        (
            trusted().with(|w| w.run().triggering_actor = None),
            &["bot-triggering-actor", "triggering-actor-permission:none"],
        ),
        (trusted().with(|w| w.pulls()[0].open = false), &["pull-request-closed"]),
        (
            trusted().with(|w| NEWER_HEAD.clone_into(&mut w.pulls()[0].head_sha)),
            &["head-moved"],
        ),
        (trusted().with(|w| w.event.job.head_sha.clear()), &["head-moved"]),
        (
            trusted()
                .with(|w| *w.pulls() = vec![pull(5, "bob", "MEMBER")])
                .with(lowly("bob")),
            &["author-permission:read"],
        ),
        (
            trusted().with(|w| w.run().actor = Some(user("bob"))).with(lowly("bob")),
            &["actor-permission:read"],
        ),
        (
            trusted().with(|w| w.run().triggering_actor = Some(user("mallory"))),
            &["triggering-actor-permission:read"],
        ),
        (
            trusted().with(|w| w.pulls()[0].author = None),
            &["author-permission:none"],
        ),
        (
            trusted()
                .with(|w| w.truth.permissions.clear())
                .with(|w| {
                    w.truth.permissions.insert("ann".to_owned(), Fact::Gone);
                })
                .ledger(|l| l.attempts = 4),
            &[
                "author-permission:none",
                "actor-permission:none",
                "triggering-actor-permission:none",
            ],
        ),
        (trusted().ledger(|l| l.overtaken = true), &["job-not-queued"]),
        (
            trusted().with(|w| w.event.job.status = JobStatus::Other),
            &["job-not-queued"],
        ),
        (trusted().with(|w| w.run().run_attempt = 2), &["job-not-queued"]),
        (
            trusted().with(|w| match &mut w.truth.live_job {
                Fact::Known(live) => live.status = JobStatus::InProgress,
                other => panic!("the job is {other:?}"),
            }),
            &["job-not-queued"],
        ),
        (
            trusted()
                .with(|w| w.truth.live_job = Fact::Gone)
                .ledger(|l| l.attempts = 4),
            &["job-gone"],
        ),
        (
            trusted().with(|w| w.truth.run = Fact::Gone).ledger(|l| l.attempts = 4),
            &["run-gone"],
        ),
        (
            trusted().with(|w| w.event.job.created_at = Some(w.received_at - TimeDelta::hours(25))),
            &["stale"],
        ),
        (
            World::undecided().with(|w| w.event.job.created_at = Some(w.received_at - TimeDelta::hours(25))),
            &["github-unavailable", "stale"],
        ),
        (
            trusted().with(|w| {
                w.run().private = Some(false);
                w.policy.trust.public_repositories = false;
            }),
            &["public-repository"],
        ),
        (
            trusted().routing(Fact::Gone).ledger(|l| l.rolled_back = true),
            &["rolled-back"],
        ),
        (World::push(), &["event:push"]),
        (World::push().labels(&["x64"]), &["event:push", "labels:reachable"]),
        (
            World::fork().labels(&[]),
            &["fork", "association:NONE", "labels:reachable"],
        ),
        (trusted().labels(&["chem-trusted-pr", "gpu"]), &["labels:foreign"]),
    ] {
        let admission = world.decide().admission;
        assert_eq!(admission.verdict, Deny, "{reasons:?}");
        assert_eq!(codes(&admission.reasons), reasons);
    }
}

#[test]
fn a_held_admission_has_reasons() {
    let trusted = World::trusted;
    for (world, reasons) in [
        (trusted().ledger(|l| l.quarantined = true), &["quarantined"][..]),
        (trusted().ledger(|l| l.at_capacity = true), &["at-capacity"]),
        (
            trusted().ledger(|l| {
                l.quarantined = true;
                l.at_capacity = true;
            }),
            &["quarantined", "at-capacity"],
        ),
        (trusted().with(|w| w.truth.permissions.clear()), &["github-unavailable"]),
        // Parked, whatever the run alone shows.
        (
            World::fork().with(|w| w.truth.pulls = Fact::Failed(Cause::OverBudget)),
            &["over-budget"],
        ),
        // A user that GitHub does not find right after the event is asked for again.
        (
            trusted()
                .with(|w| {
                    w.truth.permissions.clear();
                    w.truth.permissions.insert("ann".to_owned(), Fact::Gone);
                })
                .ledger(|l| l.catching_up = true),
            &[
                "author-permission:none",
                "actor-permission:none",
                "triggering-actor-permission:none",
            ],
        ),
        // And some more times after that.
        (
            trusted()
                .with(|w| {
                    w.truth.permissions.clear();
                    w.truth.permissions.insert("ann".to_owned(), Fact::Gone);
                })
                .ledger(|l| l.attempts = 3),
            &[
                "author-permission:none",
                "actor-permission:none",
                "triggering-actor-permission:none",
            ],
        ),
        (
            trusted().with(|w| w.truth.live_job = Fact::Failed(Cause::RateLimited)),
            &["rate-limited"],
        ),
        (trusted().with(|w| w.truth.live_job = Fact::Gone), &["job-gone"]),
        (
            trusted().with(|w| w.truth.run = Fact::Gone).ledger(|l| l.attempts = 1),
            &["run-gone"],
        ),
        // GitHub shows the attempt before: who pressed the button of this one is not known.
        (trusted().with(|w| w.event.job.run_attempt = 2), &["github-unavailable"]),
    ] {
        let decision = world.decide();
        assert_eq!(decision.admission.verdict, Hold, "{reasons:?}");
        assert_eq!(codes(&decision.admission.reasons), reasons);
        assert_eq!(decision.actions, [Action::Retry], "{reasons:?}");
    }
}

#[test]
fn a_hosted_job_while_routing_is_off_has_a_reason() {
    let decision = World::trusted().labels(&["ubuntu-latest"]).routing(Fact::Gone).decide();
    assert_eq!(codes(&decision.admission.reasons), ["routing-off"]);
}

#[test]
fn a_job_is_stale_after_25_hours_and_not_before() {
    let aged = |seconds: i64| {
        World::trusted().with(|w| {
            let at = crate::support::world::noon() - TimeDelta::seconds(seconds);
            (w.event.job.created_at, w.event.job.started_at) = (None, Some(at));
        })
    };
    assert_eq!(aged(25 * 3600).decide().actions, [Action::Provision]);
    assert_eq!(codes(&aged(25 * 3600 + 1).decide().admission.reasons), ["stale"]);
}

#[test]
fn a_permission_is_enough_from_the_minimum_on() {
    for minimum in [Permission::Read, Permission::Write, Permission::Admin] {
        for held in [Permission::None, Permission::Read, Permission::Write, Permission::Admin] {
            let world = World::trusted().with(|w| {
                w.policy.trust.min_permission = minimum;
                w.truth.permissions.insert("ann".to_owned(), Fact::Known(held));
            });
            let served = world.decide().actions == [Action::Provision];
            assert_eq!(served, held >= minimum, "{held:?} where {minimum:?} is asked for");
        }
    }
}

#[test]
fn an_own_rerun_after_a_loss_needs_no_person_behind_it_and_fails_every_other_rule_as_before() {
    let own = || {
        World::trusted()
            .ledger(|ledger| ledger.rerun_lost_attempt = Some(1))
            .with(|w| {
                let run = w.run();
                (run.run_attempt, run.triggering_actor) = (2, Some(bot("jitgate[bot]")));
                w.event.job.run_attempt = 2;
            })
    };
    let decision = own().decide();
    assert_eq!(decision.actions, [Action::Provision]);
    assert!(decision.own_rerun);
    assert!(own().gather().1.contains(&Question::OwnBot));
    assert!(!World::trusted().gather().1.contains(&Question::OwnBot));
    for (world, reason) in [
        (
            own().ledger(|ledger| ledger.rerun_lost_attempt = None),
            "bot-triggering-actor",
        ),
        (
            own().ledger(|ledger| ledger.rerun_lost_attempt = Some(2)),
            "bot-triggering-actor",
        ),
        (
            own().with(|w| w.truth.own_bot = Fact::Known("merger[bot]".to_owned())),
            "bot-triggering-actor",
        ),
        (own().with(|w| w.truth.own_bot = Fact::Gone), "bot-triggering-actor"),
        (
            own().with(|w| w.run().triggering_actor = Some(user("mallory"))),
            "triggering-actor-permission:read",
        ),
        (
            own().with(|w| w.run().actor = Some(user("mallory"))),
            "actor-permission:read",
        ),
        (
            own().with(|w| w.pulls()[0].author = Some(user("mallory"))),
            "author-permission:read",
        ),
        (own().with(|w| w.pulls()[0].open = false), "pull-request-closed"),
        (
            own().with(|w| NEWER_HEAD.clone_into(&mut w.pulls()[0].head_sha)),
            "head-moved",
        ),
    ] {
        let decision = world.decide();
        assert_eq!(decision.trust.verdict, Trusted, "{reason}");
        assert!(
            codes(&decision.admission.reasons).contains(&reason.to_owned()),
            "{reason}: {decision:#?}"
        );
        assert!(!decision.actions.contains(&Action::Provision), "{reason}");
    }
    for (world, reason) in [
        (own().with(|w| w.run().actor = Some(bot("jitgate[bot]"))), "bot-actor"),
        (
            own().with(|w| "NONE".clone_into(&mut w.pulls()[0].author_association)),
            "association:NONE",
        ),
    ] {
        let decision = world.decide();
        assert_eq!(codes(&decision.trust.reasons), [reason]);
        assert!(!decision.actions.contains(&Action::Provision), "{reason}");
    }
    let open = own().with(|w| w.truth.own_bot = unanswered()).decide();
    assert_eq!(open.admission.verdict, Hold);
    assert_eq!(open.actions, [Action::Retry]);
}

#[test]
fn an_own_rerun_is_routed_correctly_wherever_the_workflow_sends_it() {
    let hosted = |mark| {
        let world = World::trusted().labels(&["ubuntu-latest"]).with(|w| {
            let run = w.run();
            (run.run_attempt, run.triggering_actor) = (2, Some(bot("jitgate[bot]")));
            w.event.job.run_attempt = 2;
        });
        world.ledger(|ledger| ledger.rerun_lost_attempt = mark)
    };
    let own = hosted(Some(1)).decide();
    assert_eq!(
        (own.routing.verdict, &own.actions[..]),
        (RoutingVerdict::Correct, &[][..])
    );
    let open = hosted(Some(1)).with(|w| w.truth.own_bot = unanswered()).decide();
    assert_eq!(open.actions, [], "an open question accuses no one");
    for other in [
        hosted(None),
        hosted(Some(1)).with(|w| w.run().triggering_actor = Some(bot("merger[bot]"))),
    ] {
        let decision = other.decide();
        assert_eq!(decision.routing.verdict, RoutingVerdict::NotRouted);
        assert!(decision.actions.contains(&Action::Rollback));
    }
}

#[test]
fn an_exempt_bot_needs_no_permission_and_still_an_association() {
    let bots = World::trusted().with(|w| {
        w.policy.trust.allow_bots = vec![allowed("Renovate[bot]")];
        w.truth.commits = Fact::Known(vec![Commit {
            author: Some(bot("renovate[bot]")),
            ..commit("ann")
        }]);
        *w.pulls() = vec![pull(5, "renovate[bot]", "MEMBER")];
        w.run().actor = Some(bot("renovate[bot]"));
        w.run().triggering_actor = Some(bot("renovate[bot]"));
    });
    assert_eq!(bots.decide().actions, [Action::Provision]);
    let stranger = bots
        .clone()
        .with(|w| "NONE".clone_into(&mut w.pulls()[0].author_association));
    assert_eq!(codes(&stranger.decide().trust.reasons), ["association:NONE"]);
    // The name alone does not make a bot: a person with that name needs a permission.
    let person = World::trusted().with(|w| w.policy.trust.allow_bots = vec![allowed("mallory")]);
    let person = person.with(|w| w.run().triggering_actor = Some(user("mallory")));
    assert_eq!(
        codes(&person.decide().admission.reasons),
        ["triggering-actor-permission:read"]
    );
}

#[test]
fn routing_is_on_when_the_variable_is_true_and_older_than_the_run() {
    use jitgate::domain::routing::RoutingState::{self, Off, On};
    let run_at = crate::support::world::noon() - TimeDelta::minutes(1);
    let state = |variable| World::trusted().routing(variable).decide().routing.state;
    let changed = |value: &str, after_s: i64| {
        let mut variable = routing_is(value);
        if let Fact::Known(variable) = &mut variable {
            variable.updated_at = Some(run_at + TimeDelta::seconds(after_s));
        }
        state(variable)
    };
    for on in ["true", "True", "TRUE"] {
        assert_eq!(state(routing_is(on)), On, "{on:?}");
    }
    for off in ["false", "", "1", "yes", " true", "true\n"] {
        assert_eq!(state(routing_is(off)), Off, "{off:?}");
    }
    assert_eq!(state(Fact::Gone), Off);
    assert_eq!(state(unanswered()), RoutingState::Unknown);
    assert_eq!(changed("true", 0), On);
    assert_eq!(changed("true", 2), On, "no job can have read it yet");
    assert_eq!(changed("true", 3), RoutingState::Unknown);
    assert_eq!(changed("false", 3), Off);
}

#[test]
fn each_alert_of_a_decision_has_a_test_case() {
    for (world, kind) in [
        (World::fork(), AlertKind::UntrustedOnSelfHosted),
        (World::trusted().labels(&["ubuntu-latest"]), AlertKind::TrustedNotRouted),
        (World::fork().running_on_ours(OTHER_JOB, false), AlertKind::StolenRunner),
        (World::push(), AlertKind::MisconfiguredLabels),
        (
            World::trusted().with(|w| {
                w.run().private = Some(false);
                w.policy.trust.public_repositories = false;
            }),
            AlertKind::JobStuck,
        ),
        (
            World::undecided().with(|w| w.received_at -= TimeDelta::minutes(5)),
            AlertKind::TrustUndecided,
        ),
    ] {
        assert!(world.decide().actions.contains(&Action::Alert(kind)), "{kind:?}");
    }
    let lately = World::undecided().with(|w| w.received_at -= TimeDelta::minutes(4));
    assert_eq!(lately.decide().actions, [Action::Retry]);
}

#[test]
fn repeats_of_an_alert_fold_by_repository_kind_verdict_and_author() {
    let alert = |world: World| world.decide().alert(AlertKind::UntrustedOnSelfHosted);
    let first = alert(World::fork());
    assert_eq!(first.key, "octo/chem/untrusted-on-self-hosted/misroute/mallory");
    assert_eq!(first.verdict, "misroute");
    let same_job = first.clone().raised_again(&alert(World::fork()));
    assert_eq!(same_job.count, 1);
    let other_job = same_job.raised_again(&alert(World::fork().with(|w| w.event.job.id = OTHER_JOB)));
    assert_eq!((other_job.count, other_job.job_id), (2, Some(OTHER_JOB.0)));
    assert_ne!(alert(World::fork_that_changes_workflows()).key, first.key);
}

#[test]
fn a_flood_of_one_author_over_the_budget_raises_one_alert() {
    let parked = |job: u64| {
        World::fork().with(|w| {
            w.event.job.id = JobId(job);
            w.truth.pulls = Fact::Failed(Cause::OverBudget);
            w.received_at -= TimeDelta::minutes(5);
        })
    };
    let decision = parked(1).decide();
    assert_eq!(
        decision.author.as_deref(),
        Some("mallory"),
        "quarantine counts by person"
    );
    assert_eq!(
        decision.actions,
        [Action::Alert(AlertKind::TrustUndecided), Action::Retry],
        "no call is made about it"
    );
    let alert = |job: u64| parked(job).decide().alert(AlertKind::TrustUndecided);
    let first = alert(1);
    assert!(first.summary.contains("mallory"), "{}", first.summary);
    assert!(first.summary.contains("budget of calls to GitHub"), "{}", first.summary);
    assert!((2..64).all(|job| alert(job).key == first.key));
}
