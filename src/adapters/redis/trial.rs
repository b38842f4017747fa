//! A trial of every operation of a serving process: it runs every script on keys that no other code uses.
//!
//! The keys are in each shard below `probe:NAME:` and are removed afterwards.

use super::body;
use super::rows::LeaseRow;
use super::scripts::{Script, millis};
use super::shards::Shard;
use super::store::RedisStore;
use crate::ports::Failure;
use redis::{Cmd, FromRedisValue, Value};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Longer than a trial takes.
const LEASE_TIME: Duration = Duration::from_secs(60);
/// The delivery, the record and the consumer of the trial.
const PROBE: &str = "probe";
/// The commands that the scripts call, each with valid arguments, on a key that does not exist.
const COMMANDS: &[&[&str]] = &[
    &["DEL", "KEY"],
    &["EXISTS", "KEY"],
    &["GET", "KEY"],
    &["HDEL", "KEY", "x"],
    &["HGET", "KEY", "x"],
    &["HINCRBY", "KEY", "x", "1"],
    &["HMGET", "KEY", "x"],
    &["DEL", "KEY"],
    &["HSET", "KEY", "x", "1"],
    &["DEL", "KEY"],
    &["PERSIST", "KEY"],
    &["PEXPIREAT", "KEY", "1"],
    &["SET", "KEY", "1"],
    &["DEL", "KEY"],
    &["TIME"],
    &["XGROUP", "CREATE", "KEY", "x", "0", "MKSTREAM"],
    &["XADD", "KEY", "1-0", "x", "1"],
    &["XREADGROUP", "GROUP", "x", "x", "COUNT", "1", "STREAMS", "KEY", ">"],
    &["XCLAIM", "KEY", "x", "x", "0", "1-0"],
    &["XPENDING", "KEY", "x"],
    &["XACK", "KEY", "x", "1-0"],
    &["XDEL", "KEY", "1-0"],
    &["XLEN", "KEY"],
    &["DEL", "KEY"],
    &["ZADD", "KEY", "1", "x"],
    &["ZCARD", "KEY"],
    &["ZCOUNT", "KEY", "1", "1"],
    &["ZPOPMIN", "KEY"],
    &["ZRANGE", "KEY", "0", "0"],
    &["ZRANGEBYLEX", "KEY", "-", "+"],
    &["ZRANGEBYSCORE", "KEY", "1", "1"],
    &["ZREM", "KEY", "x"],
    &["ZREVRANGEBYSCORE", "KEY", "1", "1"],
    &["ZSCORE", "KEY", "x"],
    &["DEL", "KEY"],
];

impl RedisStore {
    /// Runs the trial in every shard.
    pub(super) async fn try_everything(&self) -> Result<(), Failure> {
        let name = format!("{PROBE}:{:016x}", RandomState::new().hash_one(PROBE));
        let tried = self.on_all_shards(|shard| {
            let probe = Probe {
                store: self,
                shard,
                name: &name,
            };
            async move {
                let outcome = probe.life().await;
                let removed = probe.clean_up().await;
                match outcome {
                    Ok(()) => removed,
                    Err(failure) => Err(probe.explained(failure).await),
                }
            }
        });
        tried.await.map(drop)
    }
}

/// The keys of one trial in one shard.
struct Probe<'a> {
    store: &'a RedisStore,
    shard: Shard,
    name: &'a str,
}

