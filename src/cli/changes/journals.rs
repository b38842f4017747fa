//! The places of the records: the store, and the file of a machine without a store.

use crate::adapters::change_file::ChangeFile;
use crate::adapters::sqlite::OpenError;
use crate::app::change_ledger::ChangeLedger;
use crate::cli::exit::Failure;
use crate::cli::session::Session;
use crate::config::{Config, Loaded, Origin};
use crate::runtime::{self, WiringError};
use std::path::Path;
use std::sync::Arc;

/// Opens the journal in the store; none if there is no store that a command can use.
///
/// # Errors
/// If the store exists and cannot be opened.
pub(super) fn of_store(config: &Config, session: &Session) -> Result<Option<ChangeLedger>, Failure> {
    match runtime::open_store_beside(config, Arc::clone(&session.clock)) {
        Ok(store) => Ok(Some(ChangeLedger::new(store.ledger, config.store.retention))),
        Err(WiringError::InsideServe | WiringError::Sqlite(OpenError::Missing { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the journal in the state directory.
pub(super) fn of_file(config: &Config) -> ChangeFile {
    ChangeFile::new(&config.server.state_dir)
}

/// Prepares the state directory for the file. A directory that the configuration does not name is not created, because it
/// would be in any working directory. Root does not create one either, because the account of the service could not use it.
///
/// # Errors
/// The reason why the file cannot be there.
pub(super) fn prepare(loaded: &Loaded) -> Result<ChangeFile, String> {
    let folder: &Path = &loaded.config.server.state_dir;
    if !folder.is_dir() {
        let setting = loaded.settings.get("server.state_dir");
        let is_named = setting.is_some_and(|it| !matches!(it.origin, None | Some(Origin::Default)));
        if !is_named || runtime::is_root() {
            return Err(format!("the state directory {} does not exist", folder.display()));
        }
        runtime::prepare_state_dir(folder).map_err(|error| error.to_string())?;
    }
    Ok(of_file(&loaded.config))
}
