//! Stories of an address that leads to the wrong server for a while: fail-overs, proxies, passwords that are rotated.

use super::door::{Behind, Door};
use super::failing::soon;
use super::*;
use crate::support::redis::{DURABLE, Server};
use jitgate::ports::Ledger;
use jitgate::ports::ledger::{Keep, Key, Kind, Put};
use std::collections::BTreeSet;

/// Whatever a server, or what stands before it, can say for a while instead of an answer.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_while_it_connects_keeps_nobody_out_for_good() {
    let server = Server::start(DURABLE);
    let door = Door::to(server.address());
    let store = open(&door.url());
    enters(&store, "before").await;
    for (n, error) in PASSING.into_iter().enumerate() {
        door.put_behind(Behind::Error(error));
        door.cut();
        for _ in 0..3 {
            assert_transient(&soon(store.accept(delivery(&format!("{n}")))).await);
        }
        door.put_behind(Behind::Server(server.address()));
        assert_eq!(
            soon(store.accept(delivery(&format!("{n}")))).await,
            Ok(Accepted::Taken),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_on_a_connection_that_stays_open_keeps_nobody_out_for_good() {
    let server = Server::start(DURABLE);
    let door = Door::to(server.address());
    let store = open(&door.url());
    for (n, error) in PASSING.into_iter().enumerate() {
        enters(&store, &format!("before-{n}")).await;
        door.put_behind(Behind::Error(error));
        assert_transient(&soon(store.accept(delivery(&format!("{n}")))).await);
        door.put_behind(Behind::Server(server.address()));
        assert_eq!(
            soon(store.accept(delivery(&format!("{n}")))).await,
            Ok(Accepted::Taken),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_on_a_server_that_refuses_are_few_attempts_to_connect() {
    let server = Server::start(DURABLE);
    let door = Door::to(server.address());
    door.put_behind(Behind::Error(
        "WRONGPASS invalid username-password pair or user is disabled.",
    ));
    let store = open(&door.url());
    let begin = tokio::time::Instant::now();
    for _ in 0..5 {
        let calls = (0..100).map(|_| store.depth());
        for answer in futures::future::join_all(calls).await {
            assert_transient(&answer);
        }
    }
    let most = 2 + usize::try_from(begin.elapsed().as_millis() / 100).expect("a short test");
    assert!(door.visitors() <= most, "{} in {:?}", door.visitors(), begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_wrong_for_a_while_is_tried_again() {
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

/// The old primary, the new one, and the address of the first that leads to the second afterwards.
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

    /// Waits until the new one has all, and makes it the primary. The old one goes on as its replica.
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
async fn after_a_fail_over_behind_one_address_deliveries_are_taken_at_once_and_none_is_lost() {
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
        "the first call finds the new one"
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
async fn a_replica_that_lost_its_primary_is_left() {
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
    assert_eq!(soon(store.get(&Key::new(Kind::Job, 1))).await, Ok(None), "reading, too");
    enters(&store, "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_cut_off_from_its_replicas_is_left() {
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
