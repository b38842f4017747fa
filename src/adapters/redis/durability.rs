//! The durability of the servers: the settings that decide it, and the data that each of them can lose.

use super::store::RedisStore;
use crate::ports::promise::{Promise, Weakness};
use crate::ports::{Durability, Failure};
use async_trait::async_trait;
use std::collections::HashMap;

#[async_trait]
impl Durability for RedisStore {
    async fn promises(&self) -> Result<Vec<Promise>, Failure> {
        let link = self.link().await?;
        let infos: Vec<(String, String)> = link.ask_each(&redis::cmd("INFO")).await?;
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("appendfsync").arg("min-replicas-to-write");
        // Hosted servers refuse this command; INFO contains most of the settings too.
        let mut configs: HashMap<String, HashMap<String, String>> = match link.ask_each(&command).await {
            Ok(configs) => configs.into_iter().collect(),
            Err(_) => HashMap::new(),
        };
        let of_server = |(server, info): (String, String)| {
            let config = configs.remove(&server).unwrap_or_default();
            promises_of(&server, &Facts { info, config })
        };
        Ok(infos.into_iter().flat_map(of_server).collect())
    }

    async fn open_place(&self) -> Result<Option<String>, Failure> {
        self.unauthenticated_place().await
    }

    async fn try_out(&self) -> Result<(), Failure> {
        self.try_everything().await
    }
}

/// The settings that a server reports.
struct Facts {
    info: String,
    config: HashMap<String, String>,
}

impl Facts {
    fn info(&self, name: &str) -> Option<&str> {
        let fields = self.info.lines().filter_map(|line| line.split_once(':'));
        let mut values = fields
            .filter(|(field, _)| *field == name)
            .map(|(_, value)| value.trim());
        values.next()
    }

    fn config(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(String::as_str)
    }
}

fn promises_of(server: &str, facts: &Facts) -> Vec<Promise> {
    let aof = facts.info("aof_enabled").map(|on| if on == "1" { "yes" } else { "no" });
    let replicas = facts.info("connected_slaves");
    let promise = |setting, value: Option<&str>, weakness| Promise {
        place: server.to_owned(),
        setting,
        value: value.map(str::to_owned),
        weakness,
    };
    // A server also reports appendfsync if it has no append-only file.
    let sync = (aof == Some("yes")).then(|| facts.config("appendfsync"));
    let mut promises = vec![promise("appendonly", aof, appendonly(aof))];
    promises.extend(sync.map(|sync| promise("appendfsync", sync, appendfsync(sync))));
    promises.extend([
        promise("maxmemory-policy", facts.info("maxmemory_policy"), policy(facts)),
        promise(
            "replicas",
            replicas,
            replication(replicas, facts.config("min-replicas-to-write")),
        ),
    ]);
    promises
}

fn appendonly(value: Option<&str>) -> Option<Weakness> {
    (value != Some("yes")).then_some(Weakness {
        can_lose: "everything since the last snapshot, when the server ends",
        remedy: "appendonly yes",
    })
}

fn appendfsync(value: Option<&str>) -> Option<Weakness> {
    let can_lose = match value {
        Some("always") => return None,
        Some("everysec") => "the last two seconds, when the machine crashes",
        Some(_) => "the last half minute, when the machine crashes",
        None => "an unknown amount: the server does not report its setting",
    };
    let remedy = match value {
        Some(_) => "appendfsync always",
        None => "appendfsync always, and +config|get for the user of jitgate so that it can read the setting",
    };
    Some(Weakness { can_lose, remedy })
}

fn policy(facts: &Facts) -> Option<Weakness> {
    let can_lose = match facts.info("maxmemory_policy") {
        Some("noeviction") => return None,
        Some(policy) if policy.starts_with("volatile-") => {
            "records of finished deliveries and jobs, when the memory is full: a redelivery takes effect twice"
        }
        _ => "any data, unfinished work included, when the memory is full",
    };
    Some(Weakness {
        can_lose,
        remedy: "maxmemory-policy noeviction",
    })
}

fn replication(replicas: Option<&str>, min_to_write: Option<&str>) -> Option<Weakness> {
    match (replicas, min_to_write) {
        (None | Some("0"), _) => Some(Weakness {
            can_lose: "everything, with this server's disk",
            remedy: "add a replica, or back up the append-only file",
        }),
        (Some(_), None | Some("0")) => Some(Weakness {
            can_lose: "writes that were not replicated, when a replica takes over from a disconnected server",
            remedy: "min-replicas-to-write 1, which limits the loss to min-replicas-max-lag",
        }),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weak(info: &str, config: &[(&str, &str)]) -> Vec<&'static str> {
        let config = config
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let facts = Facts {
            info: info.to_owned(),
            config: config.collect(),
        };
        let promises = promises_of("here", &facts);
        let weak = promises.into_iter().filter(|promise| promise.weakness.is_some());
        weak.map(|promise| promise.setting).collect()
    }

    #[test]
    fn appendfsync_is_not_reported_without_an_append_only_file() {
        let facts = Facts {
            info: "aof_enabled:0\r\n".to_owned(),
            config: HashMap::from([("appendfsync".to_owned(), "always".to_owned())]),
        };
        let promises = promises_of("here", &facts);
        assert!(
            promises.iter().all(|promise| promise.setting != "appendfsync"),
            "{promises:?}"
        );
    }

    #[test]
    fn only_settings_that_lose_something_are_weak() {
        let strong = "# Server\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\nconnected_slaves:1\r\n";
        let always = [("appendfsync", "always"), ("min-replicas-to-write", "1")];
        assert_eq!(weak(strong, &always), [""; 0]);
        assert_eq!(weak(strong, &[]), ["appendfsync", "replicas"], "not reported");
        let every_second = [("appendfsync", "everysec"), ("min-replicas-to-write", "0")];
        assert_eq!(weak(strong, &every_second), ["appendfsync", "replicas"]);
        let default = "aof_enabled:0\r\nmaxmemory_policy:allkeys-lru\r\nconnected_slaves:0\r\n";
        assert_eq!(
            weak(default, &every_second),
            ["appendonly", "maxmemory-policy", "replicas"]
        );
    }
}
