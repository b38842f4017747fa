//! Properties that hold for all answers of GitHub, all ledgers and all policies.
//!
//! The conditions for a runner are written down here a second time, from the raw facts and without a word of the domain's
//! own rules, and both have to agree in every world.

use super::arbitrary::{a_fork, a_pull, a_world};
use crate::support::world::{World, all_actions, noon};
use chrono::TimeDelta;
use jitgate::domain::admission::AdmissionVerdict;
use jitgate::domain::decision::{Action, Decision};
use jitgate::domain::event::{Action as EventAction, JobStatus};
use jitgate::domain::facts::{Cause, Fact, Facts, LiveJob, Pull, User};
use jitgate::domain::ids::{JobId, RunId};
use jitgate::domain::labels::LabelsClass;
use jitgate::domain::policy::{Mode, Permission};
use jitgate::domain::reason::Reason;
use jitgate::domain::trust::Trust;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Returns true if a runner is due, by the raw facts.
fn a_runner_is_due(world: &World) -> bool {
    let (event, facts, policy) = (&world.event, &world.truth, &world.policy);
    let job = &event.job;
    let (Fact::Known(run), Fact::Known(pulls), Fact::Known(live)) = (&facts.run, &facts.pulls, &facts.live_job) else {
        return false;
    };
    let labels: Vec<String> = job.labels.iter().map(|label| label.to_lowercase()).collect();
    let own = format!("chem-run-{}", job.run_id.0);
    let is_own = |label: &str| label == own && !policy.labels.run_label_prefix.is_empty();
    let ours = |label: &str| ["self-hosted", "linux", "x64", "chem-trusted-pr"].contains(&label) || is_own(label);
    let pool = labels.contains(&"chem-trusted-pr".to_owned()) && labels.iter().all(|label| ours(label));

    let waits = event.action == EventAction::Queued
        && job.status == JobStatus::Queued
        && job.conclusion.is_none()
        && live.status == JobStatus::Queued
        && !facts.ledger.at_gate
        && facts.ledger.admitted.is_none()
        && (!world.forged || live.agrees_with(job))
        && job
            .created_at
            .or(job.started_at)
            .is_none_or(|at| noon() - at <= TimeDelta::hours(25));

    let head = run.head_repository.as_ref();
    let same_repository = head.is_some_and(|head| head.id == run.repository_id);
    let same_run = run.event == "pull_request" && run.head_sha == job.head_sha && run.run_attempt == job.run_attempt;

    let here: Vec<&Pull> = pulls.iter().filter(|pull| pull.head_sha == job.head_sha).collect();
    let welcome =
        |pull: &&Pull| ["OWNER", "MEMBER", "COLLABORATOR"].contains(&pull.author_association.to_uppercase().as_str());
    let open: Vec<&&Pull> = here.iter().filter(|pull| pull.open && welcome(pull)).collect();

    let is_bot = |user: &User| user.kind.to_lowercase() == "bot" || user.login.to_lowercase().ends_with("[bot]");
    let exempt = |user: &User| {
        let login = user.login.to_lowercase();
        let named = policy
            .trust
            .allow_bots
            .iter()
            .any(|bot| bot.login.to_lowercase() == login);
        is_bot(user) && named && run.head_branch.as_deref() == Some("feature")
    };
    let may = |user: &User| matches!(facts.permissions.get(&user.login), Some(Fact::Known(p)) if *p >= policy.trust.min_permission);
    let acts = |user: &Option<User>| {
        user.as_ref()
            .is_some_and(|user| exempt(user) || (!is_bot(user) && may(user)))
    };
    let after_a_loss = facts
        .ledger
        .rerun_lost_attempt
        .is_some_and(|lost| lost + 1 == run.run_attempt);
    let is_ours =
        |user: &User| matches!(&facts.own_bot, Fact::Known(own) if own.to_lowercase() == user.login.to_lowercase());
    let restarted = run
        .triggering_actor
        .as_ref()
        .is_some_and(|user| after_a_loss && is_bot(user) && is_ours(user));
    let wrote = |pull: &Pull| match &pull.author {
        Some(author) => exempt(author) || may(author),
        None => policy.trust.min_permission == Permission::None,
    };
    let people = acts(&run.actor) && (restarted || acts(&run.triggering_actor)) && open.iter().any(|pull| wrote(pull));
    let by_a_bot = [&run.actor, &run.triggering_actor].into_iter().flatten().any(&exempt)
        || open.iter().any(|pull| pull.author.as_ref().is_some_and(&exempt));
    let verify = policy.trust.require_verified_commits;
    let vouched = match &facts.commits {
        _ if !by_a_bot && !verify => true,
        Fact::Known(commits) => {
            let own = |user: &User| exempt(user);
            commits.iter().any(|commit| commit.sha == run.head_sha)
                && (!verify || commits.iter().all(|commit| commit.verified))
                && (!by_a_bot || commits.iter().all(|commit| commit.author.as_ref().is_some_and(own)))
        }
        _ => false,
    };

    let ledger = &facts.ledger;
    let off = match &facts.variable {
        Fact::Gone => true,
        Fact::Known(variable) => variable.value.to_lowercase() != "true",
        Fact::NotAsked | Fact::Failed(_) => false,
    };
    let held_up = ledger.served || ledger.overtaken || ledger.quarantined || ledger.at_capacity;
    let held_up = held_up || ledger.stopped || (off && ledger.rolled_back);
    let free = !held_up && ledger.taken_by.is_none();

    let shown = run.private == Some(true) || policy.trust.public_repositories;
    pool && shown && waits && same_repository && same_run && people && vouched && free
}

