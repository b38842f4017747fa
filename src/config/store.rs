//! `[store]`: the durable queue and ledger.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Period in which GitHub permits redeliveries.
const REDELIVERY_LIMIT: Duration = Duration::from_secs(3 * 24 * 3600);
/// Default number of queues in a cluster, which spreads them over its nodes.
const CLUSTER_SHARDS: NonZeroU32 = NonZeroU32::new(16).unwrap();

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStore {
    /// `sqlite:PATH`, `redis://`, `rediss://`, `redis+unix://`, `redis+cluster://` or `memory:`.
    #[schemars(extend("format" = "uri"))]
    url: String,
    /// File with the URL, which can contain a password.
    url_file: Option<PathBuf>,
    /// Number of queues that the repositories are distributed over. By default 16 for a Redis cluster, otherwise 1.
    #[schemars(range(min = 1, max = 1024))]
    shards: NonZeroU32,
    /// Retention period of finished jobs and delivery ids.
    #[schemars(range(min = 1, max = 315_360_000))]
    retention_s: u64,
    /// Maximum total size of stored delivery bodies, in bytes.
    #[schemars(range(min = 1))]
    bodies_max_bytes: u64,
}

/// Settings of the durable queue and ledger.
#[derive(Debug, Clone)]
pub struct Store {
    pub url: StoreUrl,
    pub shards: NonZeroU32,
    pub retention: Duration,
    pub bodies_max_bytes: u64,
}

/// A store engine and its address.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// Memory of this process, lost at exit.
    Memory,
    /// A database file.
    Sqlite(PathBuf),
    /// One Redis server: the URL, `redis://`, `rediss://` or `redis+unix://`.
    Redis(SecretString),
    /// A Redis cluster: the URL, `redis+cluster://`.
    RedisCluster(SecretString),
}

impl StoreUrl {
    /// Returns true if the server requires a password.
    fn has_password(&self) -> bool {
        let (Self::Redis(url) | Self::RedisCluster(url)) = self else {
            return true;
        };
        let (_, rest) = url.expose_secret().split_once("://").unwrap_or_default();
        let in_user = rest.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        let in_query = rest.split_once('?').filter(|_| self.is_socket()).into_iter();
        let mut pairs = in_query.flat_map(|(_, query)| query.split('&'));
        in_user.is_some_and(|(_, password)| !password.is_empty())
            || pairs.any(|pair| pair.strip_prefix("pass=").is_some_and(|password| !password.is_empty()))
    }

    /// Returns true if the address is a socket of this machine, which can be hidden from jobs.
    fn is_socket(&self) -> bool {
        matches!(self, Self::Redis(url) if url.expose_secret().starts_with("redis+unix:"))
    }
}

impl Store {
    /// Rejects a store that jobs on this machine could write to. A writer of the ledger can have any job admitted. A
    /// socket is hidden from jobs if they run in a sandbox (`are_walled`).
    pub(super) fn closed_to_jobs(&self, check: &mut Check<'_>, are_walled: bool) -> Result<(), Reported> {
        if self.url.has_password() || (self.url.is_socket() && are_walled) {
            return Ok(());
        }
        let key = if check.is_default("store.url") {
            "store.url_file"
        } else {
            "store.url"
        };
        let remedy = if self.url.is_socket() {
            "use a user with a password (see deploy/redis.conf) in server and URL, or set \
             local.sandbox = \"bwrap\""
        } else {
            "use a user with a password (see deploy/redis.conf) in server and URL, or reach it by \
             redis+unix:///PATH, which local.sandbox keeps from jobs"
        };
        let what = "is open to the jobs on this machine (runners.host = \"local\"): the server requires no password";
        Err(check.problem(key, what, remedy))
    }
}

impl RawStore {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Store, Reported> {
        let (key, url) = match &self.url_file {
            Some(_) if !check.is_default("store.url") => return Err(check.given_twice("store.url", "store.url_file")),
            Some(path) => ("store.url_file", check.secret_file("store.url_file", path)?),
            None => ("store.url", SecretString::from(self.url)),
        };
        let url = engine(check, key, &url)?;
        let retention = Duration::from_secs(self.retention_s);
        if retention <= REDELIVERY_LIMIT {
            let remedy = format!("use more than {} s", REDELIVERY_LIMIT.as_secs());
            check.warn(
                "store.retention_s",
                "is shorter than the period in which GitHub permits redeliveries",
                remedy,
            );
        }
        let for_cluster = matches!(url, StoreUrl::RedisCluster(_)) && check.is_default("store.shards");
        Ok(Store {
            url,
            shards: if for_cluster { CLUSTER_SHARDS } else { self.shards },
            retention,
            bodies_max_bytes: self.bodies_max_bytes,
        })
    }
}

fn engine(check: &mut Check<'_>, key: &str, url: &SecretString) -> Result<StoreUrl, Reported> {
    let text = url.expose_secret();
    let parsed = match text.split_once(':') {
        Some(("memory", "")) => Some(StoreUrl::Memory),
        Some(("sqlite", path)) => sqlite(path),
        Some((scheme @ ("redis" | "rediss" | "redis+unix" | "redis+cluster"), rest)) => {
            let place = rest.strip_prefix("//").unwrap_or_default();
            let place = place.rsplit('@').next().unwrap_or_default();
            let named = if scheme == "redis+unix" {
                place.starts_with('/')
            } else {
                names_host(place)
            };
            named.then(|| match scheme {
                "redis+cluster" => StoreUrl::RedisCluster(url.clone()),
                _ => StoreUrl::Redis(url.clone()),
            })
        }
        _ => None,
    };
    parsed.ok_or_else(|| {
        let remedy =
            "use sqlite:PATH, redis://HOST, rediss://HOST, redis+unix:///PATH, redis+cluster://HOST or memory:";
        check.problem(key, "is not a supported store URL", remedy)
    })
}

/// Parses `sqlite:PATH` or, as in other programs, `sqlite://PATH`. A database in memory has a separate URL.
fn sqlite(path: &str) -> Option<StoreUrl> {
    let path = path.strip_prefix("//").unwrap_or(path);
    let is_path = !path.is_empty() && !path.starts_with(':') && !path.contains('?');
    is_path.then(|| StoreUrl::Sqlite(PathBuf::from(path)))
}

fn names_host(place: &str) -> bool {
    !place.is_empty() && !place.starts_with(['/', ':', '?'])
}
