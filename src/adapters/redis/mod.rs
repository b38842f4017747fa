//! A queue and a ledger in Redis or Valkey, on one server or a cluster, for any number of processes.
//!
//! The adapter requires Redis 7.0 or Valkey, because scripts declare whether they may run when the memory is full.
//! Every change is one script, so it happens completely or not at all. Claims, leases and delays use the server's
//! clock. An answer is lost together with its connection: the request may have taken effect then, and every call may be
//! repeated.
//!
//! All calls share one connection and none blocks it; wake-ups arrive as pushes between the answers. A server that
//! reports that it is the wrong one (a read-only replica, a server that is loading or lost its primary) is treated like
//! one that is down. The next call reconnects, and waiting processes call every second while the server is down.
//! `rediss://` trusts the certificate authorities of the system, or those in `SSL_CERT_FILE`.
//!
//! # Shards
//! Keys begin with the hash tag `{jitgate:N}`, so that a shard is in one slot of a cluster and its scripts may access
//! all of it. A delivery is in the shard of its repository, which keeps the deliveries of a job together. A delivery of
//! which only the GUID is stored has no repository, and one that cannot be parsed may have none; those are in the shard
//! of their GUID. With more than one shard, accepting a delivery therefore checks that shard too, and storing a GUID
//! checks all shards. A look-up by GUID reads all shards. A record of the ledger is in the shard of its key. Within a
//! shard the oldest delivery is handed out first; claims rotate between shards. The bounds apply to the sum of all
//! shards, with figures of the other shards that are up to a second old.
//!
//! While slots of a cluster are moved, the scripts of a shard can fail half-way. Stop jitgate for that, or move slots
//! atomically (Redis 8.4, Valkey 9).
//!
//! # Keys
//! | key | holds | until |
//! |---|---|---|
//! | `jitgate:layout` | version of this table and number of shards, `1/N`; another number is rejected | removed by hand
//! |
//!
//! The other keys are in each shard, after `{jitgate:N}:`. A delivery is *finished* if it is done, ignored or dead.
//!
//! | key | holds | until |
//! |---|---|---|
//! | `queue` | stream of unfinished deliveries, `PLACE-0` with field `delivery` (GUID); group `workers` has those as
//! pending that were handed out or parked | entries until finished |
//! | `delivery:GUID` | hash, see below | retention after it is finished |
//! | `body:GUID` | `0` and the body, or `1` and the body in lz4 with its size (little endian u32) before it | retention
//! after it is finished, or room is needed |
//! | `job:JOB` | sorted set of the job's unfinished GUIDs by place | finished |
//! | `busy` | hash of job to the GUID that is processed, if that is among `leases` | given back |
//! | `parked:JOB` | sorted set of GUIDs by place: due while another one of their job was processed | that one is given
//! back |
//! | `leases` | sorted set of GUIDs by end of lease (ms) | given back, or claimed again |
//! | `delayed` | sorted set of GUIDs by the time of the retry (ms) | claimed |
//! | `returned` | sorted set of GUIDs by place: due again, or no longer parked | claimed |
//! | `unfinished` | sorted set of GUIDs by receiving time (ms) | finished |
//! | `arrived` | sorted set of GUIDs by place | removed |
//! | `over` | sorted set of GUIDs by removal time (ms) | removed |
//! | `dead` | sorted set of GUIDs by place: dead letters | removed, or queued again |
//! | `sizes` | hash of GUID to bytes of its body as received | body is dropped |
//! | `spare` | sorted set of GUIDs by place: finished with a body; dead letters 2^52 higher | body is dropped, or
//! queued again |
//! | `totals` | hash: `places` given so far, `unfinished_bytes`, `body_bytes` | for ever |
//! | `record:KIND:ID` | hash: `version`, `value` | the caller's retention |
//! | `records:KIND` | sorted set of ids at score 0 | soon after the record |
//! | `expiring:KIND` | sorted set of ids by expiry (ms) | soon after the record |
//! | `surplus:KIND` | sorted set of ids by last change: spare records | soon after the record |
//!
//! Fields of `delivery:GUID`: `event`, `received` (RFC 3339), `received_ms`, `place` (in the order of arrival),
//! `placed` (ms), `state` (`queued`, `leased`, `done`, `ignored`, `dead`), `attempts`; with a body also `action`,
//! `repository`, `job` (empty if it could not be parsed), `until` (ms: the end of the lease, or the time at which it is
//! due) and `cause`.
//!
//! The channel `jitgate:changed` notifies waiting processes that a delivery may be due. A user of the server needs
//! `~{jitgate:*`, `~jitgate:*` and `&jitgate:*`, and `+info +config|get` to read the server's durability settings.

mod body;
mod connection;
mod durability;
mod ledger;
mod link;
mod open_access;
mod queue;
mod rows;
mod scripts;
mod shards;
mod store;
mod target;
mod trial;
mod usage;

pub use store::{RedisStore, Settings};
