//! The shared libraries that programs of the runner need and the root does not have.

use super::ImageError;
use super::runner_files::{Entry, RunnerFiles};
use super::shared_libraries::needed_by;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;

/// Programs for other systems, and traces that .NET leaves out without its library.
const OPTIONAL_PROGRAMS: &str = "_alpine/";
const OPTIONAL_LIBRARIES: &str = "liblttng-ust";

/// Returns the missing libraries, with one program that needs each. `there` has the names of the root's files.
pub(super) fn missing(runner: &RunnerFiles, there: &BTreeSet<String>) -> Result<BTreeMap<String, String>, ImageError> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let own: BTreeSet<String> = runner.entries.keys().map(|path| name(path)).collect();
    let mut missing = BTreeMap::new();
    for (path, entry) in &runner.entries {
        let Entry::File { from, .. } = entry else { continue };
        let mut mark = [0; 4];
        let mut file = File::open(from).map_err(ImageError::of(from))?;
        let is_program = file.read_exact(&mut mark).is_ok() && &mark == b"\x7fELF";
        if !is_program || path.contains(OPTIONAL_PROGRAMS) {
            continue;
        }
        let program = fs::read(from).map_err(ImageError::of(from))?;
        for library in needed_by(&program) {
            let is_there = there.contains(&library) || own.contains(&library);
            if !is_there && !library.starts_with(OPTIONAL_LIBRARIES) {
                missing.entry(library).or_insert_with(|| path.clone());
            }
        }
    }
    Ok(missing)
}
