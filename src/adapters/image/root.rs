//! The root file system as an archive: Debian's packages by mmdebstrap, with the kernel and busybox beside them. It is kept
//! by a hash of its inputs, because it takes most of the time of a build.

use super::ImageError;
use super::tie::tied;
use crate::domain::image::Recipe;
use crate::ports::Tools;
use crate::ports::tools::{AttendedEnd, AttendedTools, ToolCall};
use futures::future::BoxFuture;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Completes the root inside mmdebstrap.
pub(super) const CUSTOMIZE: &str = include_str!("customize.sh");
/// The folder of the root with the kernel and busybox, which do not get into the image.
pub(super) const BOOT_FOLDER: &str = "usr/lib/jitgate-boot";
/// Time in which all packages are downloaded and configured.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// Files that no job needs.
const EXCLUDED: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];

/// Returns the call that writes the root to `target`. As root its files are made in `folder`, otherwise in `/tmp`, which a
/// user namespace can enter.
pub(super) fn call(recipe: &Recipe, is_root: bool, folder: &Path, target: &Path) -> ToolCall {
    let mode = if is_root { "root" } else { "unshare" };
    let docker = if recipe.docker { "yes" } else { "no" };
    let call = ToolCall::new("mmdebstrap", TIMEOUT)
        .args(["--quiet", "--variant=minbase", "--format=tar"])
        .arg(format!("--mode={mode}"))
        .arg(format!("--include={}", recipe.packages().join(",")))
        .args(EXCLUDED.map(|path| format!("--dpkgopt=path-exclude={path}")))
        .arg(format!("--customize-hook=docker={docker}\n{}", CUSTOMIZE.trim_end()))
        .arg(recipe.suite.as_str())
        .arg(target)
        .args(&recipe.mirrors)
        .variable("SOURCE_DATE_EPOCH", recipe.source_date_epoch.to_string());
    if is_root { call.variable("TMPDIR", folder) } else { call }
}

/// Makes the root in `folder` and moves it to `target`.
pub(super) async fn make<T: Tools + AttendedTools>(
    tools: &T,
    recipe: &Recipe,
    is_root: bool,
    folder: &Path,
    target: &Path,
    stop: BoxFuture<'static, ()>,
) -> Result<(), ImageError> {
    let draft = folder.join("debian.tar");
    let files = folder.join("debian");
    fs::create_dir(&files).map_err(ImageError::of(&files))?;
    let call = tied(tools, call(recipe, is_root, &files, &draft), is_root).await;
    match tools.attend(&call, stop).await? {
        AttendedEnd::Ended(Some(0)) => {}
        AttendedEnd::Stopped => return Err(ImageError::Interrupted),
        end => {
            let why = match end {
                AttendedEnd::Ended(Some(code)) => format!("it ended with exit code {code}"),
                AttendedEnd::TimedOut => format!("it did not end within {} s", TIMEOUT.as_secs()),
                _ => "a signal ended it".to_owned(),
            };
            let program = "mmdebstrap";
            return Err(ImageError::Failed { program, why });
        }
    }
    if let Some(cache) = target.parent() {
        fs::create_dir_all(cache).map_err(ImageError::of(cache))?;
    }
    fs::rename(&draft, target).map_err(ImageError::of(target))
}
