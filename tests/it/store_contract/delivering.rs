//! Stories of deliveries that are taken, worked on, and given back.

use super::engine::*;
use jitgate::domain::event::Action;
use jitgate::domain::ids::JobId;
use jitgate::ports::queue::{Accepted, Arrival, Delivery, DeliveryState, Depth, Filter, Work};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) async fn a_delivery_is_taken_worked_on_and_done(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("a").of_job(7).received(3).enters(store).await;
    let waiting = known(store, "a").await.expect("known");
    assert!(waiting.due_at.is_some(), "it waits for a worker");
    let queued = Delivery {
        id: guid("a"),
        event: "workflow_job".to_owned(),
        action: Some(Action::Queued),
        repository: Some("octo-org/chem".to_owned()),
        job: Some(JobId(7)),
        received_at: moment(3),
        state: DeliveryState::Queued,
        attempts: 0,
        due_at: waiting.due_at,
        cause: None,
        synthesized: false,
    };
    assert_eq!(waiting, queued);

    let lease = claim_only(store, "a").await;
    assert_eq!((lease.received_at, lease.attempts), (moment(3), 0));
    assert_eq!(lease.body, b"a");
    assert_eq!(ids(&claim(store, 10).await), [""; 0], "it is worked on already");
    let leased = Delivery {
        state: DeliveryState::Leased,
        attempts: 1,
        due_at: None,
        ..queued
    };
    assert_eq!(known(store, "a").await, Some(leased.clone()));

    ack(store, lease).await;
    let done = Delivery {
        state: DeliveryState::Done,
        ..leased
    };
    assert_eq!(known(store, "a").await, Some(done));
    assert_eq!(ids(&claim(store, 10).await), [""; 0]);
    assert_eq!(body(store, "a").await.as_deref(), Some(&b"a"[..]), "kept for a replay");
}

pub(super) async fn a_failed_delivery_comes_back_after_its_delay(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("soon").of_job(1).enters(store).await;
    delivery("late").of_job(2).enters(store).await;
    let [soon, late] = <[_; 2]>::try_from(claim(store, 2).await).expect("both");
    retry(store, soon, engine.brief()).await;
    retry(store, late, LONG).await;
    engine.pass(engine.brief()).await;
    let again = claim_only(store, "soon").await;
    assert_eq!((again.attempts, again.body.as_slice()), (1, &b"soon"[..]));
    let waiting = known(store, "late").await.expect("known");
    assert_eq!((waiting.state, waiting.attempts), (DeliveryState::Queued, 1));
    assert_eq!(waiting.cause.as_deref(), Some("GitHub is out of reach"));
    assert!(waiting.due_at > known(store, "soon").await.expect("known").due_at);
}

pub(super) async fn a_dead_letter_is_queued_again_when_its_guid_arrives_again(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("a").enters(store).await;
    bury(store, claim_only(store, "a").await).await;
    let dead = known(store, "a").await.expect("known");
    assert_eq!((dead.state, dead.due_at), (DeliveryState::Dead, None));
    assert_eq!(dead.cause.as_deref(), Some("it is unreadable"));
    assert_eq!(ids(&claim(store, 10).await), [""; 0]);

    assert_eq!(store.accept(ignored("a")).await, Ok(Accepted::AlreadySeen));
    assert_eq!(state(store, "a").await, Some(DeliveryState::Dead));
    delivery("a").of_job(2).received(9).with_body("new").enters(store).await;
    assert_eq!(delivery("a").arrives(store).await, Accepted::AlreadySeen);
    let reborn = claim_only(store, "a").await;
    assert_eq!((reborn.received_at, reborn.attempts), (moment(9), 0));
    assert_eq!(reborn.body, b"new");
    assert_eq!(known(store, "a").await.expect("known").cause, None);
    ack(store, reborn).await;
    assert_eq!(delivery("a").arrives(store).await, Accepted::AlreadySeen);
}

pub(super) async fn what_a_dead_worker_held_comes_back(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("a").enters(store).await;
    let lost = claim_for(store, 1, engine.brief()).await;
    assert_eq!(ids(&lost), ["a"]);
    engine.pass(engine.brief()).await;
    assert_eq!(state(store, "a").await, Some(DeliveryState::Queued));
    assert_eq!(claim_only(store, "a").await.attempts, 1);
}

