//! Stories of what a queue shows, bounds and forgets.

use super::engine::*;
use jitgate::domain::ids::JobId;
use jitgate::ports::queue::{Accepted, Bounds, DeliveryState, Depth, Filter};

pub(super) async fn unknown_guids_are_unknown(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    assert_eq!(known(store, "a").await, None);
    assert_eq!(body(store, "a").await, None);
    assert_eq!(store.requeue(&guid("a")).await, Ok(false));
    assert_eq!(newest(store, 10).await, []);
    assert_eq!(ids(&claim(store, 10).await), [""; 0]);
    assert_eq!(store.depth().await, Ok(Depth::default()));
}

pub(super) async fn the_newest_deliveries_are_listed_first(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    for n in 0..5_u8 {
        delivery(&format!("d{n}"))
            .of_job(n.into())
            .received(n.into())
            .enters(store)
            .await;
    }
    ack(store, claim(store, 1).await.remove(0)).await;
    let listed = newest(store, 3).await;
    let names: Vec<_> = listed.iter().map(|delivery| delivery.id.as_str()).collect();
    assert_eq!(names, ["d4", "d3", "d2"]);
    let all = newest(store, 100).await;
    assert_eq!(all.len(), 5);
    for delivery in all {
        assert_eq!(known(store, delivery.id.as_str()).await, Some(delivery));
    }
}

