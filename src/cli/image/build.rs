//! `jitgate image build`.

use super::args::Build;
use super::refused::refused;
use super::steps::Steps;
use crate::adapters::hosts::slots::{SeenPaths, hook_script, stand_in_script};
use crate::adapters::image::{self, Built, GuestScripts, Images, Plan, Request};
use crate::adapters::tools::ProcessTools;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::{output, signals, sources};
use crate::domain::image::{Recipe, guest};
use anyhow::anyhow;
use chrono::TimeDelta;
use futures::FutureExt;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The time of files without `SOURCE_DATE_EPOCH`. It is the same for every build, so that it changes no image.
const SOURCE_DATE_EPOCH: u64 = 1_735_689_600;
/// The age from which packages of the cache are reported.
const MAX_CACHE_AGE: TimeDelta = TimeDelta::days(7);

/// Runs `image build`.
pub(super) async fn run(args: &Build, session: &Session) -> Outcome {
    let images = args.place.images(session)?;
    let request = request(args)?;
    if args.dry_run {
        let plan = image::plan(&request, &images).map_err(refused)?;
        print_plan(&request, &images, &plan, session)?;
        return Ok(Exit::Done);
    }
    let mut stops = signals::stops().map_err(|error| Failure::new(Exit::Bug, error))?;
    let stop = async move { stops.received().await }.boxed();
    let mut steps = Steps::new();
    let built = image::build(&request, &images, &ProcessTools, &mut |step| steps.begin(step), stop).await;
    let built = built.map_err(refused)?;
    steps.end();
    warn(&built, session);
    print(&built, session)?;
    Ok(Exit::Done)
}

fn request(args: &Build) -> Result<Request, Failure> {
    if args.runner_sha256.is_some() && args.runner.is_dir() {
        let error = anyhow!(
            "--runner-sha256: {} is a folder, and only an archive has a sha256",
            args.runner.display()
        );
        return Err(Failure::new(Exit::Usage, error).remedy("name the archive, or leave out --runner-sha256"));
    }
    let seen = SeenPaths {
        program: PathBuf::from(guest::PROGRAM),
        socket: PathBuf::from(guest::GATE_SOCKET),
        copy: PathBuf::from(guest::RUNNER),
    };
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|error| Failure::new(Exit::Bug, error))?,
    };
    Ok(Request {
        recipe: Recipe {
            suite: args.suite,
            mirrors: args.mirror.clone(),
            docker: args.with_docker,
            include: args.include.clone(),
            source_date_epoch: source_date_epoch()?,
        },
        runner: args.runner.clone(),
        runner_sha256: args.runner_sha256.clone(),
        program,
        scripts: GuestScripts {
            worker: stand_in_script(&seen),
            hook: hook_script(Path::new(guest::PROGRAM), Path::new(guest::GATE_SOCKET)),
        },
        use_cache: !args.no_cache,
    })
}

fn source_date_epoch() -> Result<u64, Failure> {
    let Some(text) = sources::variable("SOURCE_DATE_EPOCH") else {
        return Ok(SOURCE_DATE_EPOCH);
    };
    // The time has 11 octal digits in an archive, and 32 bits in a file system.
    let parsed = text.parse::<u32>().map(u64::from);
    parsed.map_err(|_| {
        let error = anyhow!("SOURCE_DATE_EPOCH: {text:?} is not a number of seconds since 1970");
        Failure::new(Exit::Usage, error).remedy("unset it, or set it to the output of `date +%s`")
    })
}

fn warn(built: &Built, session: &Session) {
    let manifest = &built.image.manifest;
    if manifest.runner.is_none() {
        output::warn(
            "the release of the runner program is unknown: neither bin/Runner.Listener.deps.json nor the name of the archive has it",
        );
    }
    for (library, program) in &manifest.missing_libraries {
        output::warn(&format!(
            "{program} needs the library {library}, which is missing; add its package with --include"
        ));
    }
    let age = fs::metadata(&built.root).and_then(|about| about.modified());
    let age = age.map(|at| session.clock.now() - chrono::DateTime::<chrono::Utc>::from(at));
    if let Some(age) = age.ok().filter(|age| *age > MAX_CACHE_AGE) {
        output::warn(&format!(
            "the Debian packages are {} days old; --no-cache gets new ones",
            age.num_days()
        ));
    }
}

fn print(built: &Built, session: &Session) -> Result<(), Failure> {
    let image = &built.image;
    let json = json!({
        "name": image.name, "path": image.path, "current": image.is_current, "bytes": image.manifest.bytes(),
        "cached_root": built.is_cached, "manifest": image.manifest,
    });
    session.answer(&json, |out| {
        let (manifest, mib) = (&image.manifest, image.manifest.bytes() >> 20);
        let runner = manifest.runner.as_deref().unwrap_or("of unknown release");
        writeln!(out, "{}", image.path.display())?;
        writeln!(
            out,
            "Debian {}, kernel {}, runner program {runner}, {} packages, {mib} MiB",
            manifest.suite,
            manifest.kernel,
            manifest.packages.len()
        )
    })
}

fn print_plan(request: &Request, images: &Images, plan: &Plan, session: &Session) -> Result<(), Failure> {
    let json = json!({
        "dry_run": true, "images": images.path(), "suite": request.recipe.suite.as_str(), "packages": plan.packages,
        "docker": request.recipe.docker, "root": plan.root, "cached_root": plan.is_cached, "command": plan.command,
    });
    session.answer(&json, |out| {
        let root = plan.root.display();
        match plan.is_cached {
            true => writeln!(out, "would use the root file system {root}")?,
            false => writeln!(out, "would make the root file system {root}:\n  {}", plan.command)?,
        }
        writeln!(out, "would add the runner program of {}", request.runner.display())?;
        writeln!(
            out,
            "would make an image in {} the current one",
            images.path().display()
        )
    })
}