pub(super) async fn what_a_worker_holds_stays_with_it(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("a").enters(store).await;
    let first = claim_only(store, "a").await;
    assert_eq!(store.hold(&first, engine.brief()).await, Ok(true));
    engine.pass(engine.brief()).await;
    assert_eq!(store.hold(&first, LONG).await, Ok(false), "its time was over");

    let mut second = claim_for(store, 1, LONG).await;
    let second = second.remove(0);
    assert_eq!(second.attempts, 1);
    assert_eq!(store.hold(&first, LONG).await, Ok(false), "another worker holds it");
    assert_eq!(store.hold(&second, LONG).await, Ok(true));
    engine.pass(engine.brief()).await;
    assert_eq!(ids(&claim(store, 10).await), [""; 0]);
    assert_eq!(state(store, "a").await, Some(DeliveryState::Leased));
    ack(store, second).await;
    assert_eq!(state(store, "a").await, Some(DeliveryState::Done));
}

pub(super) async fn giving_back_what_one_no_longer_holds_changes_nothing(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("a").enters(store).await;
    let mut lost = Vec::new();
    for _ in 0..3 {
        lost.append(&mut claim_for(store, 1, engine.brief()).await);
        engine.pass(engine.brief()).await;
    }
    let [first, second, third] = <[_; 3]>::try_from(lost).expect("three leases");
    ack(store, third).await;
    assert_eq!(
        state(store, "a").await,
        Some(DeliveryState::Queued),
        "its time was over"
    );

    let held = claim_only(store, "a").await;
    ack(store, first).await;
    bury(store, second).await;
    assert_eq!(
        state(store, "a").await,
        Some(DeliveryState::Leased),
        "another worker holds it"
    );
    retry(store, held, Duration::ZERO).await;
    assert_eq!(claim_only(store, "a").await.attempts, 4);
}

pub(super) async fn one_guid_from_fifty_senders_is_taken_once(engine: &dyn Engine) {
    let store = engine.ample().await;
    let mut senders = JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        senders.spawn(async move { delivery("a").of_job(n).arrives(&*store).await });
    }
    let answers = senders.join_all().await;
    let taken = answers.iter().filter(|answer| **answer == Accepted::Taken).count();
    let seen = answers
        .iter()
        .filter(|answer| **answer == Accepted::AlreadySeen)
        .count();
    assert_eq!((taken, seen), (1, 49));
    claim_only(&*store, "a").await;
}

pub(super) async fn one_delivery_goes_to_one_of_ten_workers(engine: &dyn Engine) {
    let store = engine.ample().await;
    for n in 0..50 {
        delivery(&format!("d{n}")).of_job(n).enters(&*store).await;
    }
    let mut workers = JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        workers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leases = claim(&*store, 3).await;
                if leases.is_empty() {
                    return mine;
                }
                for lease in leases {
                    mine.push(lease.id.to_string());
                    ack(&*store, lease).await;
                }
            }
        });
    }
    let handed_out = workers.join_all().await.concat();
    assert_eq!(handed_out.len(), 50);
    assert_eq!(handed_out.iter().collect::<BTreeSet<_>>().len(), 50);
}

pub(super) async fn an_ignored_delivery_leaves_its_guid_and_no_body(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    assert_eq!(store.accept(ignored("a")).await, Ok(Accepted::Taken));
    assert_eq!(store.accept(ignored("a")).await, Ok(Accepted::AlreadySeen));
    assert_eq!(delivery("a").arrives(store).await, Accepted::AlreadySeen);
    let remembered = known(store, "a").await.expect("known");
    assert_eq!(remembered.state, DeliveryState::Ignored);
    assert_eq!((remembered.event.as_str(), remembered.received_at), ("star", moment(0)));
    assert_eq!(
        (remembered.action, remembered.repository, remembered.job),
        (None, None, None)
    );
    assert_eq!(body(store, "a").await, None);
    assert_eq!(ids(&claim(store, 10).await), [""; 0]);
    assert_eq!(store.requeue(&guid("a")).await, Ok(false));
    assert_eq!(store.depth().await, Ok(Depth::default()));
}

