//! Faults on demand: what goes wrong, at which endpoint, how many more times.

use super::world::{DeliveryFault, Fault};

/// The pseudo endpoint of faults that strike deliveries.
const DELIVERY: &str = "delivery";
const EVERY: &str = "*";

#[derive(Default)]
pub(super) struct Faults {
    /// In the order they were given; the first that fits strikes.
    pending: Vec<Fault>,
}

/// A fault names an endpoint the simulator does not have.
#[derive(Debug, thiserror::Error)]
#[error("no endpoint is called {name:?}; there are {known}, delivery and *")]
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

    /// What goes wrong with a call.
    pub(super) fn next_call(&mut self, endpoint: &str) -> Option<Fault> {
        self.strike(|fault| fault.endpoint == endpoint || fault.endpoint == EVERY)
    }

    /// What goes wrong with a delivery. One that is to overtake another waits until there is another.
    pub(super) fn next_delivery(&mut self, another_waits: bool) -> Option<DeliveryFault> {
        let fits = |fault: &Fault| {
            fault.endpoint == DELIVERY && (another_waits || fault.delivery != Some(DeliveryFault::Reorder))
        };
        self.strike(fits)?.delivery
    }

    fn strike(&mut self, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let at = self.pending.iter().position(fits)?;
        let fault = self.pending.get_mut(at)?;
        fault.times -= 1;
        let striking = fault.clone();
        if striking.times == 0 {
            self.pending.remove(at);
        }
        Some(striking)
    }
}
