//! Label classes: what a job could reach, by what its `runs-on` says.

use crate::support::world::{World, texts};
use jitgate::domain::ids::RunId;
use jitgate::domain::labels::LabelsClass::{self, Foreign, Hosted, Pool, Reachable};
use proptest::prelude::*;

fn class(labels: &[&str]) -> LabelsClass {
    let world = World::trusted().labels(labels);
    world.policy.labels.classify(&world.event.job)
}

#[test]
fn labels_are_classified_by_the_runners_they_could_reach() {
    for (labels, expected) in [
        // Pool: all of them ours, the trust label among them.
        (&["self-hosted", "linux", "x64", "chem-trusted-pr"][..], Pool),
        (&["chem-trusted-pr"], Pool),
        (&["chem-trusted-pr", "chem-run-7"], Pool),
        (&["Chem-Trusted-PR", "X64", "CHEM-RUN-7"], Pool),
        (&["chem-run-7", "chem-trusted-pr", "chem-trusted-pr"], Pool),
        // Reachable: a runner of ours could match.
        (&[], Reachable),
        (&["self-hosted"], Reachable),
        (&["x64"], Reachable),
        (&["LINUX", "Self-Hosted"], Reachable),
        (&["chem-run-7"], Reachable),
        (&["self-hosted", "chem-run-8"], Reachable),
        (&["chem-trusted-pr", "chem-run-8"], Reachable),
        (&["chem-trusted-pr", "chem-run-7", "chem-run-8"], Reachable),
        (&["chem-trusted-pr", "chem-run-"], Reachable),
        (&["chem-trusted-pr", "chem-run-07"], Reachable),
        (&["chem-trusted-pr", "chem-run-7x"], Reachable),
        (&["chem-trusted-pr", "chem-run-70"], Reachable),
        (&["chem-trusted-pr", "chem-run-7 "], Reachable),
        // Foreign: runners of others.
        (&["self-hosted", "gpu"], Foreign),
        (&["chem-trusted-pr", "gpu"], Foreign),
        (&["self-hosted", "linux", "x64", "chem-trusted-pr", ""], Foreign),
        (&["chem-trusted-pr", "chem-run7"], Foreign),
        (&["chem-trusted-pr", "my-chem-run-7"], Foreign),
        (&["chem-trusted-pr", "x64 "], Foreign),
        // Hosted: the rest.
        (&["ubuntu-latest"], Hosted),
        (&["linux", "x64", "large"], Hosted),
        (&[""], Hosted),
        // No label but ASCII case makes no difference: a Kelvin sign is no k, a long s no s.
        (&["\u{17f}elf-hosted"], Hosted),
        (&["chem-trusted-pr\u{200b}"], Hosted),
        (&["\u{441}hem-trusted-pr"], Hosted),
        (&["chem-trusted-pr", "\u{212a}"], Foreign),
    ] {
        assert_eq!(class(labels), expected, "{labels:?}");
    }
}

#[test]
fn a_job_has_the_label_of_one_size_at_most() {
    let with_sizes = |labels: &[&str], sizes: &[&str]| {
        let mut world = World::trusted().labels(labels);
        world.policy.labels.sizes = texts(sizes);
        let policy = &world.policy.labels;
        let job = &world.event.job;
        (policy.classify(job), policy.size_of(&job.labels))
    };
    let large = Some("large".to_owned());
    let ours = ["self-hosted", "linux", "x64", "chem-trusted-pr"];
    for (labels, expected) in [
        (&["large"][..], (Pool, large.clone())),
        (&["LARGE", "chem-run-7"], (Pool, large.clone())),
        (&["large", "Large"], (Pool, large.clone())),
        (&["huge"], (Pool, Some("huge".to_owned()))),
        (&[], (Pool, None)),
        (&["large", "chem-run-8"], (Reachable, large.clone())),
        (&["larger"], (Foreign, None)),
    ] {
        let labels = [&ours[..], labels].concat();
        assert_eq!(with_sizes(&labels, &["large", "huge"]), expected, "{labels:?}");
    }
    for (labels, expected) in [
        // A runner for a trusted job of this size could match.
        (&["large"][..], Reachable),
        (&["self-hosted", "large"], Reachable),
        // No runner has two sizes.
        (&["chem-trusted-pr", "large", "huge"], Foreign),
        (&["self-hosted", "large", "huge"], Foreign),
        (&["large", "huge"], Hosted),
    ] {
        assert_eq!(with_sizes(labels, &["large", "huge"]).0, expected, "{labels:?}");
    }
    // Without sizes, the label belongs to runners of others.
    let labels = [&ours[..], &["large"]].concat();
    assert_eq!(with_sizes(&labels, &[]), (Foreign, None));
}

