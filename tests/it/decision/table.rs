//! The routing table of the design: a story for each row, and the whole table against a transcription of it.

use crate::support::world::{NEWER_HEAD, OTHER_JOB, POOL, World, routing_is, unanswered, words};
use chrono::TimeDelta;
use jitgate::domain::admission::AdmissionVerdict::{self, Admit, Deny, Hold, None as NotAsked};
use jitgate::domain::event::Action as EventAction;
use jitgate::domain::facts::{Fact, Variable};
use jitgate::domain::labels::LabelsClass::{self, Foreign, Hosted, Pool, Reachable};
use jitgate::domain::policy::Mode;
use jitgate::domain::routing::RoutingVerdict::{
    self, Attempt, Correct, Drain, Misconfigured, Misroute, NotRouted, Unjudged,
};
use jitgate::domain::routing::{self, RoutingState, Situation};
use jitgate::domain::trust::Trust;

const HOSTED: &[&str] = &["ubuntu-latest"];
const REACHABLE: &[&str] = &["x64"];
const FOREIGN: &[&str] = &["self-hosted", "gpu"];
const FOREIGN_WITH_TRUST_LABEL: &[&str] = &["chem-trusted-pr", "gpu"];

fn on() -> Fact<Variable> {
    routing_is("true")
}

fn off() -> Fact<Variable> {
    Fact::Gone
}

fn any_routing() -> [Fact<Variable>; 3] {
    [on(), off(), unanswered()]
}

/// Holds a world against a row: what is done in either mode, and what only `enforce` does.
#[track_caller]
fn row(world: &World, verdict: RoutingVerdict, admission: AdmissionVerdict, always: &[&str], enforced: &[&str]) {
    let observed = world.clone().with(|w| w.policy.mode = Mode::Observe).decide();
    assert_eq!(
        (observed.routing.verdict, observed.admission.verdict),
        (verdict, admission),
        "{observed:#?}"
    );
    assert_eq!(words(&observed.actions), always, "in observe");
    assert_eq!(words(&observed.would), enforced, "what observe leaves out");
    let enforcing = world.clone().with(|w| w.policy.mode = Mode::Enforce).decide();
    let mut all = [observed.actions, observed.would].concat();
    all.sort_unstable();
    assert_eq!(enforcing.actions, all, "in enforce");
    assert_eq!(enforcing.would, [], "enforce leaves nothing out");
}

#[test]
fn on_trusted_pool_is_served() {
    row(&World::trusted(), Correct, Admit, &["provision"], &[]);
}

#[test]
fn a_trusted_foreign_job_with_the_trust_label_is_misconfigured_for_any_routing() {
    for routing in any_routing() {
        let world = World::trusted().labels(FOREIGN_WITH_TRUST_LABEL).routing(routing);
        row(&world, Misconfigured, Deny, &["alert:misconfigured-labels"], &[]);
    }
}

#[test]
fn on_trusted_elsewhere_is_not_routed() {
    for labels in [HOSTED, REACHABLE, FOREIGN] {
        let world = World::trusted().labels(labels);
        row(
            &world,
            NotRouted,
            NotAsked,
            &["alert:trusted-not-routed"],
            &["rollback"],
        );
    }
}

#[test]
fn trusted_hosted_is_correct_where_nothing_else_was_asked_for() {
    let hosted = || World::trusted().labels(HOSTED);
    for world in [
        hosted().routing(off()),
        hosted().routing(unanswered()),
        hosted().with(|w| w.event.job.name = "route / decide (1, 2)".to_owned()),
        hosted().with(|w| w.run().path = ".github/workflows/docs.yml".to_owned()),
    ] {
        row(&world, Correct, NotAsked, &[], &[]);
    }
}

#[test]
fn trusted_foreign_or_reachable_is_never_served() {
    for labels in [FOREIGN, REACHABLE] {
        for routing in [off(), unanswered()] {
            row(
                &World::trusted().labels(labels).routing(routing),
                Correct,
                NotAsked,
                &[],
                &[],
            );
        }
        let by_design = World::trusted()
            .labels(labels)
            .with(|w| w.event.job.name = "changes".to_owned());
        row(&by_design, Correct, NotAsked, &[], &[]);
    }
}

#[test]
fn off_trusted_pool_is_drained_when_a_person_switched_it_off() {
    row(&World::trusted().routing(off()), Drain, Admit, &["provision"], &[]);
    row(
        &World::trusted().routing(routing_is("false")),
        Drain,
        Admit,
        &["provision"],
        &[],
    );
}

