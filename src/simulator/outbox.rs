//! The deliveries that the simulated GitHub sends about jobs, with counted GUIDs.
//!
//! They wait here until a client takes and posts them. Every delivery is recorded, lost ones too, for `GET
//! /app/hook/deliveries` and for redelivery.

use super::world::DeliveryFault;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;

pub(super) struct Outbox {
    waiting: Vec<Sent>,
    /// All sent deliveries, the oldest first.
    pub(super) record: Vec<Recorded>,
    /// True if deliveries arrive.
    pub(super) delivers: bool,
    guids: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            record: Vec::new(),
            delivers: true,
            guids: 0,
        }
    }
}

/// A delivery that waits to be taken.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sent {
    guid: String,
    event: String,
    payload: Value,
}

/// A delivery as GitHub records it.
pub(super) struct Recorded {
    pub(super) id: u64,
    pub(super) at: DateTime<Utc>,
    pub(super) redelivery: bool,
    pub(super) arrived: bool,
    pub(super) guid: String,
    pub(super) event: String,
    pub(super) payload: Value,
}

impl Outbox {
    /// Returns an empty outbox whose GUIDs continue from here.
    pub(super) fn emptied(&self) -> Self {
        Self {
            guids: self.guids,
            ..Self::default()
        }
    }

    /// Takes all waiting deliveries.
    pub(super) fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.waiting)
    }

    /// Returns true if a delivery waits that another one could overtake.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn new_guid(&mut self) -> String {
        self.guids += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.guids)
    }

    fn send(&mut self, guid: String, event: &str, payload: Value, at: DateTime<Utc>, redelivery: bool, arrives: bool) {
        self.record.push(Recorded {
            id: 1_000_001 + self.record.len() as u64,
            at,
            redelivery,
            arrived: arrives,
            guid: guid.clone(),
            event: event.to_owned(),
            payload: payload.clone(),
        });
        if arrives {
            self.waiting.push(Sent {
                guid,
                event: event.to_owned(),
                payload,
            });
        }
    }

    /// Sends a delivery again with its old GUID. Returns none if it does not exist.
    pub(super) fn redeliver(&mut self, id: u64, now: DateTime<Utc>) -> Option<()> {
        let old = self.record.iter().find(|sent| sent.id == id)?;
        let (guid, event, payload) = (old.guid.clone(), old.event.clone(), old.payload.clone());
        self.send(guid, &event, payload, now, true, self.delivers);
        Some(())
    }

    /// Sends a `workflow_job` delivery, and applies the fault to it.
    pub(super) fn announce(&mut self, payload: Value, now: DateTime<Utc>, fault: Option<DeliveryFault>) {
        let guid = self.new_guid();
        let arrives = self.delivers && fault != Some(DeliveryFault::Drop);
        self.send(guid.clone(), "workflow_job", payload.clone(), now, false, arrives);
        match fault {
            Some(DeliveryFault::Duplicate) => self.send(guid, "workflow_job", payload, now, true, arrives),
            Some(DeliveryFault::Repeat) => {
                let guid = self.new_guid();
                self.send(guid, "workflow_job", payload, now, false, arrives);
            }
            Some(DeliveryFault::Reorder) => {
                let last = self.waiting.len();
                if last >= 2 {
                    self.waiting.swap(last - 1, last - 2);
                }
            }
            Some(DeliveryFault::Drop) | None => {}
        }
    }
}

/// Returns the `X-Hub-Signature-256` header of a body.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    // HMAC accepts a key of any length.
    let digest = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(body);
        mac.finalize().into_bytes()
    });
    format!("sha256={}", digest.map(hex::encode).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_equal_githubs() {
        assert_eq!(
            sign("It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
