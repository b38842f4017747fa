//! The files of the runner program that an operator names: an archive of actions/runner, or a folder with its content.

use super::ImageError;
use super::digest::of_file;
use crate::domain::runner_folder;
use crate::domain::runner_release::Release;
use crate::ports::Tools;
use crate::ports::tools::ToolCall;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time in which an archive is unpacked.
const UNPACK_TIMEOUT: Duration = Duration::from_secs(600);
/// The program that starts the runner.
const PROGRAM: &str = "run.sh";
/// The file that names the release.
const DEPENDENCIES: &str = "bin/Runner.Listener.deps.json";
const LISTENER: &str = "Runner.Listener/";
/// A file, a folder or a link of the runner program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    File { from: PathBuf, mode: u32, bytes: u64 },
    Link { target: String },
}

/// The runner program.
#[derive(Debug)]
pub(super) struct RunnerFiles {
    /// By their paths in the folder of the runner program.
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) release: Option<Release>,
    /// A hash of paths, modes and content.
    pub(super) digest: String,
}

/// Reads the runner program. An archive is unpacked to `unpacked`.
pub(super) async fn read(
    tools: &dyn Tools,
    path: &Path,
    sha256: Option<&str>,
    unpacked: &Path,
) -> Result<RunnerFiles, ImageError> {
    let about = fs::metadata(path).map_err(ImageError::of(path))?;
    if let Some(expected) = sha256 {
        let found = of_file(path)?;
        if found != expected {
            return Err(ImageError::Digest {
                path: path.to_owned(),
                expected: expected.to_owned(),
                found,
            });
        }
    }
    if about.is_dir() {
        return from_folder(path, None);
    }
    fs::create_dir(unpacked).map_err(ImageError::of(unpacked))?;
    let call = ToolCall::new("tar", UNPACK_TIMEOUT)
        .args(["--extract", "--no-same-owner", "--file"])
        .arg(path)
        .arg("--directory")
        .arg(unpacked);
    let output = tools.run(&call).await?;
    if !output.is_success() {
        return Err(ImageError::Failed {
            program: "tar",
            why: output.last_line().unwrap_or("no reason given").to_owned(),
        });
    }
    from_folder(unpacked, Some(path))
}

fn from_folder(folder: &Path, archive: Option<&Path>) -> Result<RunnerFiles, ImageError> {
    let folder = folder.canonicalize().map_err(ImageError::of(folder))?;
    if !folder.join(PROGRAM).is_file() {
        return Err(ImageError::NoRunner {
            path: archive.unwrap_or(&folder).to_owned(),
            missing: PROGRAM,
        });
    }
    let mut entries = BTreeMap::new();
    walk(&folder, &folder, "", &mut entries)?;
    let mut hash = Sha256::new();
    for (path, entry) in &entries {
        let line = match entry {
            Entry::Folder => "folder".to_owned(),
            Entry::File { from, mode, .. } => format!("{mode:o} {}", of_file(from)?),
            Entry::Link { target } => format!("link {target}"),
        };
        hash.update(format!("{path}\0{line}\0"));
    }
    let named = archive.and_then(|path| Release::of_archive(path.file_name()?.to_str()?));
    Ok(RunnerFiles {
        release: release(&folder).or(named),
        entries,
        digest: hex::encode(hash.finalize()),
    })
}

fn walk(top: &Path, folder: &Path, inside: &str, entries: &mut BTreeMap<String, Entry>) -> Result<(), ImageError> {
    let failed = ImageError::of(folder);
    for entry in fs::read_dir(folder).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_top = inside.is_empty();
        if is_top && runner_folder::is_excluded(&name) {
            continue;
        }
        let mut from = entry.path();
        if is_top
            && runner_folder::is_replaced_by_updates(&name)
            && let Ok(real) = from.canonicalize()
            && real.starts_with(top)
        {
            from = real;
        }
        let about = fs::symlink_metadata(&from).map_err(ImageError::of(&from))?;
        let path = if inside.is_empty() {
            name
        } else {
            format!("{inside}/{name}")
        };
        if about.is_dir() {
            walk(top, &from, &path, entries)?;
        }
        entries.insert(path, look(&from, &about)?);
    }
    Ok(())
}

