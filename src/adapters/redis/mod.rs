//! Queue and ledger in Redis or Valkey, on one server or a cluster, for any number of processes.
//!
//! Needs Redis 7.0 or Valkey: scripts declare whether they may run when memory is full. Everything that changes is one
//! script, so it happens wholly or not at all, and a claim, a lease and a delay go by the clock of the server. Together with
//! the connection an answer is lost: what was asked for may have happened then, and every call may be repeated.
//!
//! All calls share one connection and none blocks on it; wake-ups come as pushes between the answers. A server that says it is
//! the wrong one (a read-only replica, one that loads or lost its primary) is left as one that is gone. It comes back at the
//! next call, and whoever waits calls every second while it is gone. `rediss://` trusts the certificate authorities of the
//! system, or those in `SSL_CERT_FILE`.
//!
//! # Shards
//! Keys begin with the hash tag `{jitgate:N}`, so that a shard is in one slot of a cluster and its scripts may touch all of
//! it. A delivery lives in the shard of its repository, which keeps those of a job together. One that is only remembered
//! names no repository, and so may one that cannot be read; those live in the shard of their GUID. Hence accepting looks
//! there too, and remembering looks everywhere, if there is more than one shard. Whoever asks by GUID asks all shards. A
//! record of the ledger lives in the shard of its key. The oldest go out first within a shard; between shards claims take
//! turns. Bounds hold for all shards together, as the others were a second ago.
//!
//! While slots of a cluster are moved the scripts of a shard can fail half-way: stop the gate for that, or move slots
//! atomically (Redis 8.4, Valkey 9).
//!
//! # Keys
//! | key | holds | until |
//! |---|---|---|
//! | `jitgate:layout` | version of this table and number of shards, `1/N`; another number is refused | removed by hand |
//!
//! The rest in each shard, `{jitgate:N}:` before it. *Over* is done, ignored or dead.
//!
//! | key | holds | until |
//! |---|---|---|
//! | `queue` | stream of unfinished deliveries, `PLACE-0` with field `delivery` (GUID); group `workers` holds as pending what was ever handed out or parked | entries until over |
//! | `delivery:GUID` | hash, see below | retention after it is over |
//! | `body:GUID` | `0` and the body, or `1` and the body in lz4 with its size (little endian u32) before it | retention after it is over, or room is needed |
//! | `job:JOB` | sorted set of GUIDs by place: its unfinished ones | over |
//! | `busy` | hash of job to the GUID that is worked on, if that is among `leases` | given back |
//! | `parked:JOB` | sorted set of GUIDs by place: due while another one of their job was worked on | that one is given back |
//! | `leases` | sorted set of GUIDs by end of lease (ms) | given back, or claimed anew |
//! | `delayed` | sorted set of GUIDs by when to try again (ms) | claimed |
//! | `returned` | sorted set of GUIDs by place: due again, or no longer parked | claimed |
//! | `unfinished` | sorted set of GUIDs by when they were received (ms) | over |
//! | `arrived` | sorted set of GUIDs by place | forgotten |
//! | `over` | sorted set of GUIDs by when to forget them (ms) | forgotten |
//! | `dead` | sorted set of GUIDs by place: given up on | forgotten, or queued again |
//! | `sizes` | hash of GUID to bytes of its body as received | body is gone |
//! | `spare` | sorted set of GUIDs by place: over with a body; the dead 2^52 higher | body is gone, or queued again |
//! | `totals` | hash: `places` given so far, `unfinished_bytes`, `body_bytes` | ever |
//! | `record:KIND:ID` | hash: `version`, `value` | as the caller says |
//! | `records:KIND` | sorted set of ids at score 0 | soon after the record |
//! | `expiring:KIND` | sorted set of ids by expiry (ms) | soon after the record |
//! | `surplus:KIND` | sorted set of ids by last change: those that may go when there are many of them | soon after the record |
//!
//! Fields of `delivery:GUID`: `event`, `received` (RFC 3339), `received_ms`, `place` (in the order of arrival), `placed` (ms),
//! `state` (`queued`, `leased`, `done`, `ignored`, `dead`), `attempts`; for one with a body also `action`, `repository`,
//! `job` (empty where it could not be read), `until` (ms: end of the lease, or when it is due) and `cause`.
//!
//! The channel `jitgate:changed` tells whoever waits that something may be due. A user of the server needs `~{jitgate:*`,
//! `~jitgate:*` and `&jitgate:*`, and `+info +config|get` to be told what the server promises.

mod body;
mod connection;
mod durability;
mod ledger;
mod link;
mod queue;
mod rows;
mod scripts;
mod shards;
mod store;
mod strangers;
mod target;
mod trial;
mod usage;

pub use store::{RedisStore, Settings};
