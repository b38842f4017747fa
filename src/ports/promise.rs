//! What a store promises, told honestly: the settings that decide what is lost when something fails.

use super::Failure;
use crate::domain::finding::{Finding, Subject};
use async_trait::async_trait;
use serde::Serialize;

/// A setting that decides what is lost when something fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// Where it is set: a server, a file, or this process.
    pub place: String,
    /// The setting's name.
    pub setting: &'static str,
    /// Its value; none if we are not told.
    pub value: Option<String>,
    /// What is wrong with it; none if nothing is lost by it.
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

/// What a setting can lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Weakness {
    /// What is lost, and when.
    pub can_lose: &'static str,
    /// What to set, or to do, instead.
    pub remedy: &'static str,
}

/// A store that says what it promises.
#[async_trait]
pub trait Durability: Send + Sync + 'static {
    /// Every setting that matters, as it is now.
    async fn promises(&self) -> Result<Vec<Promise>, Failure>;

    /// Where the store lets in whoever reaches it, though we come with a password; none where it does not.
    async fn open_place(&self) -> Result<Option<String>, Failure>;

    /// Does once whatever serving does, on what is nobody's, and leaves nothing behind. Fails where a gate would.
    async fn try_out(&self) -> Result<(), Failure>;
}
