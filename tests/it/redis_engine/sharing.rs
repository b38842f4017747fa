//! Stories of processes that share a server, and of what the server says of itself.

use super::*;
use crate::support::redis::{DURABLE, Server};
use jitgate::ports::ledger::{Keep, Key, Kind};
use jitgate::ports::promise::Promise;
use jitgate::ports::queue::Filter;
use jitgate::ports::{Durability, Ledger};

fn url(server: &Server) -> String {
    format!("redis://{}", server.address())
}

fn sharded(server: &Server) -> RedisStore {
    RedisStore::new(settings(&url(server), 16)).expect("a good URL")
}

/// A wait that is not woken would take an hour.
async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    let woken = tokio::time::timeout(Duration::from_secs(60), wait).await;
    woken.expect("it ends")
}

#[tokio::test]
async fn another_worker_takes_over_from_one_that_died() {
    let server = Server::start(DURABLE);
    let (dying, living) = (open(&url(&server)), open(&url(&server)));
    enters(&dying, "a").await;
    let lost = claim(&dying, "dying", Duration::from_millis(300)).await;
    assert_eq!(ids(&lost), ["a"]);
    drop(dying);
    assert_eq!(ids(&claim(&living, "living", LONG).await), [""; 0]);
    let taken_over = in_time(async {
        loop {
            living.wait(LONG).await;
            let leases = claim(&living, "living", LONG).await;
            if !leases.is_empty() {
                break leases;
            }
        }
    });
    let taken_over = taken_over.await;
    assert_eq!((ids(&taken_over), taken_over[0].attempts), (vec!["a"], 1));
    let pending = server.cli(&["XPENDING", "{jitgate:0}:queue", "workers", "-", "+", "10"]);
    assert!(pending.contains("living") && !pending.contains("dying"), "{pending}");
}

#[tokio::test]
async fn of_a_job_the_oldest_goes_first_when_its_turn_came_while_another_was_worked_on() {
    let server = Server::start(DURABLE);
    let store = open(&url(&server));
    let of_one_job = |id: &str| arrival(id, work("octo-org/chem", 1, id));
    for id in ["older", "newer"] {
        assert_eq!(store.accept(of_one_job(id)).await, Ok(Accepted::Taken));
    }
    let older = claim(&store, "worker", LONG).await.remove(0);
    store
        .retry(older, Duration::from_secs(1), "not yet")
        .await
        .expect("the store answers");
    let newer = claim(&store, "worker", Duration::from_secs(3)).await;
    assert_eq!(ids(&newer), ["newer"], "a delayed delivery delays no other one");
    server.pass(Duration::from_secs(1));
    assert_eq!(ids(&claim(&store, "worker", LONG).await), [""; 0], "one at a time");
    server.pass(Duration::from_secs(3));
    assert_eq!(ids(&claim(&store, "worker", LONG).await), ["older"]);
}

#[tokio::test]
async fn a_waiting_worker_is_woken_by_a_delivery_to_another_process() {
    let server = Server::start(DURABLE);
    let (ingress, worker) = (open(&url(&server)), open(&url(&server)));
    assert_eq!(ids(&claim(&worker, "worker", LONG).await), [""; 0]);
    tokio::join!(in_time(worker.wait(LONG)), enters(&ingress, "a"));
    assert_eq!(ids(&claim(&worker, "worker", LONG).await), ["a"]);
}

