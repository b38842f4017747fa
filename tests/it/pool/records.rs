//! The records of the pool: the slots of the last pass, and the stored bounds. With a clock that the test moves.

use crate::support::in_process::{InProcess, decide, token};
use crate::support::payload::guid;
use jitgate::app::Context;
use jitgate::app::pool::pass;
use jitgate::app::pool::scale::{Incomplete, ScaleRequest, Scaling, act, plan};
use jitgate::app::records::{self, BoundsRecord, JobRecord, PoolRecord};
use jitgate::config::Synthetic;
use jitgate::domain::place::PlacedSlot;
use jitgate::domain::pool::Bounds;
use jitgate::domain::reason::Reason;
use jitgate::domain::rollout::Origin;
use jitgate::domain::scale::{Control, MissingTarget};
use jitgate::domain::slot::SlotId;
use jitgate::ports::Ledger;
use jitgate::ports::ledger::{Keep, Key, Kind, Put};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const POOL: &str = "one";
const RETENTION: Duration = Duration::from_secs(3600);
const CONFIGURED: Bounds = Bounds {
    min: 3,
    max: 3,
    target: 3,
    max_per_repository: None,
};

struct Stage {
    base: InProcess,
    gate: Arc<Context>,
}

impl Stage {
    /// A pool of three slots that are up.
    async fn set() -> Self {
        let base = InProcess::with(token(), &json!({"runners": {"min": 3, "max": 3}}));
        let stage = Self {
            gate: base.gate(POOL),
            base,
        };
        // The simulated GitHub knows the repository from its first change on.
        stage.base.world(json!({"permissions": {"alice": "write"}})).await;
        stage.settle().await;
        pass::record_state(&stage.gate).await.expect("a record");
        stage
    }

    fn ledger(&self) -> &dyn Ledger {
        self.base.store.ledger.as_ref()
    }

    /// Receives the delivery of a trusted job, and decides on it.
    async fn receive_job(&mut self) {
        let world = json!({
            "pulls": [{"number": 7, "author": "alice"}],
            "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
            "runs": [{"id": 20, "pull": 7, "jobs": [{"id": 101}]}],
        });
        self.base.world(world).await;
        self.base.open_ingress(&self.gate);
        self.base.deliver(&guid(1), "queued", 101).await;
        decide(&self.gate).await;
    }

    async fn settle(&self) {
        while pass::run_once(&self.gate).await.expect("the host answers") > 0 {}
    }

    async fn last_pass(&self) -> PoolRecord {
        let last = records::load(self.ledger(), POOL).await;
        last.expect("the store answers").expect("a record")
    }

    async fn bounds(&self) -> BoundsRecord {
        let bounds = records::load(self.ledger(), POOL).await;
        bounds.expect("the store answers").expect("a record")
    }

    /// The places with the ids of their slots.
    async fn places(&self) -> Vec<(u32, String)> {
        let mut places: Vec<(u32, String)> = self
            .last_pass()
            .await
            .slots
            .into_iter()
            .map(|slot| (slot.index, slot.slot))
            .collect();
        places.sort();
        places
    }

    /// Records three slots whose runners work.
    async fn all_are_busy(&self) {
        let busy = |index: u32| PlacedSlot {
            size: None,
            index,
            slot: format!("slot-{index}"),
            state: "open".to_owned(),
            busy: true,
            ended: false,
            runner: None,
        };
        let record = PoolRecord {
            slots: (1..=3).map(busy).collect(),
            ..self.last_pass().await
        };
        self.store(record).await;
    }

    async fn store<R: records::Record>(&self, record: R) {
        let written = records::update(self.ledger(), POOL, RETENTION, |stored| *stored = Some(record.clone())).await;
        written.expect("the store answers");
    }

    async fn planned(&self, target: u32, force_remove_busy: bool) -> Scaling {
        let request = ScaleRequest {
            pool: Some(POOL),
            control: Control::new(1, 3, Some(target), MissingTarget::Min).expect("bounds"),
            reset: false,
            force_remove_busy,
            configured: CONFIGURED,
            scope: &self.gate.settings.repositories[0].scope,
            has_worker: true,
        };
        let planned: Result<Scaling, Incomplete> = plan(self.ledger(), self.gate.github.as_ref(), &request).await;
        planned.expect("complete facts")
    }