fn provisions(decision: &Decision) -> bool {
    all_actions(decision).contains(&Action::Provision)
}

/// Returns true if a step of the job ran on a runner of this instance.
fn a_step_ran(world: &World) -> bool {
    let runner = world.truth.ledger.taken_by.as_ref();
    runner.is_some_and(|runner| runner.passed_gate)
}

fn knows_everything(facts: &Facts) -> bool {
    fn answered<T>(fact: &Fact<T>) -> bool {
        matches!(fact, Fact::Known(_) | Fact::Gone)
    }
    answered(&facts.run)
        && answered(&facts.pulls)
        && answered(&facts.changes_workflows)
        && answered(&facts.retargeted)
        && answered(&facts.commits)
        && answered(&facts.own_bot)
        && answered(&facts.variable)
        && answered(&facts.live_job)
        && facts.permissions.values().all(answered)
}

/// More with `JITGATE_TEST_WORLDS`, such as 300000 before a release.
fn worlds() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "how a developer asks for more worlds")]
    let given = std::env::var("JITGATE_TEST_WORLDS");
    given.map_or(1500, |number| number.parse().expect("a number in JITGATE_TEST_WORLDS"))
}

/// Worlds per property. What one of them finds becomes a story with a name, so no seeds are kept.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(worlds())
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_runner_is_made_exactly_when_the_raw_facts_say_so(world in a_world()) {
        let due = a_runner_is_due(&world);
        for decision in [world.decide_on(&world.truth), world.decide()] {
            prop_assert_eq!(provisions(&decision), due, "{:#?}", decision);
            if due {
                prop_assert_eq!(decision.trust.verdict, Trust::Trusted);
                prop_assert_eq!(decision.labels_class, LabelsClass::Pool);
                prop_assert_eq!(decision.admission.verdict, AdmissionVerdict::Admit);
            }
        }
    }

    #[test]
    fn verdicts_and_actions_fit_together(world in a_world()) {
        let decision = world.decide_on(&world.truth);
        let (admission, actions) = (&decision.admission, all_actions(&decision));
        let admits = admission.verdict == AdmissionVerdict::Admit && !world.truth.ledger.at_gate;
        prop_assert_eq!(admits, actions.contains(&Action::Provision));
        match admission.verdict {
            AdmissionVerdict::Admit => prop_assert!(admission.reasons.is_empty()),
            AdmissionVerdict::Deny | AdmissionVerdict::Hold => prop_assert!(!admission.reasons.is_empty()),
            AdmissionVerdict::None => {}
        }
        let skipped = decision.routing.verdict == jitgate::domain::routing::RoutingVerdict::Unjudged
            && world.event.job.was_skipped()
            && decision.trust.reasons != [Reason::JobMismatch];
        prop_assert_eq!(
            decision.trust.reasons.is_empty(),
            decision.trust.verdict == Trust::Trusted || skipped
        );
        for reasons in [&admission.reasons, &decision.trust.reasons] {
            let mut distinct = reasons.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), reasons.len(), "repeated: {:?}", reasons);
        }
        prop_assert!(decision.actions.is_sorted() && decision.would.is_sorted());
        let mut distinct = actions.clone();
        distinct.dedup();
        prop_assert_eq!(distinct, actions, "an action twice");
    }

    #[test]
    fn observe_leaves_github_as_it_is(world in a_world()) {
        let forbidden = [Action::CancelRun, Action::ForceCancelRun, Action::RerunRun, Action::Rollback];
        let observed = world.clone().with(|w| w.policy.mode = Mode::Observe).decide_on(&world.truth);
        prop_assert!(observed.actions.iter().all(|action| !forbidden.contains(action)));
        prop_assert!(observed.would.iter().all(|action| forbidden.contains(action)));
        let mut enforced = world.clone().with(|w| w.policy.mode = Mode::Enforce).decide_on(&world.truth);
        prop_assert_eq!(&enforced.actions, &all_actions(&observed));
        prop_assert!(enforced.would.is_empty());
        (enforced.actions, enforced.would) = (observed.actions.clone(), observed.would.clone());
        prop_assert_eq!(enforced, observed, "the mode changes nothing else");
    }

    #[test]
    fn a_fork_switches_routing_off_only_where_the_workflow_is_ours_or_a_step_ran(fork in a_fork()) {
        let fork = fork.with(|w| w.policy.rollback_on_attempt = false);
        let excused = a_step_ran(&fork) || fork.truth.changes_workflows == Fact::Known(false);
        for decision in [fork.decide_on(&fork.truth), fork.decide()] {
            prop_assert!(excused || !all_actions(&decision).contains(&Action::Rollback), "{:#?}", decision);
        }
    }

    #[test]
    fn routing_is_switched_off_only_on_evidence_about_this_commit(world in a_world()) {
        let world = world.with(|w| w.policy.rollback_on_attempt = false);
        let decision = world.decide_on(&world.truth);
        if a_step_ran(&world) || !all_actions(&decision).contains(&Action::Rollback) {
            return Ok(());
        }
        let (Fact::Known(run), Fact::Known(pulls)) = (&world.truth.run, &world.truth.pulls) else {
            return Err(TestCaseError::fail("nothing is known of the run or its pull requests"));
        };
        let here: Vec<&Pull> = pulls.iter().filter(|pull| pull.head_sha == run.head_sha).collect();
        prop_assert!(!here.is_empty(), "no pull request has this head");
        let policy = &world.policy.trust;
        let welcome = here.iter().filter(|pull| policy.accepts(pull)).count();
        let borne_out = |wanted: bool| {
            here.iter().all(|pull| match &pull.author {
                None => policy.suffices(Permission::None) == wanted,
                Some(author) => match world.truth.permissions.get(&author.login) {
                    Some(Fact::Known(permission)) => policy.suffices(*permission) == wanted,
                    Some(Fact::Gone) => policy.suffices(Permission::None) == wanted,
                    _ => false,
                },
            })
        };
        if decision.trust.verdict == Trust::Trusted {
            prop_assert_eq!(welcome, here.len());
            prop_assert!(borne_out(true), "an author's permission does not bear it out");
        } else {
            prop_assert_eq!(decision.trust.verdict, Trust::Untrusted);
            prop_assert_eq!(&world.truth.changes_workflows, &Fact::Known(false));
            let by_the_run = decision.trust.reasons.iter().any(|reason| !matches!(reason, Reason::Association(_)));
            prop_assert!(by_the_run || (welcome == 0 && borne_out(false)), "{:#?}", decision);
        }
    }

    #[test]
    fn nothing_is_done_about_a_job_that_was_skipped(world in a_world()) {
        let world = world.with(|w| {
            w.event.job.conclusion = Some("skipped".to_owned());
            w.truth.ledger.served = false;
            w.truth.ledger.taken_by = None;
        });
        prop_assert_eq!(all_actions(&world.decide_on(&world.truth)), []);
        prop_assert_eq!(world.gather().1, []);
    }

    #[test]
    fn the_questions_end_and_are_enough(world in a_world()) {
        // Ending, and no question twice, is checked while gathering.
        let (facts, asked) = world.gather();
        prop_assert!(asked.len() <= 8 + world.truth.permissions.len(), "{:?}", asked);
        if !matches!(&facts.run, Fact::Known(_)) {
            prop_assert!(asked.len() <= 2, "asked on without a run: {:?}", asked);
        }
        let from_asked = world.decide_on(&facts);
        // A refusal makes the question about the live job unnecessary.
        let from_all = world.decide_on(&Facts { live_job: facts.live_job.clone(), ..world.truth.clone() });
        // While no runner can be created, no question about permissions is asked.
        let held = world.truth.ledger.quarantined || world.truth.ledger.at_capacity;
        if !held && knows_everything(&world.truth) && from_all.trust.verdict != Trust::Unknown {
            prop_assert_eq!(from_asked.trust.verdict, from_all.trust.verdict);
            prop_assert_eq!(from_asked.routing, from_all.routing);
            let (asked, all) = (&from_asked.admission, &from_all.admission);
            let absent = world.truth.permissions.values().any(|fact| *fact == Fact::Gone);
            if asked.verdict == AdmissionVerdict::Hold && (world.truth.ledger.catching_up || absent) {
                // An answer that GitHub may take back is asked for again before anything else is.
                prop_assert_ne!(all.verdict, AdmissionVerdict::Admit);
            } else if asked.reasons.contains(&Reason::PublicRepository) {
                // The operator is told. Another refusal, if one had been looked for, would cancel the run as well.
                prop_assert_eq!(all.verdict, AdmissionVerdict::Deny);
            } else {
                prop_assert_eq!(asked.verdict, all.verdict);
                prop_assert_eq!(all_actions(&from_asked), all_actions(&from_all));
            }
        }
    }

    #[test]
    fn a_pull_request_of_an_outsider_or_a_step_changes_no_action_on_an_admitted_job(
        world in a_world(), outsiders in a_pull(), name in ".{0,9}",
    ) {
        let outsiders = Pull { author_association: "NONE".to_owned(), ..outsiders };
        let due = a_runner_is_due(&world);
        let kept = world.truth.ledger.admitted.is_some();
        let with_more = world.clone().step(&name).with(|w| {
            if let Fact::Known(pulls) = &mut w.truth.pulls {
                pulls.push(outsiders);
            }
        });
        if due || kept {
            prop_assert_eq!(all_actions(&with_more.decide()), all_actions(&world.decide()));
            prop_assert_eq!(provisions(&with_more.decide_on(&with_more.truth)), due);
        }
        let with_step = world.clone().step(&name);
        prop_assert_eq!(with_step.decide(), world.decide(), "steps are no evidence");
    }

    #[test]
    fn nothing_is_destroyed_or_cancelled_without_githubs_own_record(world in a_world()) {
        let world = world.with(|w| w.truth.live_job = Fact::Failed(Cause::Unavailable));
        let forbidden = [
            Action::DestroyRunner, Action::CancelRun, Action::ForceCancelRun, Action::Rollback, Action::Provision,
        ];
        for decision in [world.decide_on(&world.truth), world.decide()] {
            let actions = all_actions(&decision);
            prop_assert!(!actions.iter().any(|action| forbidden.contains(action)), "{:#?}", decision);
        }
    }

    #[test]
    fn a_forged_identity_gets_nothing(world in a_world(), field in 0_usize..5) {
        let world = world.with(|w| {
            w.forged = true;
            w.truth.ledger.admitted = None;
            let mut live = LiveJob::from(&w.event.job);
            match field {
                0 => live.id = JobId(live.id.0 ^ 1),
                1 => live.run_id = RunId(live.run_id.0 ^ 1),
                2 => live.run_attempt = live.run_attempt.wrapping_add(2).max(1),
                3 => live.head_sha.push('0'),
                _ => live.labels.push("gpu".to_owned()),
            }
            w.truth.live_job = Fact::Known(live);
        });
        let decision = world.decide_on(&world.truth);
        prop_assert_eq!(all_actions(&decision), []);
        prop_assert_eq!(decision.admission.verdict, AdmissionVerdict::Deny);
    }

    #[test]
    fn a_record_survives_json(world in a_world()) {
        let decision = world.decide_on(&world.truth);
        let text = serde_json::to_string(&decision).expect("a record is JSON");
        prop_assert_eq!(&serde_json::from_str::<Decision>(&text).expect("a record is read back"), &decision);
        let facts = serde_json::to_string(&world.truth).expect("facts are JSON");
        prop_assert_eq!(&serde_json::from_str::<Facts>(&facts).expect("facts are read back"), &world.truth);
    }
}

