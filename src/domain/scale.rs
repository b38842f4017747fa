//! The bounds of the pool that an operator sets, and their consequences: which slots are removed, in which order, and which
//! are not. Pure functions of the bounds, the slots and GitHub's list of runners.
//!
//! The inventory shows slots by the display names of their places. GitHub knows a slot only while a runner is in it, by the
//! name of this runner.

use super::base_runner::listed::ListedRunner;
use super::place::{PlacedSlot, display_name, index_of, lowest_free};
use super::pool::{self, Bounds};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The bounds that apply without a requested target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingTarget {
    /// The target is the minimum.
    Min,
    /// The target is the maximum.
    Max,
}

/// The requested bounds, and the target that results from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Control {
    pub min: u32,
    pub max: u32,
    pub target_requested: Option<u32>,
    /// Between `min` and `max`.
    pub target_effective: u32,
}

/// The minimum is above the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the minimum {min} is more than the maximum {max}")]
pub struct MinAboveMax {
    pub min: u32,
    pub max: u32,
}

impl Control {
    /// Returns the bounds with a target between them.
    ///
    /// # Errors
    /// If the minimum is above the maximum.
    pub fn new(min: u32, max: u32, target: Option<u32>, missing: MissingTarget) -> Result<Self, MinAboveMax> {
        if min > max {
            return Err(MinAboveMax { min, max });
        }
        let requested = target.unwrap_or(match missing {
            MissingTarget::Min => min,
            MissingTarget::Max => max,
        });
        Ok(Self {
            min,
            max,
            target_requested: target,
            target_effective: requested.clamp(min, max),
        })
    }

    /// Returns the bounds of the number of slots.
    fn bounds(&self) -> Bounds {
        Bounds {
            min: self.min,
            max: self.max,
            target: self.target_effective,
            max_per_repository: None,
        }
    }
}

/// The comparison of the wanted slots, the slots and GitHub's list. Its JSON form is part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inventory {
    pub control: Control,
    pub desired_names: Vec<String>,
    pub github_managed_names: Vec<String>,
    pub local_managed_names: Vec<String>,
    pub runners: Vec<Row>,
}

/// One place of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub name: String,
    pub index: u32,
    /// True if its number is within the target.
    pub desired: bool,
    /// True if GitHub lists its runner, or a runner of this display name.
    pub in_github: bool,
    pub busy: bool,
    pub status: String,
    /// The id of its slot; none if there is no slot.
    pub slot: Option<String>,
    /// The name of the runner in its slot.
    pub runner: Option<String>,
}

/// A step that follows from the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Store the bounds.
    Set,
    /// Let the configuration apply again.
    Reset,
    /// End the runner in a busy slot and remove the slot.
    RemoveBusy,
    /// Remove an idle slot.
    Remove,
    /// Boot a slot.
    Boot,
}

impl Action {
    /// Returns the word in the status file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Reset => "reset",
            Self::RemoveBusy => "remove-busy",
            Self::Remove => "remove",
            Self::Boot => "boot",
        }
    }
}

/// A step of the status file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    pub action: Action,
    /// The display name; none for a step about the bounds.
    pub runner: Option<String>,
    pub detail: String,
}

/// Something that the bounds do not achieve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    pub code: &'static str,
    /// The display name; none if it is about the whole pool.
    pub runner: Option<String>,
    pub message: String,
}

/// The code for a busy slot beyond the target that stays until its job has ended.
pub const BUSY_RUNNER_NOT_REMOVED: &str = "busy_runner_not_removed";
/// The code for a runner at GitHub with a display name and without a slot.
pub const RUNNER_WITHOUT_SLOT: &str = "runner_without_slot";
/// The code for a pool without a running worker.
pub const NO_WORKER: &str = "no_worker";

/// The number of slots and of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub slots: usize,
    pub busy: usize,
    pub idle: usize,
    pub desired: usize,
    pub boot: usize,
    pub remove: usize,
    pub remove_busy: usize,
    pub waiting_jobs: usize,
}

/// The facts for a plan.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub slots: &'a [PlacedSlot],
    pub github: &'a [ListedRunner],
    /// The number of jobs that wait for a slot.
    pub waiting_jobs: u32,
    /// Busy slots beyond the target are removed as well.
    pub force_remove_busy: bool,
}

/// The consequences of bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePlan {
    pub inventory: Inventory,
    pub counts: Counts,
    pub operations: Vec<Operation>,
    pub warnings: Vec<Warning>,
    /// The ids of the busy slots to remove, the highest place first.
    pub forced: Vec<String>,
}

