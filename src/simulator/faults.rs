//! Configured faults: their kind, their endpoint and their remaining number.

use super::world::{DeliveryFault, Fault};

/// The pseudo endpoint of faults that affect deliveries.
const DELIVERY: &str = "delivery";
const EVERY: &str = "*";

#[derive(Default)]
pub(super) struct Faults {
    /// The faults in the order in which they were set; the first that matches is used.
    pending: Vec<Fault>,
}

/// A fault for an unknown endpoint.
#[derive(Debug, thiserror::Error)]
#[error("unknown endpoint {name:?}; expected one of {known}, delivery, *")]
pub(super) struct UnknownEndpoint {
    name: String,
    known: String,
}

impl Faults {
    /// Adds faults; one with `times: 0` removes those of its endpoint. `names` are the names of all endpoints.
    pub(super) fn set(&mut self, faults: Vec<Fault>, mut names: Vec<&str>) -> Result<(), UnknownEndpoint> {
        for fault in &faults {
            let name = fault.endpoint.as_str();
            if name != EVERY && name != DELIVERY && !names.contains(&name) {
                names.dedup();
                return Err(UnknownEndpoint {
                    name: name.to_owned(),
                    known: names.join(", "),
                });
            }
        }
        for fault in faults {
            if fault.times == 0 {
                self.pending.retain(|known| known.endpoint != fault.endpoint);
            } else {
                self.pending.push(fault);
            }
        }
        Ok(())
    }

    /// Returns the fault of a call, if any.
    pub(super) fn next_call(&mut self, endpoint: &str) -> Option<Fault> {
        self.take(|fault| fault.endpoint == endpoint || fault.endpoint == EVERY)
    }

    /// Returns the fault of a delivery, if any. A reordering waits until another delivery waits.
    pub(super) fn next_delivery(&mut self, another_waits: bool) -> Option<DeliveryFault> {
        let fits = |fault: &Fault| {
            fault.endpoint == DELIVERY && (another_waits || fault.delivery != Some(DeliveryFault::Reorder))
        };
        self.take(fits)?.delivery
    }

    fn take(&mut self, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let is_due = |fault: &mut Fault| {
            fault.passed += 1;
            fault.passed >= fault.every
        };
        let at = self.pending.iter_mut().position(|fault| fits(fault) && is_due(fault))?;
        let fault = self.pending.get_mut(at)?;
        fault.passed = 0;
        fault.times -= 1;
        let taken = fault.clone();
        if taken.times == 0 {
            self.pending.remove(at);
        }
        Some(taken)
    }
}