#[test]
fn the_worlds_are_not_all_hopeless() {
    let mut runner = TestRunner::deterministic();
    let (mut due, mut rollbacks) = (0, 0);
    for _ in 0..2000 {
        let world = a_world().new_tree(&mut runner).expect("a world").current();
        due += u32::from(a_runner_is_due(&world));
        rollbacks += u32::from(all_actions(&world.decide_on(&world.truth)).contains(&Action::Rollback));
    }
    assert!(
        due >= 20 && rollbacks >= 20,
        "of 2000 worlds {due} end in a runner and {rollbacks} in a rollback"
    );
}

#[test]
fn no_single_fact_may_be_missing() {
    fn missing<T>() -> [Fact<T>; 3] {
        [
            Fact::NotAsked,
            Fact::Failed(Cause::Unavailable),
            Fact::Failed(Cause::RateLimited),
        ]
    }
    assert!(provisions(&World::trusted().decide_on(&World::trusted().truth)));
    let mut worlds = Vec::new();
    for i in 0..3 {
        worlds.extend([
            World::trusted().with(|w| w.truth.run = missing()[i].clone()),
            World::trusted().with(|w| w.truth.pulls = missing()[i].clone()),
            World::trusted().with(|w| w.truth.live_job = missing()[i].clone()),
            World::trusted().with(|w| {
                w.truth.permissions.insert("ann".to_owned(), missing()[i].clone());
            }),
        ]);
    }
    worlds.push(World::trusted().with(|w| w.truth.permissions.clear()));
    for world in worlds {
        let decision = world.decide_on(&world.truth);
        assert_eq!(decision.admission.verdict, AdmissionVerdict::Hold, "{decision:#?}");
        assert_eq!(decision.actions, [Action::Retry]);
    }
}

#[test]
fn a_record_follows_the_contract() {
    let record = serde_json::to_value(World::fork().decide()).expect("a record is JSON");
    let expected = serde_json::json!({
        "delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "received_at": "2026-11-23T11:59:59Z",
        "decided_at": "2026-11-23T12:00:00Z",
        "action": "queued",
        "repository": "octo/chem",
        "job": {
            "id": 70, "name": "web", "run_id": 7, "run_attempt": 1, "head_sha": "c0ffee",
            "labels": ["self-hosted", "linux", "x64", "chem-trusted-pr", "chem-run-7"],
        },
        "labels_class": "pool",
        "trust": {"verdict": "untrusted", "pull_request": 9, "reasons": ["fork", "association:NONE"]},
        "routing": {"state": "on", "verdict": "misroute"},
        "admission": {"verdict": "deny", "reasons": ["fork", "association:NONE"]},
        "actions": ["cancel-run", "alert:untrusted-on-self-hosted", "rollback"],
        "would": [],
        "warnings": [],
        "author": "mallory",
    });
    assert_eq!(record, expected);
}
