//! The port to the folder of a runner program.

use crate::domain::base_runner::installation::Installation;
use std::io;
use std::path::{Path, PathBuf};

/// The lock of a folder. It ends with the value.
pub trait HomeLock: Send {}

/// Reads and changes the files of a runner program.
pub trait RunnerHomes: Send + Sync + 'static {
    /// Returns the state of the folder.
    ///
    /// # Errors
    /// If the folder cannot be read.
    fn look(&self, home: &Path) -> io::Result<Installation>;

    /// Returns the programs among `names` that are missing or not executable.
    fn missing(&self, home: &Path, names: &[&str]) -> Vec<PathBuf>;

    /// Returns the native libraries of the program, in its subfolder `bin`.
    fn libraries(&self, home: &Path) -> Vec<PathBuf>;

    /// Removes the files of a registration. Files that do not exist are no error.
    ///
    /// # Errors
    /// If a file cannot be removed.
    fn remove_registration(&self, home: &Path) -> io::Result<()>;

    /// Removes the files of a registration like [`RunnerHomes::remove_registration`], but keeps its settings for a new one: the
    /// installation is [`Registration::Interrupted`](crate::domain::base_runner::installation::Registration) until then.
    ///
    /// # Errors
    /// If a file cannot be moved or removed.
    fn set_registration_aside(&self, home: &Path) -> io::Result<()>;

    /// Returns the path of a work folder, and whether it contains something.
    ///
    /// # Errors
    /// If the path leaves the folder or leads through a link, or if it cannot be read.
    fn work_folder(&self, home: &Path, name: &str) -> io::Result<(PathBuf, bool)>;

    /// Removes a file. A file that does not exist is no error.
    ///
    /// # Errors
    /// If the file cannot be removed.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and everything in it, without following links.
    ///
    /// # Errors
    /// If something cannot be removed.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;

    /// Locks the folder, so that only one job runs in it. Returns none if another process holds the lock.
    ///
    /// # Errors
    /// If the folder cannot be opened.
    fn lock(&self, home: &Path) -> io::Result<Option<Box<dyn HomeLock>>>;
}
