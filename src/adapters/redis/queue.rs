//! The queue. The scripts implement its guarantees; this file selects the shards that they run on.

use super::body;
use super::rows::{self, DeliveryRow, LeaseRow, ShardDepth};
use super::scripts::millis;
use super::shards::Shard;
use super::store::RedisStore;
use super::usage::{self, Load};
use crate::domain::event::Action;
use crate::domain::ids::DeliveryId;
use crate::ports::queue::{Accepted, Arrival, Delivery, DeliveryState, Depth, Filter, Lease, Priority, Work};
use crate::ports::{Failure, Queue};
use async_trait::async_trait;
use futures::future::try_join_all;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A claim stops after this many bytes of bodies, so that its answer arrives in time. The next claim continues.
const MAX_CLAIM_BYTES: u64 = 8 << 20;
/// The deliveries that one script call lists.
const PAGE_SIZE: usize = 200;
/// The delay after which [`Queue::wait`] returns if the server cannot be asked. The next call shows whether it is back.
const RETRY_DELAY: Duration = Duration::from_secs(1);

#[async_trait]
impl Queue for RedisStore {
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failure> {
        let shard_of_id = self.shards.of(arrival.id.as_str());
        let of_repository = |name: &str| (self.shards.of(&name.to_ascii_lowercase()), vec![shard_of_id]);
        let (home, others) = match &arrival.work {
            Work::Queue { repository, .. } => of_repository(repository),
            Work::Bury {
                repository: Some(repository),
                ..
            } => of_repository(repository),
            Work::Bury { repository: None, .. } | Work::Remember => (shard_of_id, self.shards.all().collect()),
        };
        let others = others.into_iter().filter(|shard| *shard != home);
        let known = self.known_in(&arrival.id, others).await?;
        // A delivery that could not be parsed had no repository and is in the shard of its GUID.
        let is_read_now = matches!(arrival.work, Work::Queue { .. }) && known.iter().all(|(_, state)| state == "dead");
        if !known.is_empty() && !is_read_now {
            return Ok(Accepted::AlreadySeen);
        }
        let mut call = self.scripts.accept.on(&[home.queue()]);
        call.arg(arrival.id.as_str())
            .arg(&arrival.event)
            .arg(rows::stored_moment(arrival.received_at))
            .arg(arrival.received_at.timestamp_millis())
            .arg(millis(self.bounds.retention));
        match &arrival.work {
            Work::Queue {
                action,
                repository,
                job,
                priority,
                body,
            } => {
                let elsewhere = self.load_elsewhere(home).await?;
                // The script checks the same condition as `Bounds::have_room`.
                let (entries, bodies) = match priority {
                    Priority::Reaching => (self.bounds.max_entries, self.bounds.bodies_max_bytes),
                    Priority::Other => (self.bounds.max_entries_other, self.bounds.bodies_max_bytes / 2),
                };
                call.arg(action.as_str())
                    .arg(repository)
                    .arg(job.0)
                    .arg(body.len())
                    .arg(self.bounds.bodies_max_bytes.saturating_sub(elsewhere.body_bytes))
                    .arg(body::pack(body))
                    .arg(entries.saturating_sub(elsewhere.unfinished))
                    .arg(bodies.saturating_sub(elsewhere.unfinished_bytes));
            }
            Work::Bury {
                action,
                repository,
                job,
                cause,
                body,
            } => {
                let elsewhere = self.load_elsewhere(home).await?;
                call.arg(action.map_or("", Action::as_str))
                    .arg(repository.as_deref().unwrap_or_default())
                    .arg(job.map_or_else(String::new, |job| job.to_string()))
                    .arg(body.len())
                    .arg(self.bounds.bodies_max_bytes.saturating_sub(elsewhere.body_bytes))
                    .arg(body::pack(body))
                    .arg(cause);
            }
            Work::Remember => {}
        }
        let outcome: String = self.link().await?.run(&self.scripts.accept, &call).await?;
        if outcome == "taken" {
            for (shard, _) in known {
                self.forget_dead_in(shard, &arrival.id).await?;
            }
        }
        Ok(match outcome.as_str() {
            "taken" => Accepted::Taken,
            "full" => Accepted::Full,
            _ => Accepted::AlreadySeen,
        })
    }

    async fn claim(&self, consumer: &str, limit: usize, lease_for: Duration) -> Result<Vec<Lease>, Failure> {
        let mut leases = Vec::new();
        for shard in self.shards_to_claim_from().await? {
            let mut has_more = true;
            while has_more && leases.len() < limit {
                let claimed = self.claim_from(shard, consumer, limit - leases.len(), lease_for);
                match claimed.await {
                    Ok((stopped_early, mut claimed)) => {
                        leases.append(&mut claimed);
                        has_more = stopped_early;
                    }
                    Err(failure) if leases.is_empty() => return Err(failure),
                    // Deliveries that are leased already must not wait for the end of their lease.
                    Err(_) => return Ok(leases),
                }
            }
        }
        Ok(leases)
    }