#[test]
fn off_trusted_pool_is_run_again_when_a_rollback_switched_it_off() {
    let world = World::trusted().routing(off()).ledger(|l| l.rolled_back = true);
    row(&world, Drain, Deny, &[], &["cancel-run", "rerun-run"]);
    let told_not_to = world.clone().with(|w| w.policy.rerun_stuck = false);
    row(&told_not_to, Drain, Deny, &[], &[]);
    let switched_on_since = world.routing(on());
    row(&switched_on_since, Correct, Admit, &["provision"], &[]);
}

#[test]
fn a_stopped_repository_gets_no_runner_and_its_runs_go_to_hosted_runners() {
    let stopped = World::trusted().ledger(|l| l.stopped = true);
    row(&stopped, Correct, Deny, &[], &[]);
    row(&stopped.routing(off()), Drain, Deny, &[], &["cancel-run", "rerun-run"]);
}

#[test]
fn untrusted_that_could_reach_us_is_an_attempt_when_it_changes_workflows() {
    for routing in any_routing() {
        for labels in [&POOL[..], REACHABLE, &[]] {
            let world = World::fork_that_changes_workflows()
                .labels(labels)
                .routing(routing.clone());
            row(
                &world,
                Attempt,
                Deny,
                &["alert:untrusted-on-self-hosted"],
                &["cancel-run"],
            );
        }
    }
}

#[test]
fn untrusted_that_could_reach_us_is_a_misroute_when_the_workflow_is_ours() {
    for routing in any_routing() {
        let alert = &["alert:untrusted-on-self-hosted"];
        let world = World::fork().routing(routing.clone());
        row(&world, Misroute, Deny, alert, &["cancel-run", "rollback"]);
        // The routing rule writes all labels of the pool, so it did not send this job.
        let world = world.labels(REACHABLE);
        row(&world, Attempt, Deny, alert, &["cancel-run"]);
    }
}

#[test]
fn ineligible_that_could_reach_us_is_misconfigured() {
    for routing in any_routing() {
        for labels in [&POOL[..], REACHABLE] {
            let world = World::push().labels(labels).routing(routing.clone());
            row(&world, Misconfigured, Deny, &["alert:misconfigured-labels"], &[]);
        }
    }
}

#[test]
fn an_untrusted_job_that_cannot_reach_our_runners_is_left_alone() {
    for routing in any_routing() {
        for labels in [FOREIGN, FOREIGN_WITH_TRUST_LABEL, HOSTED] {
            for world in [World::fork(), World::fork_that_changes_workflows(), World::push()] {
                row(
                    &world.labels(labels).routing(routing.clone()),
                    Correct,
                    NotAsked,
                    &[],
                    &[],
                );
            }
        }
    }
}

#[test]
fn unknown_routing_trusted_pool_is_served() {
    row(
        &World::trusted().routing(unanswered()),
        Unjudged,
        Admit,
        &["provision"],
        &[],
    );
}

#[test]
fn unknown_trust_that_could_reach_us_is_held() {
    for routing in any_routing() {
        for labels in [&POOL[..], REACHABLE] {
            let world = World::undecided().labels(labels).routing(routing.clone());
            row(&world, Unjudged, Hold, &["retry"], &[]);
        }
    }
}

#[test]
fn unknown_trust_that_cannot_reach_us_is_left_alone() {
    for routing in any_routing() {
        for labels in [FOREIGN, HOSTED] {
            let world = World::undecided().labels(labels).routing(routing.clone());
            row(&world, Unjudged, NotAsked, &[], &[]);
        }
    }
}

#[test]
fn a_step_that_ran_makes_a_misroute_of_an_attempt() {
    let world = World::fork_that_changes_workflows().running_on_ours(OTHER_JOB, true);
    let always = &[
        "destroy-runner",
        "alert:untrusted-on-self-hosted",
        "alert:stolen-runner",
    ];
    row(&world, Misroute, Deny, always, &["force-cancel-run", "rollback"]);
}

#[test]
fn a_theft_that_the_job_gate_stopped_is_still_an_attempt() {
    let world = World::fork_that_changes_workflows()
        .running_on_ours(OTHER_JOB, false)
        .step("Set up job");
    let always = &[
        "destroy-runner",
        "alert:untrusted-on-self-hosted",
        "alert:stolen-runner",
    ];
    row(&world, Attempt, Deny, always, &["force-cancel-run"]);
}

