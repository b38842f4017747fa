//! Stories of servers that die, hang, fill up or forget.

use super::*;
use crate::support::redis::{Cluster, DURABLE, Server};
use jitgate::ports::ledger::{Keep, Key, Kind, Put};
use jitgate::ports::queue::{DeliveryState, Filter};
use jitgate::ports::{Durability, Ledger};
use tokio::time::Instant;

fn url(server: &Server) -> String {
    format!("redis://{}", server.address())
}

/// Waits for at most 2 s, and a little longer for a busy machine.
pub(super) async fn soon<T>(call: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let answer = call.await;
    assert!(
        begin.elapsed() < Duration::from_millis(2500),
        "after {:?}",
        begin.elapsed()
    );
    answer
}

#[tokio::test]
async fn accepted_deliveries_survive_the_death_of_the_server() {
    let mut server = Server::start(DURABLE);
    let store = open(&url(&server));
    for id in ["a", "b", "c"] {
        enters(&store, id).await;
    }
    let mut leases = claim(&store, "worker", LONG).await;
    store.ack(leases.remove(0)).await.expect("the store answers");
    store
        .dead_letter(leases.remove(0), "it is unreadable")
        .await
        .expect("the store answers");
    let key = Key::new(Kind::Job, 1);
    assert_eq!(store.put(&key, "one", None, Keep::Forever).await, Ok(Put::Written(1)));

    server.kill();
    server.start_again();
    let after = open(&url(&server));
    for (id, state) in [
        ("a", DeliveryState::Done),
        ("b", DeliveryState::Dead),
        ("c", DeliveryState::Leased),
    ] {
        let found = after
            .delivery(&guid(id))
            .await
            .expect("the store answers")
            .expect("known");
        assert_eq!(found.state, state, "{id}");
        assert_eq!(after.body(&guid(id)).await, Ok(Some(id.as_bytes().to_vec())));
    }
    assert_eq!(
        after.put(&key, "two", Some(1), Keep::Forever).await,
        Ok(Put::Written(2))
    );
    let held = leases.remove(0);
    after.ack(held).await.expect("the store answers");
    assert_eq!(
        after.depth().await.expect("the store answers").leased,
        0,
        "the lease outlived the server"
    );
}

#[tokio::test]
async fn without_a_server_every_call_fails_soon_and_leaves_nothing_behind() {
    let mut server = Server::start(DURABLE);
    let store = open(&url(&server));
    enters(&store, "a").await;
    let lease = claim(&store, "worker", LONG).await.remove(0);
    let key = Key::new(Kind::Job, 1);
    server.kill();

    assert_transient(&soon(store.accept(delivery("b"))).await);
    assert_transient(&soon(store.claim("worker", 1, LONG)).await);
    assert_transient(&soon(store.ack(lease)).await);
    assert_transient(&soon(store.requeue(&guid("a"))).await);
    assert_transient(&soon(store.forget_dead(&guid("a"))).await);
    assert_transient(&soon(store.delivery(&guid("a"))).await);
    assert_transient(&soon(store.deliveries(&Filter::default(), 1)).await);
    assert_transient(&soon(store.body(&guid("a"))).await);
    assert_transient(&soon(store.depth()).await);
    assert_transient(&soon(store.get(&key)).await);
    assert_transient(&soon(store.put(&key, "one", None, Keep::Forever)).await);
    assert_transient(&soon(store.remove(&key)).await);
    assert_transient(&soon(store.list(Kind::Job, None, 1)).await);
    soon(store.wait(LONG)).await;
    assert_transient(&soon(open(&url(&server)).accept(delivery("b"))).await);

    server.start_again();
    assert_eq!(
        store.delivery(&guid("b")).await,
        Ok(None),
        "the first call after it finds the server"
    );
    assert_eq!(store.get(&key).await, Ok(None));
    enters(&store, "b").await;
}

#[tokio::test]
async fn a_server_that_was_down_at_the_start_is_found_later() {
    let mut server = Server::start(DURABLE);
    server.kill();
    let store = open(&url(&server));
    assert_transient(&soon(store.accept(delivery("a"))).await);
    server.start_again();
    enters(&store, "a").await;
}

#[tokio::test]
async fn a_server_that_hangs_is_no_reason_to_hang() {
    let server = Server::start(DURABLE);
    let store = open(&url(&server));
    enters(&store, "a").await;
    server.cli(&["CLIENT", "PAUSE", "600000", "ALL"]);
    assert_transient(&soon(store.accept(delivery("b"))).await);
    assert_transient(&soon(store.depth()).await);
}

