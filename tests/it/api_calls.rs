//! The number of API calls of a decision, compared with the table in `docs/ARCHITECTURE.md`.

use crate::support::world::{World, user};
use jitgate::domain::event::Action;
use jitgate::domain::facts::Fact;
use std::collections::BTreeMap;

fn calls(world: &World) -> usize {
    world.gather().1.len()
}

fn hosted(world: World) -> World {
    world.labels(&["ubuntu-latest"])
}

/// Returns the rows of the table, by event.
fn documented() -> BTreeMap<&'static str, usize> {
    let text = include_str!("../../docs/ARCHITECTURE.md");
    let table = text.split("| event | calls | which |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .map(|cells| (cells[1], cells[2].parse().expect("a number")))
        .collect()
}

#[test]
fn a_decision_makes_the_documented_number_of_api_calls() {
    let trusted = World::trusted;
    let rows = [
        (
            "skipped job",
            trusted().with(|w| w.event.job.conclusion = Some("skipped".to_owned())),
        ),
        ("hosted job of a push", hosted(World::push())),
        ("hosted job of a fork", hosted(World::fork_that_changes_workflows())),
        (
            "hosted job of a trusted pull request",
            hosted(trusted()).with(|w| w.run().path = "other.yml".to_owned()),
        ),
        ("trusted job that was not routed", hosted(trusted())),
        ("trusted pool job, one person", trusted()),
        (
            "trusted pool job, three people",
            trusted().with(|w| {
                let run = w.run();
                (run.actor, run.triggering_actor) = (Some(user("bob")), Some(user("cy")));
                let write = w.truth.permissions["bob"].clone();
                w.truth.permissions.insert("cy".to_owned(), write);
            }),
        ),
        (
            "trusted pool job, running or over",
            trusted().with(|w| w.event.action = Action::InProgress),
        ),
        ("untrusted pool job, from a fork", World::fork_that_changes_workflows()),
        (
            "untrusted pool job, by its association",
            trusted().with(|w| {
                w.pulls()[0].author_association = "NONE".to_owned();
                w.truth.changes_workflows = Fact::Known(true);
            }),
        ),
        (
            "GitHub does not know the run",
            trusted().with(|w| w.truth.run = Fact::Gone),
        ),
    ];
    let counted: BTreeMap<_, _> = rows.iter().map(|(event, world)| (*event, calls(world))).collect();
    assert_eq!(counted, documented());
}