/// Plans the steps that follow from the bounds. The worker takes the same steps: it keeps as many slots as the target, or
/// more while jobs need them, and removes idle slots, the highest place first. A busy slot counts, and stays.
#[must_use]
pub fn plan(control: Control, situation: &Situation<'_>) -> ScalePlan {
    let target = control.target_effective;
    let mut slots: Vec<&PlacedSlot> = situation.slots.iter().filter(|slot| !slot.ended).collect();
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.index));
    let (busy, idle): (Vec<&PlacedSlot>, Vec<&PlacedSlot>) = slots.iter().copied().partition(|slot| slot.busy);
    let is_forced = |slot: &&PlacedSlot| situation.force_remove_busy && slot.index > target;
    let (forced, kept): (Vec<&PlacedSlot>, Vec<&PlacedSlot>) = busy.iter().copied().partition(is_forced);
    let kept_busy = u32::try_from(kept.len()).unwrap_or(u32::MAX);
    let wanted = pool::wanted(kept_busy, situation.waiting_jobs, &control.bounds()) as usize;
    let there = kept.len() + idle.len();
    let removed: Vec<&PlacedSlot> = idle.iter().copied().take(there.saturating_sub(wanted)).collect();
    let booted = free_places(&slots, wanted.saturating_sub(there));
    let operations = [
        steps(Action::RemoveBusy, places(&forced), "its runner and its job are ended"),
        steps(Action::Remove, places(&removed), "it is idle"),
        steps(Action::Boot, booted.iter().copied(), "the worker boots a slot"),
    ];
    let beyond = kept.iter().filter(|slot| slot.index > target);
    ScalePlan {
        counts: Counts {
            slots: slots.len(),
            busy: busy.len(),
            idle: idle.len(),
            desired: target as usize,
            boot: booted.len(),
            remove: removed.len(),
            remove_busy: forced.len(),
            waiting_jobs: situation.waiting_jobs as usize,
        },
        inventory: inventory(control, &slots, situation),
        operations: operations.concat(),
        warnings: beyond
            .copied()
            .map(busy_warning)
            .chain(strangers(situation).map(without_slot))
            .collect(),
        forced: forced.iter().map(|slot| slot.slot.clone()).collect(),
    }
}

fn places(slots: &[&PlacedSlot]) -> impl Iterator<Item = u32> {
    slots.iter().map(|slot| slot.index)
}

/// Returns the lowest places without a slot.
fn free_places(slots: &[&PlacedSlot], count: usize) -> Vec<u32> {
    let mut taken: BTreeSet<u32> = places(slots).collect();
    let next = || {
        let index = lowest_free(&taken);
        taken.insert(index);
        index
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn steps(action: Action, places: impl Iterator<Item = u32>, detail: &str) -> Vec<Operation> {
    let step = |index| Operation {
        action,
        runner: Some(display_name(index)),
        detail: detail.to_owned(),
    };
    places.map(step).collect()
}

fn busy_warning(slot: &PlacedSlot) -> Warning {
    let of = slot
        .runner
        .as_ref()
        .map_or_else(String::new, |runner| format!(" ({runner})"));
    Warning {
        code: BUSY_RUNNER_NOT_REMOVED,
        runner: Some(display_name(slot.index)),
        message: format!(
            "the slot has a runner{of} and stays until its job has ended; --force-remove-busy ends the job"
        ),
    }
}

fn without_slot(runner: &ListedRunner) -> Warning {
    Warning {
        code: RUNNER_WITHOUT_SLOT,
        runner: Some(runner.name.clone()),
        message: "GitHub lists a runner of this name that jitgate did not make: it runs any job with its labels, and jitgate \
                  does not remove it"
            .to_owned(),
    }
}

/// Returns the runners at GitHub that have a display name. jitgate never registers one.
fn strangers<'a>(situation: &Situation<'a>) -> impl Iterator<Item = &'a ListedRunner> {
    situation
        .github
        .iter()
        .filter(|runner| index_of(&runner.name).is_some())
}

fn inventory(control: Control, slots: &[&PlacedSlot], situation: &Situation<'_>) -> Inventory {
    let target = control.target_effective;
    let listed = |name: &str| situation.github.iter().any(|runner| runner.name == name);
    let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
    for index in 1..=target {
        rows.insert(index, Row::missing(index));
    }
    for runner in strangers(situation) {
        let Some(index) = index_of(&runner.name) else { continue };
        rows.insert(
            index,
            Row {
                desired: index <= target,
                in_github: true,
                busy: runner.is_busy,
                status: runner.status().to_owned(),
                ..Row::missing(index)
            },
        );
    }
    for slot in slots {
        let name = display_name(slot.index);
        rows.insert(
            slot.index,
            Row {
                desired: slot.index <= target,
                in_github: slot.runner.as_deref().is_some_and(listed) || listed(&name),
                busy: slot.busy,
                status: slot.state.clone(),
                slot: Some(slot.slot.clone()),
                runner: slot.runner.clone(),
                ..Row::missing(slot.index)
            },
        );
    }
    let names = |is_wanted: &dyn Fn(&Row) -> bool| {
        let wanted = rows.values().filter(|row| is_wanted(row));
        wanted.map(|row| row.name.clone()).collect()
    };
    Inventory {
        control,
        desired_names: names(&|row| row.desired),
        github_managed_names: names(&|row| row.in_github),
        local_managed_names: names(&|row| row.slot.is_some()),
        runners: rows.into_values().collect(),
    }
}