#[test]
fn a_job_that_is_not_a_trusted_pool_job_loses_our_runner() {
    for (world, verdict, admission, alerts) in [
        (
            World::push(),
            Misconfigured,
            Deny,
            vec!["alert:stolen-runner", "alert:misconfigured-labels"],
        ),
        (
            World::push().labels(HOSTED),
            Correct,
            NotAsked,
            vec!["alert:stolen-runner"],
        ),
        (
            World::trusted().labels(REACHABLE).routing(off()),
            Correct,
            NotAsked,
            vec!["alert:stolen-runner"],
        ),
    ] {
        let always = [vec!["destroy-runner"], alerts].concat();
        let stopped = world.clone().running_on_ours(OTHER_JOB, false);
        row(&stopped, verdict, admission, &always, &["force-cancel-run"]);
        let ran = world.running_on_ours(OTHER_JOB, true);
        row(&ran, verdict, admission, &always, &["force-cancel-run", "rollback"]);
    }
}

#[test]
fn a_theft_by_an_unknown_author_is_stopped_and_judged_later() {
    let world = World::undecided().running_on_ours(OTHER_JOB, true);
    let always = &["destroy-runner", "alert:stolen-runner", "retry"];
    row(&world, Unjudged, Hold, always, &[]);
    // A rollback depends on the author, also after the job.
    row(&world.clone().completed("failure"), Unjudged, Hold, always, &[]);
    let gone = world.with(|w| w.truth.run = Fact::Gone).ledger(|l| l.attempts = 4);
    row(&gone, Unjudged, Deny, &["destroy-runner", "alert:stolen-runner"], &[]);
}

#[test]
fn trusted_pool_jobs_may_swap_runners() {
    row(
        &World::trusted().running_on_ours(OTHER_JOB, true),
        Correct,
        NotAsked,
        &["rebind"],
        &[],
    );
    let own = World::trusted().with(|w| w.truth.ledger.served = true);
    let job = own.event.job.id;
    row(&own.running_on_ours(job, true), Correct, NotAsked, &[], &[]);
}

#[test]
fn an_unused_runner_is_destroyed_when_its_job_is_over() {
    for conclusion in ["cancelled", "skipped"] {
        let world = World::trusted().completed(conclusion).ledger(|l| l.served = true);
        assert_eq!(words(&world.decide().actions), ["destroy-runner"], "{conclusion}");
    }
}

#[test]
fn a_job_that_is_over_is_not_cancelled() {
    let world = World::fork().completed("cancelled");
    row(
        &world,
        Misroute,
        Deny,
        &["alert:untrusted-on-self-hosted"],
        &["rollback"],
    );
}

#[test]
fn jobs_that_were_never_placed_are_not_judged() {
    for world in [World::trusted(), World::fork(), World::push(), World::undecided()] {
        row(
            &world.clone().labels(&[]).completed("skipped"),
            Unjudged,
            NotAsked,
            &[],
            &[],
        );
        row(&world.clone().completed("skipped"), Unjudged, NotAsked, &[], &[]);
        // Cancelled with its run, before GitHub had looked at `runs-on`.
        row(&world.labels(&[]).completed("cancelled"), Unjudged, NotAsked, &[], &[]);
    }
}

#[test]
fn a_superseded_head_is_cancelled_as_long_as_it_waits() {
    let moved = World::trusted().with(|w| NEWER_HEAD.clone_into(&mut w.pulls()[0].head_sha));
    row(&moved, Correct, Deny, &[], &["cancel-run"]);
    for late in [
        moved.clone().ledger(|l| l.overtaken = true),
        moved.clone().with(|w| w.run().run_attempt = 2),
        moved
            .clone()
            .with(|w| w.event.job.created_at = Some(w.received_at - TimeDelta::hours(30))),
    ] {
        row(&late, Correct, Deny, &[], &[]);
    }
    let rolled_back = moved.routing(off()).ledger(|l| l.rolled_back = true);
    row(&rolled_back, Drain, Deny, &[], &["cancel-run"]);
}

#[test]
fn a_late_event_stops_nothing_behind_a_rollback() {
    let world = World::trusted().routing(off()).ledger(|l| {
        l.rolled_back = true;
        l.overtaken = true;
    });
    row(&world, Drain, Deny, &[], &[]);
}

#[test]
fn only_queued_events_of_jobs_without_a_runner_ask_for_one() {
    for action in [EventAction::Waiting, EventAction::InProgress] {
        let world = World::trusted().with(|w| w.event.action = action);
        row(&world, Correct, NotAsked, &[], &[]);
    }
    row(
        &World::trusted().ledger(|l| l.served = true),
        Correct,
        NotAsked,
        &[],
        &[],
    );
    let taken = World::trusted()
        .running_on_ours(OTHER_JOB, true)
        .with(|w| w.event.action = EventAction::Queued);
    row(&taken, Correct, NotAsked, &["rebind"], &[]);
}