impl Probe<'_> {
    fn key(&self, name: &str) -> String {
        self.shard.key(format_args!("{}:{name}", self.name))
    }

    /// Runs the life of a delivery, and then that of a record.
    async fn life(&self) -> Result<(), Failure> {
        let scripts = &self.store.scripts;
        let arrival = ["workflow_job", "", "0", "60000", "queued", PROBE, "1", "2", "1000"];
        self.queue("accept", &scripts.accept, &|call| {
            call.arg(&arrival).arg(body::pack(b"{}")).arg(1).arg(1000);
        })
        .await?;
        self.in_full("show", &scripts.show).await?;
        self.queue("due", &scripts.due, &|_| {}).await?;
        self.queue("depth", &scripts.depth, &|_| {}).await?;
        self.all("list", &scripts.list, &|call| {
            call.arg("arrived").arg("+inf").arg(1);
        })
        .await?;
        let token = self.claim().await?;
        self.queue("hold", &scripts.hold, &|call| {
            call.arg(&token).arg(millis(LEASE_TIME));
        })
        .await?;
        self.settle(&token, "queued", 0).await?;
        self.settle(&self.claim().await?, "dead", 60_000).await?;
        self.queue("requeue", &scripts.requeue, &|call| {
            call.arg(1000);
        })
        .await?;
        self.settle(&self.claim().await?, "dead", 60_000).await?;
        self.queue("forget_dead", &scripts.forget_dead, &|_| {}).await?;

        let keys = ["record:probe", "records", "expiring", "surplus"].map(|name| self.key(name));
        for (expected, version, keep, spare) in [("", "1", "60000", ""), ("1", "2", "", ""), ("2", "3", "60000", "0")] {
            let mut put = scripts.put.on(&keys);
            put.arg(PROBE).arg(expected).arg(version).arg("{}").arg(keep).arg(spare);
            self.run("put", &scripts.put, &put).await?;
        }
        let mut page = scripts.page.on(&keys[1..2]);
        page.arg(self.key("")).arg("-").arg(1);
        self.run("page", &scripts.page, &page).await?;
        let mut remove = scripts.remove.on(&keys);
        remove.arg(PROBE);
        self.run("remove", &scripts.remove, &remove).await
    }

    /// Claims the delivery and returns the token of its lease.
    async fn claim(&self) -> Result<String, Failure> {
        let script = &self.store.scripts.claim;
        let mut call = script.on(&[self.key("queue")]);
        call.arg(PROBE).arg(1).arg(millis(LEASE_TIME)).arg(1000);
        let (_, mut claimed): (bool, Vec<LeaseRow>) = self.answer("claim", script, &call).await?;
        let lost = || Failure::Transient("Redis: a queued delivery is not handed out".to_owned());
        claimed.pop().map(|(_, _, _, token, _)| token).ok_or_else(lost)
    }

    async fn settle(&self, token: &str, outcome: &str, time_ms: u64) -> Result<(), Failure> {
        self.queue("settle", &self.store.scripts.settle, &|call| {
            call.arg(token).arg(outcome).arg(time_ms).arg("tried");
        })
        .await
    }

    /// Runs a script about the delivery.
    async fn queue(&self, name: &str, script: &Script, with: &(dyn Fn(&mut Cmd) + Sync)) -> Result<(), Failure> {
        self.all(name, script, &|call| {
            call.arg(PROBE);
            with(call);
        })
        .await
    }

    /// Runs a script of the queue.
    async fn all(&self, name: &str, script: &Script, with: &(dyn Fn(&mut Cmd) + Sync)) -> Result<(), Failure> {
        let mut call = script.on(&[self.key("queue")]);
        with(&mut call);
        self.run(name, script, &call).await
    }

    /// Sends the text of the script, as to a server that does not know it yet.
    async fn in_full(&self, name: &str, script: &Script) -> Result<(), Failure> {
        let mut call = script.on(&[self.key("queue")]);
        call.arg(PROBE);
        let answer = self.store.link().await?.ask::<Value>(&script.in_full(&call)).await;
        answer.map(drop).map_err(|failure| about(name, failure))
    }

    async fn run(&self, name: &str, script: &Script, call: &Cmd) -> Result<(), Failure> {
        self.answer::<Value>(name, script, call).await.map(drop)
    }

    async fn answer<T: FromRedisValue>(&self, name: &str, script: &Script, call: &Cmd) -> Result<T, Failure> {
        let answer = self.store.link().await?.run(script, call).await;
        answer.map_err(|failure| about(name, failure))
    }

    async fn clean_up(&self) -> Result<(), Failure> {
        let names = [
            "queue",
            "totals",
            "arrived",
            "unfinished",
            "returned",
            "leases",
            "delayed",
            "over",
            "dead",
            "busy",
            "sizes",
            "spare",
            "record:probe",
            "records",
            "expiring",
            "surplus",
            "called",
            "delivery:probe",
            "body:probe",
            "job:1",
            "parked:1",
        ];
        let mut remove = redis::cmd("DEL");
        for name in names {
            remove.arg(self.key(name));
        }
        self.store.link().await?.ask::<u64>(&remove).await.map(drop)
    }

    /// Adds the commands that the server denies to the failure, because the server does not name the commands of a
    /// script.
    async fn explained(&self, failure: Failure) -> Failure {
        let mut refused: Vec<&str> = Vec::new();
        for words in COMMANDS {
            let Some((name, rest)) = words.split_first() else {
                continue;
            };
            let mut command = redis::cmd(name);
            for word in rest {
                command.arg(if *word == "KEY" {
                    self.key("called")
                } else {
                    (*word).to_owned()
                });
            }
            let Ok(link) = self.store.link().await else { break };
            if let Err(failure) = link.try_out(&command).await {
                let text = failure.to_string();
                let is_refused = ["NOPERM", "no permissions", "nknown command"]
                    .iter()
                    .any(|word| text.contains(word));
                if is_refused && !refused.contains(name) {
                    refused.push(name);
                }
            }
        }
        if refused.is_empty() {
            return failure;
        }
        Failure::Permanent(format!("{failure}; the server denies {}", refused.join(", ")))
    }
}

fn about(name: &str, failure: Failure) -> Failure {
    let named = |text: &str| format!("script {name}: {text}");
    match failure {
        Failure::Permanent(text) => Failure::Permanent(named(&text)),
        Failure::Transient(text) => Failure::Transient(named(&text)),
        limited @ Failure::RateLimited { .. } => limited,
    }
}