pub(super) async fn one_that_cannot_be_read_is_a_dead_letter_at_once_and_can_be_retried(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let buried = |id: &str, repository: Option<&str>, job: Option<u64>| Arrival {
        work: Work::Bury {
            action: job.map(|_| Action::Queued),
            repository: repository.map(str::to_owned),
            job: job.map(JobId),
            cause: "not a payload".to_owned(),
            body: id.as_bytes().to_vec(),
        },
        ..ignored(id)
    };
    let unknown = || buried("a", None, None);
    assert_eq!(store.accept(unknown()).await, Ok(Accepted::Taken));
    assert_eq!(store.accept(unknown()).await, Ok(Accepted::AlreadySeen));
    assert_eq!(
        store.accept(buried("b", Some("octo-org/chem"), Some(7))).await,
        Ok(Accepted::Taken)
    );
    for (id, repository, job) in [("a", None, None), ("b", Some("octo-org/chem"), Some(7))] {
        let dead = known(store, id).await.expect("known");
        assert_eq!(
            (dead.state, dead.cause.as_deref()),
            (DeliveryState::Dead, Some("not a payload"))
        );
        assert_eq!((dead.repository.as_deref(), dead.job), (repository, job.map(JobId)));
        assert_eq!(dead.due_at, None);
        assert_eq!(body(store, id).await.as_deref(), Some(id.as_bytes()));
    }
    assert_eq!(ids(&claim(store, 10).await), [""; 0]);
    let depth = store.depth().await.expect("the store answers");
    assert_eq!((depth.dead, depth.ready, depth.body_bytes), (2, 0, 2));

    assert_eq!(store.requeue(&guid("a")).await, Ok(true));
    let again = claim_only(store, "a").await;
    assert_eq!((again.body.as_slice(), again.attempts), (&b"a"[..], 0));
    bury(store, again).await;
    // A later version reads it when it comes again.
    delivery("a").of_job(3).enters(store).await;
    let read = claim_only(store, "a").await;
    ack(store, read).await;
    assert_eq!(known(store, "a").await.expect("known").job, Some(JobId(3)));
    let listed = store
        .deliveries(&Filter::default(), 10)
        .await
        .expect("the store answers");
    assert_eq!(listed.len(), 2, "one of each GUID: {listed:?}");
    assert_eq!(store.accept(unknown()).await, Ok(Accepted::AlreadySeen));
}

pub(super) async fn deliveries_of_one_job_go_out_one_at_a_time(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    for (id, job) in [("a1", 1), ("a2", 1), ("b1", 2), ("a3", 1)] {
        delivery(id).of_job(job).enters(store).await;
    }
    let [a1, b1] = <[_; 2]>::try_from(claim(store, 10).await).expect("the first of each job");
    assert_eq!((a1.id.as_str(), b1.id.as_str()), ("a1", "b1"));
    ack(store, a1).await;
    let a2 = claim_only(store, "a2").await;
    retry(store, a2, LONG).await;
    let a3 = claim_only(store, "a3").await;
    assert_eq!(ids(&claim(store, 10).await), [""; 0]);
    ack(store, a3).await;
    ack(store, b1).await;

    for (id, job) in [("c1", 3), ("c2", 3)] {
        delivery(id).of_job(job).enters(store).await;
    }
    let lost = claim_for(store, 10, engine.brief()).await;
    assert_eq!(ids(&lost), ["c1"]);
    engine.pass(engine.brief()).await;
    bury(store, claim_only(store, "c1").await).await;
    claim_only(store, "c2").await;
}

pub(super) async fn the_oldest_go_out_first(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    for n in 0..6_u8 {
        delivery(&format!("d{n}"))
            .of_job(n.into())
            .received(n.into())
            .enters(store)
            .await;
    }
    let mut first = claim(store, 2).await;
    assert_eq!(ids(&first), ["d0", "d1"]);
    retry(store, first.remove(1), Duration::ZERO).await;
    assert_eq!(
        ids(&claim(store, 2).await),
        ["d1", "d2"],
        "one that was tried keeps its place"
    );
    assert_eq!(ids(&claim(store, 0).await), [""; 0]);
    assert_eq!(ids(&claim(store, 100).await), ["d3", "d4", "d5"]);
}

