//! Builds an image, step by step. Every step works in a draft folder, and the last one gives it its name.

use super::assembly::{Assembled, GuestScripts, Parts, SERVICES, assemble};
use super::digest::of_file;
use super::initrd::INIT;
use super::root::{self, CUSTOMIZE};
use super::runner_files::{self, RunnerFiles};
use super::shared_libraries::symbols_of;
use super::{ImageError, Images, StoredImage};
use crate::domain::image::{CLibrary, FORMAT, ImageFile, Manifest, Package, Recipe, needed_by, part};
use crate::ports::Tools;
use crate::ports::tools::{AttendedTools, ToolCall, ToolError};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time in which the root file system is packed.
const PACK_TIMEOUT: Duration = Duration::from_secs(1800);
/// Time in which a small program answers.
const SHORT_TIMEOUT: Duration = Duration::from_secs(10);

/// The image that an operator wants.
#[derive(Debug, Clone)]
pub struct Request {
    pub recipe: Recipe,
    /// An archive of actions/runner, or a folder with its content.
    pub runner: PathBuf,
    /// The expected sha256 of the archive, in lowercase hexadecimal digits.
    pub runner_sha256: Option<String>,
    /// The file of jitgate that becomes the agent.
    pub program: PathBuf,
    pub scripts: GuestScripts,
    /// True if a root file system of an earlier build may be used.
    pub use_cache: bool,
}

/// An image that was built.
#[derive(Debug)]
pub struct Built {
    pub image: StoredImage,
    /// True if the root file system is that of an earlier build.
    pub is_cached: bool,
    /// The file of the root file system in the cache.
    pub root: PathBuf,
}

/// The plan of a build.
#[derive(Debug)]
pub struct Plan {
    /// The file of the root file system in the cache.
    pub root: PathBuf,
    /// True if that file exists and would be used.
    pub is_cached: bool,
    /// The command line that makes it.
    pub command: String,
    pub packages: Vec<String>,
}

/// Returns the plan of a build, which a dry run shows.
///
/// # Errors
/// If the recipe cannot be followed, or the runner program does not exist.
pub fn plan(request: &Request, images: &Images) -> Result<Plan, ImageError> {
    request.recipe.validate()?;
    fs::metadata(&request.runner).map_err(ImageError::of(&request.runner))?;
    let root = images.cached(&request.recipe.digest(CUSTOMIZE));
    let call = root::call(&request.recipe, geteuid().is_root(), images.path(), &root);
    let words = call.in_words();
    // The script at its end has many lines.
    let command = words.lines().next().unwrap_or_default().to_owned();
    Ok(Plan {
        is_cached: request.use_cache && root.exists(),
        root,
        command: format!("{command} ..."),
        packages: request.recipe.packages().into_iter().map(str::to_owned).collect(),
    })
}

/// Builds an image and makes it the current one. `step` is called with the name of each step at its beginning. When `stop`
/// completes, the build ends.
///
/// # Errors
/// If the image cannot be built. Nothing that counts as an image is left then.
pub async fn build<T: Tools + AttendedTools>(
    request: &Request,
    images: &Images,
    tools: &T,
    step: &mut dyn FnMut(&str),
    stop: BoxFuture<'static, ()>,
) -> Result<Built, ImageError> {
    // Everything that can be refused is refused before the folder is made.
    plan(request, images)?;
    let stop = stop.shared();
    let lock = images.lock()?;
    // mmdebstrap works in another folder.
    let absolute = images.path().canonicalize().map_err(ImageError::of(images.path()))?;
    let images = &Images::at(absolute);
    let plan = self::plan(request, images)?;
    let draft = images.draft(&lock)?;
    let built = in_draft(request, images, tools, step, (stop, &plan, &draft)).await;
    // The next build removes what stays here.
    fs::remove_dir_all(&draft).ok();
    Ok(Built {
        image: built?,
        is_cached: plan.is_cached,
        root: plan.root,
    })
}

type Stop = Shared<BoxFuture<'static, ()>>;

