//! The durability of a store: the settings that decide which data is lost on a fault.

use super::Failure;
use crate::domain::finding::{Finding, Subject};
use async_trait::async_trait;
use serde::Serialize;

/// A setting that decides what is lost on a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// The place of the setting: a server, a file, or this process.
    pub place: String,
    pub setting: &'static str,
    /// The value; none if it is not known.
    pub value: Option<String>,
    /// The weakness of the value; none if no data can be lost by it.
    pub weakness: Option<Weakness>,
}

impl Promise {
    /// Returns the finding about this setting.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let value = self.value.as_deref().unwrap_or("unknown");
        let setting = format!("{} = {value} ({})", self.setting, self.place);
        match self.weakness {
            None => Finding::ok(Subject::Store, format!("{setting} loses nothing")),
            Some(Weakness { can_lose, remedy }) => {
                Finding::warning(Subject::Store, format!("{setting} can lose {can_lose}"), remedy)
            }
        }
    }
}

/// The weakness of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Weakness {
    /// The data that can be lost, and the event that loses it.
    pub can_lose: &'static str,
    /// The recommended setting or action.
    pub remedy: &'static str,
}

/// A store that describes its durability.
#[async_trait]
pub trait Durability: Send + Sync + 'static {
    /// Returns the current value of every setting that affects durability.
    async fn promises(&self) -> Result<Vec<Promise>, Failure>;

    /// Returns the place of a store that also accepts connections without a password although jitgate uses one;
    /// otherwise none.
    async fn open_place(&self) -> Result<Option<String>, Failure>;

    /// Performs every operation of a serving process once, on data of its own, and removes the data. It fails where a
    /// serving process would fail.
    async fn try_out(&self) -> Result<(), Failure>;
}
