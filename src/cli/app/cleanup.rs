//! `jitgate app cleanup`: looks for files with credentials, judges each, and removes the stale ones.

use super::args::Cleanup;
use crate::adapters::private_file;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::table;
use crate::domain::app::{Candidate, Content, Judgement, judge};
use anyhow::anyhow;
use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More than any file of `jit request` contains.
const MAX_JIT_BYTES: u64 = 256 * 1024;

/// The status of the last refresh.
#[derive(Deserialize)]
struct Status {
    refreshed_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    token_file: PathBuf,
}

/// A file with its judgement.
#[derive(Serialize)]
struct Judged {
    path: PathBuf,
    kind: &'static str,
    stale: bool,
    why: String,
}

/// Runs `app cleanup`.
pub(super) fn run(args: &Cleanup, session: &Session) -> Outcome {
    let judged = judged(args, session.clock.now());
    let (stale, kept): (Vec<Judged>, Vec<Judged>) = judged.into_iter().partition(|file| file.stale);
    if stale.is_empty() {
        session.note_unchanged();
    }
    if !args.dry_run {
        for file in &stale {
            remove(&file.path)?;
        }
    }
    let shown = |files: &[Judged]| -> Vec<serde_json::Value> {
        let files = files.iter();
        files
            .map(|file| serde_json::json!({"path": file.path, "kind": file.kind, "why": file.why}))
            .collect()
    };
    let json = serde_json::json!({"dry_run": args.dry_run, "removed": shown(&stale), "kept": shown(&kept)});
    session.answer(&json, |out| {
        if stale.is_empty() {
            writeln!(out, "nothing is stale")?;
        }
        if stale.is_empty() && kept.is_empty() {
            return Ok(());
        }
        let verb = if args.dry_run { "would remove" } else { "removed" };
        let rows = stale
            .iter()
            .map(|file| (verb, file))
            .chain(kept.iter().map(|file| ("kept", file)));
        let rows = rows.map(|(verb, file)| {
            [
                verb.to_owned(),
                file.kind.to_owned(),
                file.path.display().to_string(),
                file.why.clone(),
            ]
        });
        table::print(out, ["ACTION", "KIND", "FILE", "REASON"], rows)
    })?;
    Ok(Exit::Done)
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let error = anyhow!("{}: cannot be removed: {error}", path.display());
            Err(Failure::new(Exit::Configuration, error)
                .remedy("run the command as the owner of the file and its folder"))
        }
        _ => Ok(()),
    }
}

/// Looks at the token file, its folder and the given paths. Only files of a known form are returned, and those that the
/// arguments name.
fn judged(args: &Cleanup, now: DateTime<Utc>) -> Vec<Judged> {
    let status = status(&args.status_file);
    let token_file = args
        .token_file
        .clone()
        .or_else(|| status.as_ref().map(|status| status.token_file.clone()));
    let of_token = status.filter(|status| Some(&status.token_file) == token_file.as_ref());
    let mut files: BTreeSet<(PathBuf, bool)> = BTreeSet::new();
    let folder = |path: &PathBuf| path.parent().map(Path::to_owned);
    let folders = token_file.iter().filter_map(folder).chain(folder(&args.status_file));
    for path in folders.chain(args.paths.iter().cloned()) {
        if path.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            files.extend(entries.map(|entry| (entry.path(), false)));
        } else {
            files.insert((path, true));
        }
    }
    files.extend(token_file.iter().map(|path| (path.clone(), true)));
    let drafts: BTreeSet<PathBuf> = files.iter().filter_map(|(path, _)| folder(path)).collect();
    let drafts: Vec<(PathBuf, bool)> = drafts.iter().flat_map(|folder| private_file::drafts(folder)).collect();
    let lifetime = TimeDelta::seconds(args.jit_max_age_s.into());
    let mut judged: Vec<Judged> = Vec::new();
    for (path, is_named) in files {
        let Some((candidate, kind)) = candidate(&path, of_token.as_ref(), &drafts) else {
            continue;
        };
        let is_known = candidate.content != Content::Unknown && (candidate.is_own || is_named);
        if !(is_known || is_named) || judged.iter().any(|file| file.path == path) {
            continue;
        }
        let (stale, why) = match judge(&candidate, lifetime, now) {
            Judgement::Stale(why) => (true, why),
            Judgement::Kept(why) => (false, why),
        };
        judged.push(Judged { path, kind, stale, why });
    }
    judged
}

fn status(path: &Path) -> Option<Status> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Returns none for a path without a file.
fn candidate(path: &Path, of_token: Option<&Status>, drafts: &[(PathBuf, bool)]) -> Option<(Candidate, &'static str)> {
    let about = fs::symlink_metadata(path).ok()?;
    let is_own = about.is_file() && about.uid() == geteuid().as_raw() && is_safe(path);
    let draft = drafts.iter().find(|(draft, _)| draft == path);
    let (content, kind) = match (of_token, draft) {
        (Some(status), _) if status.token_file == path => (
            Content::Token {
                refreshed_at: status.refreshed_at,
                expires_at: status.expires_at,
            },
            "token",
        ),
        (_, Some((_, is_in_use))) => (Content::Draft { is_in_use: *is_in_use }, "draft"),
        _ if is_own && is_jit(path) => (Content::Jit, "jit"),
        _ => (Content::Unknown, "other"),
    };
    let modified_at = about.modified().ok()?.into();
    Some((
        Candidate {
            content,
            is_own,
            modified_at,
        },
        kind,
    ))
}

/// Returns true if no other user can put another file in this place.
fn is_safe(path: &Path) -> bool {
    let folder = path.parent().and_then(|folder| fs::metadata(folder).ok());
    folder.is_some_and(|folder| folder.mode() & 0o022 == 0 || folder.mode() & 0o1000 != 0)
}

/// Returns true if a file has the form that `jit request` writes.
fn is_jit(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Jit {
        #[serde(rename = "runner")]
        _runner: Runner,
        encoded_jit_config: String,
    }
    #[derive(Deserialize)]
    struct Runner {
        #[serde(rename = "id")]
        _id: u64,
    }
    // A pipe or a device is never read.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = open(path, flags, Mode::empty()) else {
        return false;
    };
    let file = File::from(file);
    if !file
        .metadata()
        .is_ok_and(|about| about.is_file() && about.len() <= MAX_JIT_BYTES)
    {
        return false;
    }
    let mut bytes = Vec::new();
    let read = file.take(MAX_JIT_BYTES).read_to_end(&mut bytes);
    let jit: Result<Jit, _> = serde_json::from_slice(&bytes);
    read.is_ok() && jit.is_ok_and(|jit| !jit.encoded_jit_config.is_empty())
}