    async fn hold(&self, lease: &Lease, lease_for: Duration) -> Result<bool, Failure> {
        let Some((shard, token)) = self.shards.marked(&lease.token) else {
            return Ok(false);
        };
        let mut call = self.scripts.hold.on(&[shard.queue()]);
        call.arg(lease.id.as_str()).arg(token).arg(millis(lease_for));
        self.link().await?.run(&self.scripts.hold, &call).await
    }

    async fn ack(&self, lease: Lease) -> Result<(), Failure> {
        self.settle(&lease, "done", self.bounds.retention, None).await
    }

    async fn retry(&self, lease: Lease, delay: Duration, cause: &str) -> Result<(), Failure> {
        self.settle(&lease, "queued", delay, Some(cause)).await
    }

    async fn dead_letter(&self, lease: Lease, cause: &str) -> Result<(), Failure> {
        self.settle(&lease, "dead", self.bounds.retention, Some(cause)).await
    }

    async fn requeue(&self, id: &DeliveryId) -> Result<bool, Failure> {
        let requeued = self.on_all_shards(|shard| async move {
            let elsewhere = self.load_elsewhere(shard).await?;
            let mut call = self.scripts.requeue.on(&[shard.queue()]);
            call.arg(id.as_str())
                .arg(self.bounds.bodies_max_bytes.saturating_sub(elsewhere.body_bytes));
            self.link().await?.run::<bool>(&self.scripts.requeue, &call).await
        });
        Ok(requeued.await?.contains(&true))
    }

    async fn wait(&self, at_most: Duration) {
        let changed = self.bare_link().changed();
        tokio::pin!(changed);
        // From here on every wake-up is noticed, also one between the check and the wait.
        changed.as_mut().enable();
        let until_due = match self.on_all_shards(|shard| self.due_in(shard)).await {
            Ok(due) => due.into_iter().flatten().min().unwrap_or(Duration::MAX),
            Err(failure) => {
                tracing::debug!(%failure, "failed to read the time of the next due delivery");
                RETRY_DELAY
            }
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(until_due.min(at_most)) => {}
        }
    }

    async fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, Failure> {
        let found = self.on_all_shards(|shard| async move {
            let mut call = self.scripts.show.on(&[shard.queue()]);
            call.arg(id.as_str());
            self.link()
                .await?
                .run::<Option<DeliveryRow>>(&self.scripts.show, &call)
                .await
        });
        match found.await?.into_iter().flatten().next() {
            Some(row) => Ok(Some(rows::delivery(row)?.1)),
            None => Ok(None),
        }
    }

    async fn forget_dead(&self, id: &DeliveryId) -> Result<bool, Failure> {
        let forgotten = self.on_all_shards(|shard| self.forget_dead_in(shard, id));
        Ok(forgotten.await?.contains(&true))
    }

    async fn deliveries(&self, filter: &Filter, limit: usize) -> Result<Vec<Delivery>, Failure> {
        let mut newest = self
            .on_all_shards(|shard| self.newest_of(shard, filter, limit))
            .await?
            .concat();
        if !self.shards.is_one() {
            newest.sort_by_key(|(placed, _)| std::cmp::Reverse(*placed));
        }
        newest.truncate(limit);
        Ok(newest.into_iter().map(|(_, delivery)| delivery).collect())
    }

    async fn body(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, Failure> {
        let found = self.on_all_shards(|shard| async move {
            let key = shard.key(format_args!("body:{id}"));
            self.link()
                .await?
                .ask::<Option<Vec<u8>>>(redis::cmd("GET").arg(key))
                .await
        });
        let Some(packed) = found.await?.into_iter().flatten().next() else {
            return Ok(None);
        };
        match body::unpack(&packed) {
            Some(body) => Ok(Some(body)),
            None => Err(Failure::Permanent(format!(
                "the body of delivery {id} is damaged in Redis"
            ))),
        }
    }

    async fn depth(&self) -> Result<Depth, Failure> {
        let mut sum = Depth::default();
        for depth in self.on_all_shards(|shard| self.shard_depth(shard)).await? {
            sum.ready += depth.unfinished.saturating_sub(depth.leased + depth.delayed);
            sum.delayed += depth.delayed;
            sum.leased += depth.leased;
            sum.dead += depth.dead;
            sum.body_bytes += depth.body_bytes;
            let oldest = depth.oldest.as_deref().map(rows::moment).transpose()?;
            sum.oldest = sum.oldest.into_iter().chain(oldest).min();
        }
        Ok(sum)
    }
}

impl RedisStore {
    /// Returns the shards that know a GUID, with the state in each.
    async fn known_in(
        &self,
        id: &DeliveryId,
        shards: impl Iterator<Item = Shard>,
    ) -> Result<Vec<(Shard, String)>, Failure> {
        let known = shards.map(|shard| async move {
            let key = shard.key(format_args!("delivery:{id}"));
            let mut read = redis::cmd("HGET");
            read.arg(key).arg("state");
            let state: Option<String> = self.link().await?.ask(&read).await?;
            Ok::<_, Failure>(state.map(|state| (shard, state)))
        });
        Ok(try_join_all(known).await?.into_iter().flatten().collect())
    }

