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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    /// A runner program of these files.
    fn runner(files: &[(&str, &Path)]) -> RunnerFiles {
        let entry = |from: &Path| Entry::File {
            from: from.to_owned(),
            mode: 0o755,
            bytes: 1,
        };
        RunnerFiles {
            entries: files
                .iter()
                .map(|(path, from)| ((*path).to_owned(), entry(from)))
                .collect(),
            release: None,
            digest: String::new(),
        }
    }

    #[test]
    fn a_library_of_the_root_or_of_the_runner_itself_is_not_missing() {
        let own = PathBuf::from("/proc/self/exe");
        let place = tempfile::tempdir().expect("a directory");
        let script = place.path().join("script");
        fs::write(&script, "#!/bin/sh\n").expect("a file");
        let needed = BTreeSet::from_iter(needed_by(&fs::read(&own).expect("this program")));
        let files = [("run.sh", script.as_path()), ("bin/Runner.Listener", &own)];
        let found = missing(&runner(&files), &BTreeSet::new()).expect("looked");
        assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), needed);
        assert_eq!(found["libc.so.6"], "bin/Runner.Listener");
        assert_eq!(missing(&runner(&files), &needed).expect("looked"), BTreeMap::new());
        let own_library = [files[1], ("bin/libc.so.6", &script)];
        let found = missing(&runner(&own_library), &BTreeSet::new()).expect("looked");
        assert!(!found.contains_key("libc.so.6"), "{found:?}");
        let alpine = [("externals/node20_alpine/bin/node", own.as_path())];
        assert_eq!(
            missing(&runner(&alpine), &BTreeSet::new()).expect("looked"),
            BTreeMap::new()
        );
    }
}