#[tokio::test]
async fn a_waiting_worker_is_woken_after_the_server_returns() {
    let mut server = Server::start(DURABLE);
    let (worker, ingress) = (open(&url(&server)), open(&url(&server)));
    assert_eq!(claim(&worker, "worker", LONG).await.len(), 0);
    server.kill();
    server.start_again();
    let working = async {
        loop {
            match worker.claim("worker", 1, LONG).await {
                Ok(leases) if leases.is_empty() => worker.wait(LONG).await,
                Ok(leases) => return leases,
                Err(_) => {}
            }
        }
    };
    let (claimed, ()) = tokio::join!(working, async {
        // The connection of the worker is back, and the worker waits.
        while !server.cli(&["PUBSUB", "NUMSUB", "jitgate:changed"]).contains('2') {
            assert!(ingress.depth().await.is_ok());
        }
        enters(&ingress, "a").await;
    });
    assert_eq!(ids(&claimed), ["a"]);
}

#[tokio::test]
async fn scripts_are_loaded_again_into_a_server_that_lost_them() {
    let server = Server::start(DURABLE);
    let store = open(&url(&server));
    enters(&store, "a").await;
    server.cli(&["SCRIPT", "FLUSH"]);
    enters(&store, "b").await;
    let leases = claim(&store, "worker", LONG).await;
    assert_eq!(ids(&leases), ["a", "b"]);
    server.cli(&["SCRIPT", "FLUSH"]);
    for lease in leases {
        store.ack(lease).await.expect("the store answers");
    }
}

#[tokio::test]
async fn with_memory_full_nothing_comes_in_and_everything_goes_on() {
    let server = Server::start(DURABLE);
    let store = open(&url(&server));
    for id in ["a", "b"] {
        enters(&store, id).await;
    }
    let lease = claim(&store, "worker", LONG).await.remove(0);
    server.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
    assert_transient(&store.accept(delivery("c")).await);
    assert_eq!(store.delivery(&guid("c")).await, Ok(None), "nothing was kept");
    let key = Key::new(Kind::Job, 1);
    assert_eq!(store.put(&key, "one", None, Keep::Forever).await, Ok(Put::Written(1)));
    store
        .retry(lease, Duration::ZERO, "again")
        .await
        .expect("the store answers");
    let leases = claim(&store, "worker", LONG).await;
    assert_eq!(ids(&leases), ["a"]);
    for lease in leases {
        store.dead_letter(lease, "enough").await.expect("the store answers");
    }
    assert_transient(&store.requeue(&guid("a")).await);
    assert_eq!(
        store.delivery(&guid("a")).await.expect("known").expect("known").state,
        DeliveryState::Dead
    );

    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    enters(&store, "c").await;
    assert_eq!(store.requeue(&guid("a")).await, Ok(true));
}

#[tokio::test]
async fn evicted_deliveries_do_not_delay_the_rest() {
    let server = Server::start(DURABLE);
    let store = open(&url(&server));
    for id in ["leased", "fresh", "c"] {
        enters(&store, id).await;
    }
    let lost = store
        .claim("worker", 1, Duration::ZERO)
        .await
        .expect("the store answers");
    assert_eq!(ids(&lost), ["leased"]);
    for id in ["leased", "fresh"] {
        server.cli(&["DEL", &format!("{{jitgate:0}}:delivery:{id}")]);
    }
    assert_eq!(ids(&claim(&store, "worker", LONG).await), ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_when_a_node_dies() {
    let mut cluster = Cluster::start();
    let url = format!("redis+cluster://{}", cluster.addresses());
    let store = RedisStore::new(settings(&url, 16)).expect("a good URL");
    for n in 0..30 {
        let repository = format!("octo-org/{n}");
        assert_eq!(
            store.accept(delivery_to(&repository, &format!("before-{n}"))).await,
            Ok(Accepted::Taken)
        );
    }
    let promises = store.promises().await.expect("the store answers");
    let servers: std::collections::BTreeSet<_> = promises.iter().map(|promise| &promise.place).collect();
    assert_eq!(servers.len(), 3, "of each that takes writes: {servers:?}");
    cluster.wait_for_replicas();
    cluster.kill_one();
    for n in 0..30 {
        let (repository, id) = (format!("octo-org/{n}"), format!("after-{n}"));
        loop {
            match soon(store.accept(delivery_to(&repository, &id))).await {
                Ok(Accepted::Taken | Accepted::AlreadySeen) => break,
                Err(Failure::Transient(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let mut handed_out = std::collections::BTreeSet::new();
    while handed_out.len() < 60 {
        for lease in claim(&store, "worker", LONG).await {
            assert!(handed_out.insert(lease.id.to_string()), "{} came twice", lease.id);
            store.ack(lease).await.expect("the store answers");
        }
    }
    assert_eq!(store.depth().await.expect("the store answers").ready, 0);
}