    async fn forget_dead_in(&self, shard: Shard, id: &DeliveryId) -> Result<bool, Failure> {
        let mut call = self.scripts.forget_dead.on(&[shard.queue()]);
        call.arg(id.as_str());
        self.link().await?.run(&self.scripts.forget_dead, &call).await
    }

    /// Returns the shards with a due delivery, in rotating order.
    async fn shards_to_claim_from(&self) -> Result<Vec<Shard>, Failure> {
        if self.shards.is_one() {
            return Ok(self.shards.all().collect());
        }
        let due = self
            .on_all_shards(|shard| async move { Ok((shard, self.due_in(shard).await?)) })
            .await?;
        let mut shards: Vec<Shard> = due
            .into_iter()
            .filter(|(_, due)| due.is_some_and(|due| due.is_zero()))
            .map(|(shard, _)| shard)
            .collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn % shards.len().max(1);
        shards.rotate_left(first);
        Ok(shards)
    }

    /// Returns leases, and whether there may be more although `limit` was not reached.
    async fn claim_from(
        &self,
        shard: Shard,
        consumer: &str,
        limit: usize,
        lease_for: Duration,
    ) -> Result<(bool, Vec<Lease>), Failure> {
        let mut call = self.scripts.claim.on(&[shard.queue()]);
        call.arg(consumer)
            .arg(limit)
            .arg(millis(lease_for))
            .arg(MAX_CLAIM_BYTES);
        let (stopped_early, claimed): (bool, Vec<LeaseRow>) =
            self.link().await?.run(&self.scripts.claim, &call).await?;
        let lease = |row| {
            let lease = rows::lease(row)?;
            let token = shard.mark(&lease.token);
            Ok(Lease { token, ..lease })
        };
        Ok((stopped_early, claimed.into_iter().map(lease).collect::<Result<_, _>>()?))
    }

    async fn settle(&self, lease: &Lease, outcome: &str, time: Duration, cause: Option<&str>) -> Result<(), Failure> {
        let Some((shard, token)) = self.shards.marked(&lease.token) else {
            return Ok(());
        };
        let mut call = self.scripts.settle.on(&[shard.queue()]);
        call.arg(lease.id.as_str())
            .arg(token)
            .arg(outcome)
            .arg(millis(time))
            .arg(cause);
        self.link().await?.run(&self.scripts.settle, &call).await
    }

    /// Returns the time until a delivery can be claimed from a shard; none if no delivery waits for a time.
    async fn due_in(&self, shard: Shard) -> Result<Option<Duration>, Failure> {
        let call = self.scripts.due.on(&[shard.queue()]);
        let millis: Option<u64> = self.link().await?.run(&self.scripts.due, &call).await?;
        Ok(millis.map(Duration::from_millis))
    }

    async fn newest_of(&self, shard: Shard, filter: &Filter, limit: usize) -> Result<Vec<(i64, Delivery)>, Failure> {
        let index = index_for(filter);
        let mut newest = Vec::new();
        let mut begin = Some("+inf".to_owned());
        while let Some(before) = begin
            && newest.len() < limit
        {
            let mut call = self.scripts.list.on(&[shard.queue()]);
            call.arg(&index).arg(before).arg(PAGE_SIZE);
            let page: (Option<String>, Vec<DeliveryRow>) = self.link().await?.run(&self.scripts.list, &call).await?;
            begin = page.0;
            for row in page.1 {
                let found = rows::delivery(row)?;
                if filter.matches(&found.1) {
                    newest.push(found);
                }
            }
        }
        Ok(newest)
    }

    /// Returns the sum of the loads of all other shards.
    async fn load_elsewhere(&self, shard: Shard) -> Result<Load, Failure> {
        if self.shards.is_one() {
            return Ok(Load::default());
        }
        let loads = match self.usage.recent() {
            Some(loads) => loads,
            None => {
                let load = |shard| async move { Ok((shard, Load::of(&self.shard_depth(shard).await?))) };
                let loads = self.on_all_shards(load).await?;
                self.usage.store(&loads);
                loads
            }
        };
        Ok(usage::load_elsewhere(shard, &loads))
    }

    async fn shard_depth(&self, shard: Shard) -> Result<ShardDepth, Failure> {
        let call = self.scripts.depth.on(&[shard.queue()]);
        self.link().await?.run(&self.scripts.depth, &call).await
    }
}

/// Returns the smallest sorted set that contains all matches of the filter.
fn index_for(filter: &Filter) -> String {
    let is_unfinished = |state: &DeliveryState| matches!(state, DeliveryState::Queued | DeliveryState::Leased);
    match (filter.states.as_slice(), filter.job) {
        ([DeliveryState::Dead], _) => "dead".to_owned(),
        (states @ [_, ..], Some(job)) if states.iter().all(is_unfinished) => format!("job:{job}"),
        _ => "arrived".to_owned(),
    }
}