#[test]
fn a_run_label_is_the_whole_run_id() {
    let with_run = |id: u64, label: &str| {
        let world = World::trusted()
            .labels(&["chem-trusted-pr", label])
            .with(|w| w.event.job.run_id = RunId(id));
        world.policy.labels.classify(&world.event.job)
    };
    assert_eq!(with_run(u64::MAX, "chem-run-18446744073709551615"), Pool);
    assert_eq!(with_run(u64::MAX, "chem-run-18446744073709551616"), Reachable);
    assert_eq!(with_run(20, "chem-run-20"), Pool);
    assert_eq!(with_run(2, "chem-run-20"), Reachable);
}

#[test]
fn a_label_of_another_job_or_attempt_reaches_no_runner_as_ones_own() {
    let at = |attempt: u32, label: &str| {
        let world = World::trusted()
            .labels(&["chem-trusted-pr", label])
            .with(|w| w.event.job.run_attempt = attempt);
        world.policy.labels.classify(&world.event.job)
    };
    for own in [
        "chem-run-7",
        "chem-run-7-1-web-0",
        "chem-run-7-2-web-0",
        "chem-run-7-2-web-255",
        "CHEM-RUN-7-2-Web-3",
        "chem-run-7-2-end-to-end-3",
        "chem-run-7-2-_a1_-3",
        "chem-run-7-2-a-3-4",
        "chem-run-7-2-web--1",
    ] {
        assert_eq!(at(2, own), Pool, "{own}");
    }
    for other in [
        "chem-run-8-2-web-0",
        "chem-run-07-2-web-0",
        "chem-run-70-2-web-0",
        "chem-run--2-web-0",
        "chem-run-7-",
        "chem-run-7-2",
        "chem-run-7-2-web",
        "chem-run-7-2-web-",
        "chem-run-7-2-web-x",
        "chem-run-7-2-web-01",
        "chem-run-7-2-web-+1",
        "chem-run-7-2--0",
        "chem-run-7-2-0",
        "chem-run-7-2-1-0",
        "chem-run-7-0-web-0",
        "chem-run-7-02-web-0",
        "chem-run-7-+2-web-0",
        "chem-run-7-two-web-0",
        "chem-run-7-3-web-0",
        "chem-run-7-2-we b-0",
        "chem-run-7-2-w\u{e9}b-0",
        "chem-run-7-2-web-0 ",
        "chem-run-7 -2-web-0",
        "chem-run-7-2-web-99999999999999999999",
    ] {
        assert_eq!(at(2, other), Reachable, "{other}");
    }
    let both = World::trusted().labels(&["chem-trusted-pr", "chem-run-7-1-web-0", "chem-run-8-1-web-0"]);
    assert_eq!(both.policy.labels.classify(&both.event.job), Reachable);
}

#[test]
fn without_a_prefix_there_are_no_run_labels() {
    let world = World::trusted()
        .labels(&["chem-trusted-pr", "7"])
        .with(|w| w.policy.labels.run_label_prefix.clear());
    assert_eq!(world.policy.labels.classify(&world.event.job), Foreign);
}

#[test]
fn no_labels_mean_a_group_unless_the_job_was_never_placed() {
    let group_only = World::trusted().labels(&[]);
    let classify = |world: &World| world.policy.labels.classify(&world.event.job);
    assert_eq!(classify(&group_only), Reachable);
    assert_eq!(classify(&group_only.clone().completed("skipped")), Hosted);
    assert_eq!(classify(&group_only.clone().completed("cancelled")), Hosted);
    let ran = group_only
        .running_on_ours(World::trusted().event.job.id, true)
        .completed("success");
    assert_eq!(classify(&ran), Reachable);
}

fn a_label() -> impl Strategy<Value = String> {
    let known = [
        "self-hosted",
        "linux",
        "x64",
        "chem-trusted-pr",
        "chem-run-7",
        "chem-run-7-1-web-0",
        "chem-run-8",
        "chem-run-",
        "ubuntu-latest",
        "gpu",
        "",
    ];
    prop_oneof![9 => prop::sample::select(texts(&known)), 1 => ".{0,12}"]
}

proptest! {
    #[test]
    fn order_case_and_repetition_of_labels_mean_nothing(
        (labels, shuffled) in prop::collection::vec(a_label(), 0..7)
            .prop_flat_map(|labels| (Just(labels.clone()), Just(labels).prop_shuffle())),
        capitals: Vec<bool>,
        fork: bool,
    ) {
        let start = if fork { World::fork() } else { World::trusted() };
        let plain = start.with(|w| w.event.job.labels = labels);
        let disguised = plain.clone().with(|w| {
            let mut upper = capitals.into_iter().chain(std::iter::repeat(false));
            w.event.job.labels = shuffled
                .iter()
                .map(|label| if upper.next() == Some(true) { label.to_ascii_uppercase() } else { label.clone() })
                .collect();
            if let Some(first) = w.event.job.labels.first().cloned() {
                w.event.job.labels.push(first);
            }
        });
        let (plain, mut other) = (plain.decide(), disguised.decide());
        other.job.labels.clone_from(&plain.job.labels);
        prop_assert_eq!(plain, other);
    }
}
