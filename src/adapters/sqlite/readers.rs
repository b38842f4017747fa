//! Connections that only read. Each serves one read at a time.

use super::failure::OpenError;
use super::failure::failure;
use super::open::open_reader;
use crate::ports::Failure;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// The number of concurrent reads. More reads would only wait for the disk together.
const MAX_READERS: usize = 4;

pub(super) struct Readers {
    free: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let idle = (0..MAX_READERS).map(|_| open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self {
            free: Arc::new(Semaphore::new(MAX_READERS)),
            idle: Arc::new(Mutex::new(idle)),
        })
    }

    /// Runs a read on a blocking thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let gone = || Failure::Transient("the store is closing".to_owned());
        let permit = self.free.clone().acquire_owned().await.map_err(|_| gone())?;
        let idle = self.idle.clone();
        let result = tokio::task::spawn_blocking(move || {
            let lent = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let result = lent.as_ref().map(query);
            idle.lock().unwrap_or_else(PoisonError::into_inner).extend(lent);
            // The permit is released last, so that a cancelled caller does not take the connection with it.
            drop(permit);
            result
        });
        let result = result.await.ok().flatten().ok_or_else(gone)?;
        result.map_err(|error| failure(&error))
    }
}