impl Row {
    /// Returns the row of a desired place without a slot.
    fn missing(index: u32) -> Self {
        Self {
            name: display_name(index),
            index,
            desired: true,
            in_github: false,
            busy: false,
            status: "missing".to_owned(),
            slot: None,
            runner: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::RunnerId;
    use proptest::prelude::*;

    fn slot(index: u32, busy: bool) -> PlacedSlot {
        PlacedSlot {
            index,
            size: None,
            slot: format!("slot-{index}"),
            state: if busy { "open" } else { "ready" }.to_owned(),
            busy,
            ended: false,
            runner: busy.then(|| format!("chem-jit-abcdefgh-{index}-1")),
        }
    }

    fn slots(busy: &[bool]) -> Vec<PlacedSlot> {
        (1..).zip(busy).map(|(index, busy)| slot(index, *busy)).collect()
    }

    fn control(min: u32, max: u32, target: u32) -> Control {
        Control::new(min, max, Some(target), MissingTarget::Min).expect("bounds")
    }

    fn planned(control: Control, slots: &[PlacedSlot], github: &[ListedRunner], force: bool) -> ScalePlan {
        plan(
            control,
            &Situation {
                slots,
                github,
                waiting_jobs: 0,
                force_remove_busy: force,
            },
        )
    }

    fn words(plan: &ScalePlan) -> Vec<String> {
        let steps = plan.operations.iter();
        steps
            .map(|step| format!("{} {}", step.action.as_str(), step.runner.as_deref().unwrap_or("-")))
            .collect()
    }

    fn warned(plan: &ScalePlan) -> Vec<(&str, &str)> {
        let warnings = plan.warnings.iter();
        warnings
            .map(|warning| (warning.code, warning.runner.as_deref().unwrap_or("-")))
            .collect()
    }

    #[test]
    fn the_target_is_clamped_and_a_missing_one_is_the_minimum_or_the_maximum() {
        use MissingTarget::{Max, Min};
        for (target, missing, effective) in [
            (None, Min, 1),
            (None, Max, 4),
            (Some(0), Min, 1),
            (Some(1), Max, 1),
            (Some(3), Min, 3),
            (Some(9), Min, 4),
        ] {
            let control = Control::new(1, 4, target, missing).expect("bounds");
            assert_eq!(control.target_effective, effective, "{target:?} {missing:?}");
            assert_eq!(control.target_requested, target);
        }
        let error = Control::new(5, 4, None, Min).expect_err("the minimum is above the maximum");
        assert_eq!(error, MinAboveMax { min: 5, max: 4 });
    }

    #[test]
    fn idle_slots_are_removed_from_the_highest_place_down() {
        let plan = planned(control(1, 4, 1), &slots(&[false; 4]), &[], false);
        assert_eq!(
            words(&plan),
            [
                "remove home-self-host-4",
                "remove home-self-host-3",
                "remove home-self-host-2"
            ]
        );
        assert_eq!(warned(&plan), []);
        assert_eq!((plan.counts.idle, plan.counts.remove), (4, 3));
    }

    #[test]
    fn a_busy_slot_beyond_the_target_stays_and_is_reported() {
        let there = slots(&[false, true, true, false]);
        let plan = planned(control(1, 4, 2), &there, &[], false);
        // The two busy slots are as many as the target.
        assert_eq!(words(&plan), ["remove home-self-host-4", "remove home-self-host"]);
        assert_eq!(warned(&plan), [(BUSY_RUNNER_NOT_REMOVED, "home-self-host-3")]);
        assert_eq!(plan.forced, [""; 0]);
    }

    #[test]
    fn force_removes_busy_slots_beyond_the_target_and_no_others() {
        let there = slots(&[false, true, true, true]);
        let plan = planned(control(1, 4, 2), &there, &[], true);
        assert_eq!(
            words(&plan),
            ["remove-busy home-self-host-4", "remove-busy home-self-host-3"]
        );
        assert_eq!(plan.forced, ["slot-4", "slot-3"]);
        assert_eq!(warned(&plan), []);
        assert_eq!(plan.counts.remove_busy, 2);
    }

    #[test]
    fn missing_slots_boot_in_the_lowest_free_places() {
        let there = [slot(2, true), slot(4, false)];
        let plan = planned(control(1, 4, 4), &there, &[], false);
        assert_eq!(words(&plan), ["boot home-self-host", "boot home-self-host-3"]);
    }

    #[test]
    fn waiting_jobs_keep_slots_up_to_the_maximum() {
        let there = slots(&[true, false, false, false]);
        for (waiting_jobs, expected) in [(0, 3), (1, 2), (9, 1)] {
            let situation = Situation {
                slots: &there,
                github: &[],
                waiting_jobs,
                force_remove_busy: false,
            };
            let plan = plan(control(1, 3, 1), &situation);
            assert_eq!(plan.counts.remove, expected, "{waiting_jobs} waiting jobs");
        }
    }

    #[test]
    fn a_slot_that_has_ended_is_no_slot() {
        let mut ended = slot(1, false);
        ended.ended = true;
        let plan = planned(control(1, 1, 1), &[ended, slot(2, false)], &[], false);
        assert_eq!((words(&plan), plan.counts.slots), (Vec::new(), 1));
    }

    #[test]
    fn the_inventory_compares_the_slots_with_github() {
        let listed = |name: &str| ListedRunner {
            id: RunnerId(1),
            name: name.to_owned(),
            is_online: true,
            is_busy: true,
            labels: Vec::new(),
        };
        // A runner with the display name of a slot, the runner in the second slot, two without a slot, and a runner that is not
        // concerned.
        let github = [
            listed("home-self-host"),
            listed("chem-jit-abcdefgh-2-1"),
            ListedRunner {
                is_online: false,
                ..listed("home-self-host-3")
            },
            listed("home-self-host-5"),
            listed("other"),
        ];
        let plan = planned(control(1, 4, 3), &slots(&[false, true]), &github, false);
        let inventory = &plan.inventory;
        assert_eq!(
            inventory.desired_names,
            ["home-self-host", "home-self-host-2", "home-self-host-3"]
        );
        assert_eq!(
            inventory.github_managed_names,
            [
                "home-self-host",
                "home-self-host-2",
                "home-self-host-3",
                "home-self-host-5"
            ]
        );
        assert_eq!(inventory.local_managed_names, ["home-self-host", "home-self-host-2"]);
        let rows = inventory.runners.iter();
        let rows: Vec<_> = rows
            .map(|row| (row.index, row.desired, row.in_github, row.busy, row.status.as_str()))
            .collect();
        assert_eq!(
            rows,
            [
                (1, true, true, false, "ready"),
                (2, true, true, true, "open"),
                (3, true, true, true, "offline"),
                (5, false, true, true, "online"),
            ]
        );
        let strangers = ["home-self-host", "home-self-host-3", "home-self-host-5"];
        assert_eq!(warned(&plan), strangers.map(|name| (RUNNER_WITHOUT_SLOT, name)));
        let plan = planned(control(1, 4, 3), &slots(&[false, true, false, true]), &[], false);
        let rows = plan.inventory.runners.iter();
        let rows: Vec<_> = rows.map(|row| (row.desired, row.in_github)).collect();
        assert_eq!(rows, [(true, false), (true, false), (true, false), (false, false)]);
        assert_eq!((plan.counts.slots, plan.counts.busy, plan.counts.desired), (4, 2, 3));
        let plan = planned(control(1, 4, 3), &slots(&[true]), &[], false);
        assert_eq!(plan.inventory.runners[2].status, "missing");
        assert_eq!((plan.counts.boot, plan.inventory.desired_names.len()), (2, 3));
    }

    proptest! {
        #[test]
        fn no_busy_slot_is_removed_without_force_and_removals_go_down(
            busy in prop::collection::vec(any::<bool>(), 0..8),
            (min, max, target) in (0_u32..4, 0_u32..8, 0_u32..10),
            force in any::<bool>(),
        ) {
            let control = control(min, max.max(min), target);
            let there = slots(&busy);
            let plan = planned(control, &there, &[], force);
            let of = |action: Action| -> Vec<u32> {
                let those = plan.operations.iter().filter(|step| step.action == action);
                those.filter_map(|step| index_of(step.runner.as_deref()?)).collect()
            };
            let (removed, forced) = (of(Action::Remove), of(Action::RemoveBusy));
            let is_busy = |index: &u32| there.iter().any(|slot| slot.index == *index && slot.busy);
            prop_assert!(!removed.iter().any(is_busy));
            prop_assert!(forced.iter().all(|index| is_busy(index) && *index > control.target_effective));
            prop_assert!(force || forced.is_empty());
            for order in [&removed, &forced] {
                prop_assert!(order.is_sorted_by(|one, next| one > next), "{:?}", order);
            }
            // What remains is as many as wanted, or only busy slots.
            let left = there.len() - removed.len() - forced.len() + of(Action::Boot).len();
            let busy_left = there.iter().filter(|slot| slot.busy).count() - forced.len();
            prop_assert_eq!(left, busy_left.max(control.target_effective as usize).min(control.max as usize).max(busy_left));
        }
    }
}