pub(super) async fn requeue_hands_out_what_is_over_and_leaves_the_rest(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    for (id, job) in [("done", 1), ("dead", 2), ("held", 3), ("late", 4)] {
        delivery(id).of_job(job).enters(store).await;
    }
    let [done, dead, held, late] = <[_; 4]>::try_from(claim(store, 4).await).expect("four leases");
    ack(store, done).await;
    bury(store, dead).await;
    retry(store, late, LONG).await;
    delivery("done-2").of_job(1).enters(store).await;
    for id in ["done", "dead", "held", "late"] {
        assert_eq!(store.requeue(&guid(id)).await, Ok(true), "{id}");
    }
    assert_eq!(store.requeue(&guid("unheard-of")).await, Ok(false));
    assert_eq!(state(store, "held").await, Some(DeliveryState::Leased));

    let again = claim(store, 10).await;
    assert_eq!(
        ids(&again),
        ["done-2", "dead"],
        "requeued behind what waits for the same job"
    );
    for lease in again {
        assert_eq!(lease.attempts, 0);
        ack(store, lease).await;
    }
    assert_eq!(known(store, "dead").await.expect("known").cause, None);
    let redone = claim_only(store, "done").await;
    assert_eq!((redone.attempts, redone.body.as_slice()), (0, &b"done"[..]));
    ack(store, held).await;
    assert_eq!(state(store, "held").await, Some(DeliveryState::Done));
}

pub(super) async fn a_requeued_delivery_cannot_be_given_back_by_its_first_worker(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("a").enters(store).await;
    let lost = claim_for(store, 1, engine.brief()).await.remove(0);
    engine.pass(engine.brief()).await;
    ack(store, claim_only(store, "a").await).await;
    assert_eq!(store.requeue(&guid("a")).await, Ok(true));
    let held = claim_only(store, "a").await;
    bury(store, lost).await;
    assert_eq!(state(store, "a").await, Some(DeliveryState::Leased));
    ack(store, held).await;
    assert_eq!(state(store, "a").await, Some(DeliveryState::Done));
}

pub(super) async fn a_caller_that_gave_up_does_no_harm(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    for n in 0..20 {
        let id = format!("d{n}");
        // Asks, and is gone before it is answered; the write may happen or not.
        let asked = tokio::time::timeout(Duration::ZERO, delivery(&id).of_job(n).arrives(store)).await;
        let again = delivery(&id).of_job(n).arrives(store).await;
        match asked {
            Ok(answer) => assert_eq!((answer, again), (Accepted::Taken, Accepted::AlreadySeen)),
            Err(_) => assert!(matches!(again, Accepted::Taken | Accepted::AlreadySeen)),
        }
    }
    assert_eq!(claim(store, 100).await.len(), 20);
    assert_eq!(store.depth().await.expect("the store answers").leased, 20);
}

pub(super) async fn waiting_ends_when_something_arrives(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    // Polled in this order: the wait has begun when the delivery comes.
    tokio::join!(in_time(store.wait(LONG)), delivery("a").enters(store));
    in_time(store.wait(LONG)).await;
    let lease = claim_only(store, "a").await;
    tokio::join!(in_time(store.wait(LONG)), retry(store, lease, Duration::from_millis(5)));
    in_time(store.wait(Duration::from_millis(5))).await;
}

pub(super) async fn waiting_ends_when_an_earlier_one_of_the_job_is_done(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("a1").enters(store).await;
    delivery("a2").enters(store).await;
    let first = claim_only(store, "a1").await;
    tokio::join!(in_time(store.wait(LONG)), ack(store, first));
    let second = claim_only(store, "a2").await;
    bury(store, second).await;
    tokio::join!(in_time(store.wait(LONG)), async {
        assert_eq!(store.requeue(&guid("a2")).await, Ok(true));
    });
}

/// A wait that is not woken would take an hour.
async fn in_time(wait: impl Future<Output = ()>) {
    let woken = tokio::time::timeout(Duration::from_secs(60), wait).await;
    woken.expect("the wait ends");
}