pub(super) async fn listings_show_what_was_asked_for(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    delivery("done").of_job(1).received(1).enters(store).await;
    delivery("dead").of_job(2).received(2).enters(store).await;
    delivery("held").of_job(3).received(3).enters(store).await;
    assert_eq!(store.accept(ignored("ignored")).await, Ok(Accepted::Taken));
    let [done, dead, _held] = <[_; 3]>::try_from(claim(store, 3).await).expect("three leases");
    ack(store, done).await;
    bury(store, dead).await;
    for (n, id) in (4..).zip(["old", "new"]) {
        let of_another = delivery(id).in_repository("octo-org/maths").of_job(4);
        of_another.received(n).enters(store).await;
    }
    let in_state = |states: &[DeliveryState]| Filter {
        states: states.to_vec(),
        ..Filter::default()
    };
    let of_repository = |name: &str| Filter {
        repository: Some(name.to_owned()),
        ..Filter::default()
    };
    let of_job = Filter {
        job: Some(JobId(4)),
        ..Filter::default()
    };
    let since = Filter {
        since: Some(moment(3)),
        ..Filter::default()
    };
    for (filter, limit, expected) in [
        (in_state(&[DeliveryState::Done]), 9, &["done"][..]),
        (in_state(&[DeliveryState::Dead]), 9, &["dead"]),
        (in_state(&[DeliveryState::Ignored]), 9, &["ignored"]),
        (
            in_state(&[DeliveryState::Leased, DeliveryState::Queued]),
            9,
            &["new", "old", "held"],
        ),
        (
            in_state(&[DeliveryState::Queued, DeliveryState::Dead]),
            9,
            &["new", "old", "dead"],
        ),
        (of_repository("Octo-Org/CHEM"), 9, &["held", "dead", "done"]),
        (of_repository("octo-org/chem"), 2, &["held", "dead"]),
        (of_repository("octo-org/che%"), 9, &[]),
        (of_job.clone(), 9, &["new", "old"]),
        (of_job.clone(), 1, &["new"]),
        (since.clone(), 9, &["new", "old", "held"]),
        (
            Filter {
                job: of_job.job,
                ..since
            },
            9,
            &["new", "old"],
        ),
        (Filter::unfinished_of(JobId(1)), 9, &[]),
        (Filter::unfinished_of(JobId(3)), 9, &["held"]),
    ] {
        let found = listed(store, filter.clone(), limit).await;
        let found: Vec<_> = found.iter().map(|delivery| delivery.id.as_str()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

pub(super) async fn a_dead_letter_is_forgotten_when_told_to(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    for (job, id) in (0..).zip(["done", "dead", "held", "next"]) {
        delivery(id).of_job(job).enters(store).await;
    }
    let [done, dead, _held] = <[_; 3]>::try_from(claim(store, 3).await).expect("three leases");
    ack(store, done).await;
    bury(store, dead).await;
    for id in ["done", "held", "next", "unheard-of"] {
        assert_eq!(store.forget_dead(&guid(id)).await, Ok(false), "{id}");
    }
    assert_eq!(newest(store, 10).await.len(), 4);

    assert_eq!(store.forget_dead(&guid("dead")).await, Ok(true));
    assert_eq!(store.forget_dead(&guid("dead")).await, Ok(false), "it is gone");
    assert_eq!((known(store, "dead").await, body(store, "dead").await), (None, None));
    let depth = store.depth().await.expect("the store answers");
    assert_eq!((depth.dead, depth.body_bytes), (0, 12));
    assert_eq!(store.requeue(&guid("dead")).await, Ok(false));
    delivery("dead").of_job(1).enters(store).await;
}

pub(super) async fn depth_counts_what_is_where(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    for (n, id) in ["done", "dead", "held", "late", "next", "also"].into_iter().enumerate() {
        let n = u8::try_from(n).expect("few");
        delivery(id).of_job(n.into()).received(n.into()).enters(store).await;
    }
    assert_eq!(store.accept(ignored("ignored")).await, Ok(Accepted::Taken));
    let [done, dead, _held, late] = <[_; 4]>::try_from(claim(store, 4).await).expect("four leases");
    ack(store, done).await;
    bury(store, dead).await;
    retry(store, late, LONG).await;
    let depth = Depth {
        ready: 2,
        delayed: 1,
        leased: 1,
        dead: 1,
        body_bytes: 6 * 4,
        oldest: Some(moment(2)),
    };
    assert_eq!(store.depth().await, Ok(depth));
}

pub(super) async fn a_full_queue_keeps_room_for_what_could_reach_a_runner(engine: &dyn Engine) {
    let bounds = Bounds {
        max_entries: 4,
        max_entries_other: 2,
        ..AMPLE
    };
    let store = &*engine.open(bounds).await;
    delivery("o1").of_job(1).for_others().enters(store).await;
    delivery("o2").of_job(2).for_others().enters(store).await;
    assert_eq!(
        delivery("o3").of_job(3).for_others().arrives(store).await,
        Accepted::Full
    );
    assert_eq!(known(store, "o3").await, None, "nothing was kept");
    delivery("r1").of_job(4).enters(store).await;
    delivery("r2").of_job(5).enters(store).await;
    assert_eq!(delivery("r3").of_job(6).arrives(store).await, Accepted::Full);
    assert_eq!(delivery("r1").arrives(store).await, Accepted::AlreadySeen);
    assert_eq!(
        store.accept(ignored("i")).await,
        Ok(Accepted::Taken),
        "it takes no place"
    );

    let lease = claim(store, 1).await.remove(0);
    assert_eq!(
        delivery("r3").of_job(6).arrives(store).await,
        Accepted::Full,
        "not over yet"
    );
    ack(store, lease).await;
    delivery("r3").of_job(6).enters(store).await;
    assert_eq!(
        delivery("o3").of_job(3).for_others().arrives(store).await,
        Accepted::Full
    );
}

pub(super) async fn a_dead_letter_that_arrives_again_waits_its_turn_when_the_queue_is_full(engine: &dyn Engine) {
    let bounds = Bounds {
        max_entries: 1,
        ..AMPLE
    };
    let store = &*engine.open(bounds).await;
    delivery("a").enters(store).await;
    bury(store, claim_only(store, "a").await).await;
    delivery("b").enters(store).await;
    assert_eq!(delivery("a").with_body("new").arrives(store).await, Accepted::Full);
    assert_eq!(state(store, "a").await, Some(DeliveryState::Dead));
    assert_eq!(body(store, "a").await.as_deref(), Some(&b"a"[..]));
    ack(store, claim_only(store, "b").await).await;
    delivery("a").enters(store).await;
}

pub(super) async fn bodies_are_bounded_and_finished_ones_make_room(engine: &dyn Engine) {
    let bounds = Bounds {
        bodies_max_bytes: 1000,
        ..AMPLE
    };
    let store = &*engine.open(bounds).await;
    let sized = |id: &str, job, size| delivery(id).of_job(job).with_body(vec![b'x'; size]);
    assert_eq!(sized("a", 1, 1001).arrives(store).await, Accepted::Full);
    assert_eq!(sized("a", 1, 501).for_others().arrives(store).await, Accepted::Full);
    sized("a", 1, 500).for_others().enters(store).await;
    assert_eq!(sized("b", 2, 501).arrives(store).await, Accepted::Full);
    assert_eq!(known(store, "b").await, None);
    sized("b", 2, 400).enters(store).await;

    let [a, b] = <[_; 2]>::try_from(claim(store, 2).await).expect("both");
    bury(store, a).await;
    ack(store, b).await;
    sized("c", 3, 500).enters(store).await;
    assert_eq!(body(store, "b").await, None, "what is done makes room");
    assert_eq!(state(store, "b").await, Some(DeliveryState::Done));
    assert_eq!(store.requeue(&guid("b")).await, Ok(false));
    assert_eq!(
        body(store, "a").await.map(|body| body.len()),
        Some(500),
        "the dead go last"
    );
    assert_eq!(store.depth().await.expect("the store answers").body_bytes, 1000);

    sized("d", 4, 500).enters(store).await;
    assert_eq!(body(store, "a").await, None);
    assert_eq!(state(store, "a").await, Some(DeliveryState::Dead));
    assert_eq!(body(store, "c").await.map(|body| body.len()), Some(500));
    assert_eq!(store.depth().await.expect("the store answers").body_bytes, 1000);
}

pub(super) async fn finished_deliveries_are_forgotten_and_unfinished_ones_kept(engine: &dyn Engine) {
    let bounds = Bounds {
        retention: engine.brief(),
        ..AMPLE
    };
    let store = &*engine.open(bounds).await;
    for (n, id) in ["done", "dead", "held", "late", "next"].into_iter().enumerate() {
        delivery(id).of_job(n as u64).enters(store).await;
    }
    let [done, dead, held, late] = <[_; 4]>::try_from(claim(store, 4).await).expect("four leases");
    engine.pass(engine.brief()).await;
    assert_eq!(store.accept(ignored("ignored")).await, Ok(Accepted::Taken));
    ack(store, done).await;
    bury(store, dead).await;
    retry(store, late, LONG).await;
    engine.pass(engine.brief()).await;

    for id in ["done", "dead", "ignored"] {
        assert_eq!(known(store, id).await, None, "{id}");
        assert_eq!(body(store, id).await, None, "{id}");
        assert_eq!(store.requeue(&guid(id)).await, Ok(false), "{id}");
    }
    for id in ["held", "late", "next"] {
        assert_eq!(body(store, id).await.as_deref(), Some(id.as_bytes()), "{id}");
        assert_eq!(delivery(id).arrives(store).await, Accepted::AlreadySeen, "{id}");
    }
    assert_eq!(newest(store, 10).await.len(), 3);
    assert_eq!(store.depth().await.expect("the store answers").body_bytes, 12);
    for id in ["done", "dead", "ignored"] {
        delivery(id).of_job(9).enters(store).await;
    }
    ack(store, held).await;
}

pub(super) async fn bodies_come_back_as_they_came(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    // A generator without a period in sight: nothing in it repeats.
    let mut seed = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed.to_be_bytes()[0]
    })
    .take(25 << 20)
    .collect();
    let bodies = [
        ("empty", Vec::new()),
        ("every-byte", every_byte),
        ("no-text", b"\xff\xfe\0\0{\r\n\0}\xc3\x28".to_vec()),
        ("zeros", vec![0; 25 << 20]),
        ("noise", noise),
    ];
    for (job, (id, body)) in (0..).zip(&bodies) {
        delivery(id).of_job(job).with_body(body.as_slice()).enters(store).await;
    }
    for (lease, (id, sent)) in claim(store, 10).await.into_iter().zip(&bodies) {
        assert_eq!(lease.id.as_str(), *id);
        assert!(lease.body == *sent, "{id} was handed out changed");
        ack(store, lease).await;
        assert!(body(store, id).await.as_ref() == Some(sent), "{id} was kept changed");
    }
}

pub(super) async fn odd_names_come_back_as_they_came(engine: &dyn Engine) {
    let store = &*engine.ample().await;
    let id = "-_".repeat(64);
    delivery(&id).of_job(u64::MAX).enters(store).await;
    delivery("min").of_job(0).enters(store).await;
    let odd = "'; DROP TABLE deliveries; --\r\n\"{}*?[]\0\u{202e}é";
    let lease = claim(store, 1).await.remove(0);
    store.retry(lease, LONG, odd).await.expect("the store answers");
    let shown = known(store, &id).await.expect("known");
    assert_eq!(shown.cause.as_deref(), Some(odd));
    assert_eq!(shown.job.expect("a job").0, u64::MAX);
    assert_eq!(ids(&claim(store, 10).await), ["min"]);
}