fn look(from: &Path, about: &Metadata) -> Result<Entry, ImageError> {
    if about.is_dir() {
        return Ok(Entry::Folder);
    }
    if about.is_file() {
        let executable = if about.permissions().mode() & 0o100 == 0 {
            0o644
        } else {
            0o755
        };
        return Ok(Entry::File {
            from: from.to_owned(),
            mode: executable,
            bytes: about.len(),
        });
    }
    // A pipe or a device is not a link either, and is an error.
    let target = fs::read_link(from).map_err(ImageError::of(from))?;
    Ok(Entry::Link {
        target: target.to_string_lossy().into_owned(),
    })
}

/// Reads the release from the list of the program's parts.
fn release(folder: &Path) -> Option<Release> {
    let list: Value = serde_json::from_slice(&fs::read(folder.join(DEPENDENCIES)).ok()?).ok()?;
    let parts = list.get("libraries")?.as_object()?;
    parts
        .keys()
        .find_map(|part| Release::parse(part.strip_prefix(LISTENER)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_is_read_without_its_registration_and_with_what_links_lead_to() {
        let place = tempfile::tempdir().expect("a directory");
        let home = place.path().join("runner");
        fs::create_dir_all(home.join("bin.2.330.0")).expect("a folder");
        fs::create_dir_all(home.join("_work/job")).expect("a folder");
        fs::write(home.join(".credentials"), "secret").expect("a file");
        fs::write(home.join("bin.2.330.0/.runner"), "kept").expect("a file");
        let list = r#"{"libraries":{"Other/1.2.3":{},"Runner.Listener/2.330.0":{}}}"#;
        fs::write(home.join("bin.2.330.0/Runner.Listener.deps.json"), list).expect("a file");
        symlink("bin.2.330.0", home.join("bin")).expect("a link");
        symlink("run.sh", home.join("start")).expect("a link");
        let read = || from_folder(&home, None);
        assert!(matches!(read(), Err(ImageError::NoRunner { missing: "run.sh", .. })));
        fs::write(home.join("run.sh"), "#!/bin/sh\n").expect("a file");
        let runner = read().expect("a runner");
        assert_eq!(runner.release, Release::parse("2.330.0"));
        let paths: Vec<&str> = runner.entries.keys().map(String::as_str).collect();
        let expected = [
            "bin",
            "bin.2.330.0",
            "bin.2.330.0/.runner",
            "bin.2.330.0/Runner.Listener.deps.json",
            "bin/.runner",
            "bin/Runner.Listener.deps.json",
            "run.sh",
            "start",
        ];
        assert_eq!(paths, expected);
        assert_eq!(runner.entries["bin"], Entry::Folder);
        let target = "run.sh".to_owned();
        assert_eq!(runner.entries["start"], Entry::Link { target });
        assert_eq!(read().expect("a runner").digest, runner.digest);
        fs::set_permissions(home.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("a mode");
        assert_ne!(read().expect("a runner").digest, runner.digest);
    }

    #[test]
    fn a_link_that_leaves_the_folder_stays_a_link_and_a_device_is_an_error() {
        let place = tempfile::tempdir().expect("a directory");
        let home = place.path().join("runner");
        fs::create_dir_all(place.path().join("outside/secret")).expect("a folder");
        fs::create_dir(&home).expect("a folder");
        fs::write(home.join("run.sh"), "#!/bin/sh\n").expect("a file");
        symlink("../outside", home.join("bin")).expect("a link");
        let runner = from_folder(&home, Some(Path::new("actions-runner-linux-x64-2.340.0.tar.gz"))).expect("a runner");
        assert_eq!(runner.entries.keys().collect::<Vec<_>>(), ["bin", "run.sh"]);
        let target = "../outside".to_owned();
        assert_eq!(runner.entries["bin"], Entry::Link { target });
        assert_eq!(
            runner.release,
            Release::parse("2.340.0"),
            "the name of the archive has it"
        );
        let _socket = std::os::unix::net::UnixListener::bind(home.join("socket")).expect("a socket");
        from_folder(&home, None).expect_err("no image has a socket");
    }
}
