//! An address that leads to the wrong server for a while: failovers, proxies, rotated passwords.

use super::door::{Behind, Door};
use super::failing::soon;
use super::*;
use crate::support::redis::{DURABLE, Server};
use jitgate::ports::Ledger;
use jitgate::ports::ledger::{Keep, Key, Kind, Put};
use std::collections::BTreeSet;

/// The errors that a server, or a proxy in front of it, can answer for a while.
const PASSING: [&str; 10] = [
    "WRONGPASS invalid username-password pair or user is disabled.",
    "NOAUTH Authentication required.",
    "NOPERM User gate has no permissions to run the 'subscribe' command",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "NOPROTO unsupported protocol version",
    "READONLY You can't write against a read only replica.",
    "NOREPLICAS Not enough good replicas to write.",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "ERR no upstream host",
];

/// Starts a server, a door that leads to it, and a store that knows only the door.
fn behind_a_door() -> (Server, Door, RedisStore) {
    let server = Server::start(DURABLE);
    let door = Door::to(server.address());
    let store = open(&door.url());
    (server, door, store)
}

/// Checks that a delivery is refused while the door answers with an error, and accepted afterwards.
async fn is_refused_for_now(
    server: &Server,
    door: &Door,
    store: &RedisStore,
    id: &str,
    error: &'static str,
    times: usize,
) {
    for _ in 0..times {
        assert_transient(&soon(store.accept(delivery(id))).await);
    }
    door.put_behind(Behind::Server(server.address()));
    assert_eq!(soon(store.accept(delivery(id))).await, Ok(Accepted::Taken), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_during_connect_is_transient() {
    let (server, door, store) = behind_a_door();
    enters(&store, "before").await;
    for (n, error) in PASSING.into_iter().enumerate() {
        door.put_behind(Behind::Error(error));
        door.cut();
        is_refused_for_now(&server, &door, &store, &format!("{n}"), error, 3).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_on_an_open_connection_is_transient() {
    let (server, door, store) = behind_a_door();
    for (n, error) in PASSING.into_iter().enumerate() {
        enters(&store, &format!("before-{n}")).await;
        door.put_behind(Behind::Error(error));
        is_refused_for_now(&server, &door, &store, &format!("{n}"), error, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_to_a_server_that_refuses_make_few_attempts_to_connect() {
    let (_server, door, store) = behind_a_door();
    door.put_behind(Behind::Error(PASSING[0]));
    let begin = tokio::time::Instant::now();
    for _ in 0..5 {
        let calls = (0..100).map(|_| store.depth());
        for answer in futures::future::join_all(calls).await {
            assert_transient(&answer);
        }
    }
    let most = 2 + usize::try_from(begin.elapsed().as_millis() / 100).expect("a short test");
    assert!(
        door.connections() <= most,
        "{} in {:?}",
        door.connections(),
        begin.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_wrong_for_a_while_is_tried_again() {
    let server = Server::start(&[DURABLE, &["--requirepass", "one"]].concat());
    let cli =
        |password: &str, command: &[&str]| server.cli(&[&["--no-auth-warning", "-a", password], command].concat());
    let store = open(&format!("redis://:one@{}", server.address()));
    enters(&store, "a").await;
    cli("one", &["CONFIG", "SET", "requirepass", "two"]);
    cli("two", &["CLIENT", "KILL", "TYPE", "pubsub"]);
    let mut refused = soon(store.accept(delivery("b"))).await;
    while refused.is_ok() {
        refused = soon(store.accept(delivery("b"))).await;
    }
    assert_transient(&refused);
    cli("two", &["CONFIG", "SET", "requirepass", "one"]);
    enters(&store, "c").await;
}

/// The old primary, the new one, and a door that leads to the new one after the failover.
struct FailOver {
    old: Server,
    new: Server,
    door: Door,
}

impl FailOver {
    fn prepare() -> Self {
        let old = Server::start(DURABLE);
        let (host, port) = old.address().split_once(':').map(own).expect("an address");
        let new = Server::start(&[DURABLE, &["--replicaof", &host, &port]].concat());
        let door = Door::to(old.address());
        while !new.cli(&["INFO", "replication"]).contains("master_link_status:up") {}
        Self { old, new, door }
    }

    /// Waits until the new server has all data, and makes it the primary. The old one becomes its replica.
    fn happen(&self) {
        self.old.cli(&["WAIT", "1", "0"]);
        self.new.cli(&["REPLICAOF", "NO", "ONE"]);
        let (host, port) = self.new.address().split_once(':').map(own).expect("an address");
        self.old.cli(&["REPLICAOF", &host, &port]);
        self.door.put_behind(Behind::Server(self.new.address()));
    }
}

fn own((host, port): (&str, &str)) -> (String, String) {
    (host.to_owned(), port.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_behind_one_address_deliveries_are_accepted_at_once_and_none_is_lost() {
    let over = FailOver::prepare();
    let (ingress, worker) = (open(&over.door.url()), open(&over.door.url()));
    for id in ["a", "b"] {
        enters(&ingress, id).await;
    }
    let held = worker
        .claim("worker", 1, LONG)
        .await
        .expect("the store answers")
        .remove(0);
    let key = Key::new(Kind::Job, 1);
    assert_eq!(worker.put(&key, "one", None, Keep::Forever).await, Ok(Put::Written(1)));
    over.happen();

    assert_eq!(
        soon(ingress.accept(delivery("c"))).await,
        Ok(Accepted::Taken),
        "the first call finds the new primary"
    );
    assert_eq!(
        soon(worker.put(&key, "two", Some(1), Keep::Forever)).await,
        Ok(Put::Written(2))
    );
    worker.ack(held).await.expect("the store answers");
    let mut left = BTreeSet::new();
    for lease in claim(&worker, "worker", LONG).await {
        left.insert(lease.id.to_string());
    }
    assert_eq!(left, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_leaves_a_replica_that_lost_its_primary() {
    let over = FailOver::prepare();
    let store = open(&over.door.url());
    enters(&store, "a").await;
    over.old.cli(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    over.happen();
    over.old.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    while !over
        .old
        .cli(&["INFO", "replication"])
        .contains("master_link_status:down")
    {}
    assert_eq!(
        soon(store.get(&Key::new(Kind::Job, 1))).await,
        Ok(None),
        "reads find it, too"
    );
    enters(&store, "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_leaves_a_primary_without_replicas() {
    let over = FailOver::prepare();
    let store = open(&over.door.url());
    enters(&store, "a").await;
    over.old.cli(&["WAIT", "1", "0"]);
    over.new.cli(&["REPLICAOF", "NO", "ONE"]);
    over.old.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    while !over.old.cli(&["INFO", "replication"]).contains("connected_slaves:0") {}
    over.door.put_behind(Behind::Server(over.new.address()));
    enters(&store, "b").await;
}
