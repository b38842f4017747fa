//! The number of questions to GitHub: the fewest that decide.

use crate::support::world::{NEWER_HEAD, OTHER_JOB, World, allowed, bot, pull, unanswered, user};
use jitgate::domain::event::Action as EventAction;
use jitgate::domain::facts::Fact;
use jitgate::domain::question::Question::{
    self, ChangedFiles, Commits, LiveJob, Permission, Retargeted, Run, Variable,
};

fn pulls_of(owner: &str) -> Question {
    Question::Pulls {
        owner: owner.to_owned(),
        branch: "feature".to_owned(),
    }
}

fn permission(login: &str) -> Question {
    Permission(login.to_owned())
}

#[track_caller]
fn asks(world: &World, questions: &[Question]) {
    assert_eq!(world.gather().1, questions);
}

#[test]
fn a_hosted_job_costs_two_questions_or_three() {
    let hosted = |world: World| world.labels(&["ubuntu-latest"]);
    asks(&hosted(World::push()), &[Run, Variable]);
    asks(&hosted(World::fork()), &[Run, Variable]);
    let off = hosted(World::trusted()).routing(Fact::Gone);
    asks(&off, &[Run, pulls_of("octo"), Variable]);
    let by_design = hosted(World::trusted()).with(|w| w.event.job.name = "route".to_owned());
    asks(&by_design, &[Run, pulls_of("octo"), Variable]);
}

#[test]
fn an_accusation_costs_the_question_it_rests_on() {
    let not_routed = World::trusted().labels(&["ubuntu-latest"]);
    asks(
        &not_routed,
        &[Run, pulls_of("octo"), Variable, LiveJob, permission("ann")],
    );
    asks(
        &World::fork(),
        &[
            LiveJob,
            Run,
            pulls_of("mallory"),
            Variable,
            ChangedFiles(vec![9]),
            Retargeted(vec![9]),
        ],
    );
    let stranger = World::trusted().with(|w| *w.pulls() = vec![pull(5, "mallory", "NONE")]);
    let stranger = stranger.with(|w| w.run().actor = Some(user("mallory")));
    let questions = [
        LiveJob,
        Run,
        pulls_of("octo"),
        Variable,
        ChangedFiles(vec![5]),
        Retargeted(vec![5]),
        permission("mallory"),
    ];
    asks(&stranger, &questions);
    // If an attempt switches routing off, the author's permission is evidence as well.
    let attempt = stranger.with(|w| {
        w.policy.rollback_on_attempt = true;
        w.truth.changes_workflows = Fact::Known(true);
    });
    let author = permission("mallory");
    asks(&attempt, &[&questions[..5], &[author]].concat());
}

#[test]
fn a_question_without_influence_is_not_asked() {
    for world in [
        World::fork().with(|w| NEWER_HEAD.clone_into(&mut w.pulls()[0].head_sha)),
        World::fork().with(|w| w.pulls().clear()),
    ] {
        asks(&world, &[LiveJob, Run, pulls_of("mallory"), Variable]);
    }
    let second = World::trusted().with(|w| w.pulls().push(pull(6, "mallory", "NONE")));
    asks(&second, &[LiveJob, Run, pulls_of("octo"), Variable, permission("ann")]);
}

#[test]
fn a_runner_costs_five_questions_and_one_more_for_each_further_person() {
    let start = [LiveJob, Run, pulls_of("octo"), Variable, permission("ann")];
    asks(&World::trusted(), &start);
    let two = World::trusted().with(|w| w.run().triggering_actor = Some(user("bob")));
    asks(&two, &[&start[..], &[permission("bob")]].concat());
    let exempt = World::trusted().with(|w| {
        w.policy.trust.allow_bots = vec![allowed("merger[bot]")];
        w.run().triggering_actor = Some(bot("merger[bot]"));
    });
    asks(&exempt, &[&start[..], &[Commits(5)]].concat());
}

#[test]
fn admission_stops_asking_once_it_knows() {
    let start = [LiveJob, Run, pulls_of("octo"), Variable];
    for world in [
        World::trusted().ledger(|l| l.served = true),
        World::trusted().ledger(|l| l.quarantined = true),
        World::trusted().ledger(|l| l.at_capacity = true),
        World::trusted().ledger(|l| l.overtaken = true),
        World::trusted().routing(Fact::Gone).ledger(|l| l.rolled_back = true),
        World::trusted().ledger(|l| l.stopped = true),
        World::trusted().with(|w| w.pulls()[0].open = false),
        World::trusted().with(|w| w.pulls()[0].author = None),
        World::trusted().with(|w| w.event.action = EventAction::Waiting),
        World::trusted().running_on_ours(OTHER_JOB, true),
    ] {
        asks(&world, &start);
    }
    let lowly = World::trusted().with(|w| {
        *w.pulls() = vec![pull(5, "mallory", "COLLABORATOR")];
    });
    asks(&lowly, &[&start[..], &[permission("mallory")]].concat());
    let silent = World::trusted().with(|w| w.truth.permissions.clear());
    asks(&silent, &[&start[..], &[permission("ann")]].concat());
}

#[test]
fn without_a_run_nothing_else_is_asked() {
    for world in [World::undecided(), World::trusted().with(|w| w.truth.run = Fact::Gone)] {
        asks(&world, &[LiveJob, Run]);
    }
    let no_pulls = World::trusted().with(|w| w.truth.pulls = unanswered());
    asks(&no_pulls, &[LiveJob, Run, pulls_of("octo"), Variable]);
}

#[test]
fn a_job_that_was_never_placed_costs_nothing() {
    asks(&World::trusted().completed("skipped"), &[]);
    asks(&World::fork().labels(&[]).completed("cancelled"), &[]);
}

#[test]
fn without_a_branch_no_pull_request_is_looked_for() {
    let world = World::trusted().with(|w| w.run().head_branch = None);
    asks(&world, &[LiveJob, Run, Variable, permission("ann")]);
}