async fn in_draft<T: Tools + AttendedTools>(
    request: &Request,
    images: &Images,
    tools: &T,
    step: &mut dyn FnMut(&str),
    (stop, plan, draft): (Stop, &Plan, &Path),
) -> Result<StoredImage, ImageError> {
    let goes_on = || match stop.clone().now_or_never() {
        Some(()) => Err(ImageError::Interrupted),
        None => Ok(()),
    };
    check_machine(tools, plan.is_cached).await?;
    step("runner program");
    let (runner, sha256) = (&request.runner, request.runner_sha256.as_deref());
    let runner = runner_files::read(tools, runner, sha256, &draft.join("runner")).await?;
    let program = fs::read(&request.program).map_err(ImageError::of(&request.program))?;
    if !plan.is_cached {
        step("root file system");
        let is_root = geteuid().is_root();
        let stop = stop.clone().boxed();
        root::make(tools, &request.recipe, is_root, draft, &plan.root, stop).await?;
    }
    goes_on()?;
    step("kernel and initial RAM disk");
    let files = draft.join("image");
    fs::create_dir(&files).map_err(ImageError::of(&files))?;
    let archive = draft.join("root.tar");
    let parts = Parts {
        recipe: &request.recipe,
        root: &plan.root,
        runner: &runner,
        program: &request.program,
        scripts: &request.scripts,
    };
    let assembled = assemble(&parts, &archive, &files)?;
    check_c_library(&program, &assembled.packages, &request.recipe)?;
    goes_on()?;
    step("packing");
    pack(tools, &request.recipe, &archive, &files.join(part::ROOT)).await?;
    goes_on()?;
    step("manifest");
    images.publish(&files, &manifest(request, &runner, &program, assembled, &files)?)
}

/// Checks that all programs are there before anything takes time.
async fn check_machine(tools: &dyn Tools, is_cached: bool) -> Result<(), ImageError> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(ImageError::Architecture(std::env::consts::ARCH));
    }
    let mut programs = vec![("sqfstar", "-version")];
    if !is_cached {
        programs.push(("mmdebstrap", "--version"));
    }
    if !is_cached && !geteuid().is_root() {
        programs.push(("newuidmap", "--help"));
    }
    for (program, argument) in programs {
        // Their answers do not matter.
        tools.run(&ToolCall::new(program, SHORT_TIMEOUT).arg(argument)).await?;
    }
    Ok(())
}

fn check_c_library(program: &[u8], packages: &[Package], recipe: &Recipe) -> Result<(), ImageError> {
    let package = packages.iter().find(|package| package.name == "libc6");
    let there = package.and_then(|package| CLibrary::of_package(&package.version));
    match (needed_by(symbols_of(program)), there) {
        (Some(needed), Some(there)) if needed > there => Err(ImageError::OldCLibrary {
            needed,
            there,
            suite: recipe.suite.as_str(),
        }),
        _ => Ok(()),
    }
}

async fn pack(tools: &dyn Tools, recipe: &Recipe, archive: &Path, to: &Path) -> Result<(), ImageError> {
    // The owner of the root is the account of sqfstar, whatever its options say: so it has to be root, if only of a namespace.
    let call = match geteuid().is_root() {
        true => ToolCall::new("sqfstar", PACK_TIMEOUT),
        false => ToolCall::new("unshare", PACK_TIMEOUT).args(["--user", "--map-root-user", "--", "sqfstar"]),
    };
    let call = call
        .args([
            "-comp",
            "lz4",
            "-quiet",
            "-no-progress",
            "-root-mode",
            "755",
            "-root-uid",
            "0",
            "-root-gid",
            "0",
        ])
        .arg(to)
        .variable("SOURCE_DATE_EPOCH", recipe.source_date_epoch.to_string())
        .reading(archive);
    match tools.run(&call).await {
        Ok(output) if output.is_success() => Ok(()),
        Ok(output) => Err(ImageError::Failed {
            program: "sqfstar",
            why: output.last_line().unwrap_or("no reason given").to_owned(),
        }),
        Err(error @ ToolError::TimedOut { .. }) => Err(ImageError::Failed {
            program: "sqfstar",
            why: error.to_string(),
        }),
        Err(error) => Err(error.into()),
    }
}

fn manifest(
    request: &Request,
    runner: &RunnerFiles,
    program: &[u8],
    assembled: Assembled,
    folder: &Path,
) -> Result<Manifest, ImageError> {
    let mut files = BTreeMap::new();
    for name in assembled.files.into_iter().chain([part::ROOT]) {
        let path = folder.join(name);
        let file = ImageFile {
            sha256: of_file(&path)?,
            bytes: fs::metadata(&path).map_err(ImageError::of(&path))?.len(),
        };
        files.insert(name.to_owned(), file);
    }
    let recipe = &request.recipe;
    let mut inputs = Sha256::new();
    for text in [
        recipe.digest(CUSTOMIZE).as_str(),
        &runner.digest,
        &request.scripts.worker,
        &request.scripts.hook,
        INIT,
        SERVICES,
    ] {
        inputs.update(text);
        inputs.update([0]);
    }
    inputs.update(program);
    Ok(Manifest {
        format: FORMAT,
        suite: recipe.suite.as_str().to_owned(),
        kernel: assembled.kernel,
        runner: runner.release.map(|release| release.to_string()),
        jitgate: env!("CARGO_PKG_VERSION").to_owned(),
        docker: recipe.docker,
        source_date_epoch: recipe.source_date_epoch,
        inputs: hex::encode(inputs.finalize()),
        files,
        missing_libraries: assembled.missing_libraries,
        packages: assembled.packages,
    })
}