    async fn scale(&self, target: u32, force_remove_busy: bool) -> Scaling {
        let scaling = self.planned(target, force_remove_busy).await;
        let origin = Origin {
            by: Some("alice".to_owned()),
            why: None,
            at: self.base.now(),
        };
        let stored = act(self.ledger(), POOL, RETENTION, &scaling, &origin).await;
        stored.expect("the store answers");
        scaling
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_keep_their_places_over_a_restart() {
    let mut stage = Stage::set().await;
    let before = stage.places().await;
    assert_eq!(before.len(), 3);
    let first = SlotId(before[0].1.clone());
    stage
        .gate
        .host
        .as_ref()
        .expect("a host")
        .destroy(&first)
        .await
        .expect("it goes");

    stage.gate = stage.base.gate(POOL);
    stage.settle().await;
    pass::record_state(&stage.gate).await.expect("a record");
    let after = stage.places().await;
    assert_eq!(after[1..], before[1..], "the slots that stayed");
    assert_eq!(after[0].0, 1, "a new slot takes the lowest free place");
    assert_ne!(after[0].1, before[0].1);

    // The order of the places counts, not the age of the slots.
    stage.scale(2, false).await;
    stage.settle().await;
    pass::record_state(&stage.gate).await.expect("a record");
    assert_eq!(stage.places().await, after[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_recorded_at_most_once_a_second_and_at_least_each_15_s() {
    let stage = Stage::set().await;
    let start = stage.last_pass().await;
    for (seconds, is_recorded) in [(14, false), (1, true)] {
        stage.base.advance(seconds);
        stage.settle().await;
        let at = stage.last_pass().await.at;
        assert_eq!(at == stage.base.now(), is_recorded, "{seconds} s later");
        assert_eq!(at == start.at, !is_recorded, "{seconds} s later");
    }

    stage.scale(2, false).await;
    stage.settle().await;
    assert_eq!(
        stage.last_pass().await.target,
        3,
        "the last write was less than a second ago"
    );
    stage.base.advance(1);
    stage.settle().await;
    let last = stage.last_pass().await;
    assert_eq!((last.target, last.slots.len(), last.at), (2, 2, stage.base.now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_removal_of_busy_slots_stays_requested() {
    let stage = Stage::set().await;
    stage.all_are_busy().await;
    for (target, force, expected) in [
        (3, true, &[][..]),
        (2, true, &["slot-3"]),
        (2, false, &["slot-3"]),
        (1, true, &["slot-3", "slot-2"]),
        (2, false, &["slot-3", "slot-2"]),
        (1, false, &["slot-3", "slot-2"]),
    ] {
        stage.scale(target, force).await;
        let bounds = stage.bounds().await;
        let expected: Vec<String> = expected.iter().map(|slot| (*slot).to_owned()).collect();
        assert_eq!((bounds.target, bounds.remove), (target, expected), "{force}");
    }
    let repeated = stage.scale(1, true).await;
    assert!(!repeated.changes, "both slots are requested already");

    let many = BoundsRecord {
        remove: (0..10_000).map(|number| format!("old-{number}")).collect(),
        ..stage.bounds().await
    };
    stage.store(many).await;
    stage.scale(2, true).await;
    let remove = stage.bounds().await.remove;
    assert_eq!(remove.len(), 10_000);
    assert_eq!((remove[0].as_str(), remove[9_999].as_str()), ("old-1", "slot-3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_bounds_outlive_the_retention_of_records() {
    let stage = Stage::set().await;
    stage.scale(2, false).await;
    stage.base.advance(30 * 24 * 3600);
    assert_eq!(stage.bounds().await.target, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_that_this_version_cannot_read_do_not_apply() {
    let stage = Stage::set().await;
    stage.scale(2, false).await;
    stage.settle().await;
    let key = Key::new(Kind::Bounds, POOL);
    let stored = stage.ledger().get(&key).await.expect("an answer").expect("a record");
    let written = stage
        .ledger()
        .put(&key, "{}", Some(stored.version), Keep::Forever)
        .await;
    assert!(matches!(written, Ok(Put::Written(_))));
    stage.settle().await;
    pass::record_state(&stage.gate).await.expect("a record");
    let last = stage.last_pass().await;
    assert_eq!((last.target, last.slots.len()), (CONFIGURED.target, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_has_ended_is_recorded_as_such_and_is_not_idle() {
    let stage = Stage::set().await;
    let first = SlotId(stage.places().await[0].1.clone());
    stage.base.host.behave(Synthetic {
        failing_boots: 1,
        ..Synthetic::default()
    });
    let host = stage.gate.host.as_ref().expect("a host");
    host.destroy(&first).await.expect("it goes");
    // One pass requests a slot in its place, and the next one sees that its boot has failed.
    for _ in 0..2 {
        stage.base.advance(1);
        pass::run_once(&stage.gate).await.expect("the host answers");
    }
    let slots = stage.last_pass().await.slots;
    let ended: Vec<u32> = slots.iter().filter(|slot| slot.ended).map(|slot| slot.index).collect();
    assert_eq!((ended, slots.len()), (vec![1], 3));
    let counts = stage.planned(3, false).await.plan.counts;
    assert_eq!((counts.slots, counts.boot), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_beyond_the_stored_maximum_is_held() {
    let mut stage = Stage::set().await;
    let none = BoundsRecord {
        min: 0,
        max: 0,
        target: 0,
        origin: Origin::unknown(stage.base.now()),
        remove: Vec::new(),
    };
    stage.store(none).await;
    stage.settle().await;
    stage.receive_job().await;
    let job: Option<JobRecord> = records::load(stage.ledger(), "101").await.expect("the store answers");
    let job = job.expect("a record");
    let decision = &job.decisions.last().expect("a decision").decision;
    assert!(decision.reasons().contains(&&Reason::AtCapacity), "{decision:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_a_runner_does_not_wait() {
    let mut stage = Stage::set().await;
    stage.receive_job().await;
    assert_eq!(stage.planned(3, false).await.plan.counts.waiting_jobs, 1);
    pass::run_once(&stage.gate).await.expect("the host answers");
    let list = records::all::<records::WaitingRecord>(stage.ledger())
        .await
        .expect("the store answers");
    assert_eq!(list.len(), 1, "the job has not started");
    assert_eq!(stage.planned(3, false).await.plan.counts.waiting_jobs, 0);
}