#[tokio::test]
async fn shards_are_one_store() {
    let server = Server::start(DURABLE);
    let store = sharded(&server);
    for n in 0..40_u8 {
        let arrival = delivery_to(&format!("octo-org/{n}"), &format!("d{n}"));
        assert_eq!(store.accept(arrival).await, Ok(Accepted::Taken));
        assert_eq!(
            store.accept(super::arrival(&format!("d{n}"), Work::Remember)).await,
            Ok(Accepted::AlreadySeen)
        );
        assert_eq!(
            store.accept(super::arrival(&format!("i{n}"), Work::Remember)).await,
            Ok(Accepted::Taken)
        );
        let late = delivery_to(&format!("octo-org/{n}"), &format!("i{n}"));
        assert_eq!(store.accept(late).await, Ok(Accepted::AlreadySeen));
        assert_eq!(
            store.body(&guid(&format!("d{n}"))).await,
            Ok(Some(format!("d{n}").into_bytes()))
        );
    }
    let depth = store.depth().await.expect("the store answers");
    assert_eq!(depth.ready, 40);
    let listed = store
        .deliveries(&Filter::default(), 30)
        .await
        .expect("the store answers");
    assert_eq!(listed.len(), 30);

    let mut handed_out = Vec::new();
    loop {
        let leases = store.claim("worker", 7, LONG).await.expect("the store answers");
        assert!(leases.len() <= 7);
        if leases.is_empty() {
            break;
        }
        for lease in leases {
            handed_out.push(lease.id.to_string());
            store.ack(lease).await.expect("the store answers");
        }
    }
    assert_eq!(handed_out.len(), 40);
    assert_eq!(store.requeue(&guid("d7")).await, Ok(true));
    assert_eq!(ids(&claim(&store, "worker", LONG).await), ["d7"]);

    for n in 0..40_u8 {
        let key = Key::new(Kind::Job, format_args!("{n:02}"));
        store
            .put(&key, "x", None, Keep::Forever)
            .await
            .expect("the store answers");
    }
    let page = store.list(Kind::Job, Some("09"), 20).await.expect("the store answers");
    let page: Vec<String> = page.into_iter().map(|(id, _)| id).collect();
    assert_eq!(page, (10..30).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn bounds_hold_for_all_shards_together() {
    let server = Server::start(DURABLE);
    let bounds = Bounds {
        max_entries: 5,
        ..AMPLE
    };
    let settings = Settings {
        bounds,
        ..settings(&url(&server), 16)
    };
    let first = RedisStore::new(settings.clone()).expect("a good URL");
    for n in 0..5 {
        let arrival = delivery_to(&format!("octo-org/{n}"), &format!("d{n}"));
        assert_eq!(first.accept(arrival).await, Ok(Accepted::Taken));
    }
    // One that did not look at the other shards a moment ago.
    let second = RedisStore::new(settings).expect("a good URL");
    assert_eq!(second.accept(delivery("one-more")).await, Ok(Accepted::Full));
    assert_eq!(second.delivery(&guid("one-more")).await, Ok(None));
}

#[tokio::test]
async fn processes_that_disagree_on_the_shards_do_not_share_a_store() {
    let server = Server::start(DURABLE);
    enters(&open(&url(&server)), "a").await;
    let refused = sharded(&server).accept(delivery("b")).await;
    let Err(Failure::Permanent(text)) = refused else {
        panic!("{refused:?}");
    };
    assert!(text.contains("set it to 1"), "{text}");
    enters(&open(&url(&server)), "b").await;
}

#[tokio::test]
async fn a_user_with_just_the_permissions_that_are_documented_is_enough() {
    let server = Server::start(DURABLE);
    let rules = "on >p@ss ~{jitgate:* ~jitgate:* &jitgate:* +@all -@admin -@dangerous +info +config|get";
    let mut command = vec!["ACL", "SETUSER", "gate"];
    command.extend(rules.split(' '));
    server.cli(&command);
    let store = open(&format!("redis://gate:p%40ss@{}", server.address()));
    enters(&store, "a").await;
    let lease = claim(&store, "worker", LONG).await.remove(0);
    store.ack(lease).await.expect("the store answers");
    assert_eq!(store.requeue(&guid("a")).await, Ok(true));
    let key = Key::new(Kind::Job, 1);
    store
        .put(&key, "x", None, Keep::Forever)
        .await
        .expect("the store answers");
    assert_eq!(
        store.list(Kind::Job, None, 10).await.expect("the store answers").len(),
        1
    );
    assert!(store.promises().await.is_ok());

    let stranger = open(&format!("redis://gate:secret@{}", server.address()));
    let refused = stranger.depth().await;
    let Err(Failure::Transient(text)) = refused else {
        panic!("{refused:?}");
    };
    assert!(text.contains("WRONGPASS") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_socket_is_a_place_for_a_server_too() {
    let server = Server::start(&["--unixsocket", "redis.sock", "--requirepass", "p@ss"]);
    let socket = server.directory().join("redis.sock");
    let store = open(&format!("redis+unix://:p%40ss@{}", socket.display()));
    enters(&store, "a").await;
    assert_eq!(ids(&claim(&store, "worker", LONG).await), ["a"]);
}

#[tokio::test]
async fn a_server_with_an_untrusted_certificate_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-keyout", &path("key"), "-out", &path("certificate")])
        .output()
        .expect("openssl runs; install the Debian package openssl");
    assert!(made.status.success(), "{made:?}");
    let tls = Server::free_port().to_string();
    let (key, certificate) = (path("key"), path("certificate"));
    let files = [
        "--tls-key-file",
        &key,
        "--tls-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ];
    let _server = Server::start(&[&["--tls-port", &tls], &files[..]].concat());
    let refused = open(&format!("rediss://localhost:{tls}")).depth().await;
    let Err(Failure::Transient(text)) = refused else {
        panic!("{refused:?}");
    };
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn settings_that_lose_something_are_named() {
    let weak = |promises: Vec<Promise>| -> Vec<(&str, Option<String>)> {
        let weak = promises.into_iter().filter(|promise| promise.weakness.is_some());
        weak.map(|promise| (promise.setting, promise.value)).collect()
    };
    let said = |value: &str| Some(value.to_owned());
    let durable = Server::start(DURABLE);
    let promises = open(&url(&durable)).promises().await.expect("the store answers");
    assert!(promises.iter().all(|promise| promise.place == durable.address()));
    assert_eq!(weak(promises), [("replicas", said("0"))], "one disk is one disk");

    let careless = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let promises = open(&url(&careless)).promises().await.expect("the store answers");
    let lost = [
        ("appendonly", said("no")),
        ("maxmemory-policy", said("allkeys-lru")),
        ("replicas", said("0")),
    ];
    assert_eq!(weak(promises), lost);
}