/// The name of a row, the situations that match it, and its verdict.
type Row = (&'static str, fn(&Situation) -> bool, RoutingVerdict);

/// The table as the design prints it, one line a row.
fn transcription() -> Vec<Row> {
    use Trust::{Ineligible, Trusted, Unknown, Untrusted};
    vec![
        (
            "on, trusted, pool",
            |s| (s.state, s.trust, s.class) == (RoutingState::On, Trusted, Pool),
            Correct,
        ),
        (
            "any, trusted, foreign with the trust label",
            |s| s.trust == Trusted && s.class == Foreign && s.has_trust_label,
            Misconfigured,
        ),
        (
            "on, trusted, not pool, a routed workflow, not in hosted_jobs",
            |s| s.state == RoutingState::On && s.trust == Trusted && s.class != Pool && s.belongs_here,
            NotRouted,
        ),
        (
            "any, trusted, hosted otherwise",
            |s| s.trust == Trusted && s.class == Hosted,
            Correct,
        ),
        (
            "any, trusted, foreign or reachable otherwise",
            |s| s.trust == Trusted && [Foreign, Reachable].contains(&s.class),
            Correct,
        ),
        (
            "off, trusted, pool",
            |s| (s.state, s.trust, s.class) == (RoutingState::Off, Trusted, Pool),
            Drain,
        ),
        (
            "any, untrusted, pool or reachable: a step ran",
            |s| s.trust == Untrusted && [Pool, Reachable].contains(&s.class) && s.step_ran,
            Misroute,
        ),
        (
            "any, untrusted, pool: the rule applies and the workflow is unchanged",
            |s| {
                let unchanged = s.changes_workflows == Some(false) && s.rule_applies == Some(true);
                s.trust == Untrusted && s.class == Pool && unchanged
            },
            Misroute,
        ),
        (
            "any, untrusted, pool or reachable: else",
            |s| s.trust == Untrusted && [Pool, Reachable].contains(&s.class),
            Attempt,
        ),
        (
            "any, ineligible, pool or reachable",
            |s| s.trust == Ineligible && [Pool, Reachable].contains(&s.class),
            Misconfigured,
        ),
        (
            "any, untrusted or ineligible, foreign or hosted",
            |s| [Untrusted, Ineligible].contains(&s.trust) && [Foreign, Hosted].contains(&s.class),
            Correct,
        ),
        (
            "unknown, trusted, pool",
            |s| (s.state, s.trust, s.class) == (RoutingState::Unknown, Trusted, Pool),
            Unjudged,
        ),
        (
            "any, unknown, pool or reachable",
            |s| s.trust == Unknown && [Pool, Reachable].contains(&s.class),
            Unjudged,
        ),
        (
            "any, unknown, foreign or hosted",
            |s| s.trust == Unknown && [Foreign, Hosted].contains(&s.class),
            Unjudged,
        ),
    ]
}

fn every_situation() -> Vec<Situation> {
    let mut all = Vec::new();
    for state in [RoutingState::On, RoutingState::Off, RoutingState::Unknown] {
        for trust in [Trust::Trusted, Trust::Untrusted, Trust::Ineligible, Trust::Unknown] {
            for class in [LabelsClass::Pool, Reachable, Foreign, Hosted] {
                for changes_workflows in [Some(true), Some(false), None] {
                    for flags in 0..24 {
                        let rule_applies = [Some(true), Some(false), None][flags / 8];
                        all.push(Situation {
                            state,
                            trust,
                            class,
                            has_trust_label: flags & 1 != 0,
                            belongs_here: flags & 2 != 0,
                            changes_workflows,
                            rule_applies,
                            step_ran: flags & 4 != 0,
                        });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn the_table_is_total_and_its_first_matching_row_decides() {
    let table = transcription();
    let mut used = vec![false; table.len()];
    for situation in every_situation() {
        let found = table.iter().position(|(_, matches, _)| matches(&situation));
        let number = found.unwrap_or_else(|| panic!("no row matches {situation:?}"));
        used[number] = true;
        let (name, _, verdict) = table[number];
        assert_eq!(routing::judge(&situation), verdict, "{name}: {situation:?}");
    }
    for ((name, ..), used) in table.iter().zip(used) {
        assert!(used, "no situation comes to the row {name:?}");
    }
}
