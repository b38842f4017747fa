//! `jitgate image prune`.

use super::args::Prune;
use super::refused::refused;
use super::uses::Uses;
use crate::adapters::image::StoredImage;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::session::Session;
use crate::domain::image::{Candidate, ImageName, superfluous};
use serde_json::json;

/// Runs `image prune`.
pub(super) fn run(args: &Prune, session: &Session) -> Outcome {
    let images = args.place.images(session)?;
    if !images.path().exists() {
        session.answer(
            &json!({"dry_run": args.dry_run, "removed": [], "kept": [], "cache": []}),
            |out| writeln!(out, "there is no image"),
        )?;
        return Ok(Exit::Done);
    }
    let lock = images.lock().map_err(refused)?;
    let (all, uses) = (images.list().map_err(refused)?, Uses::look(session)?);
    let candidate = |image: &StoredImage| Candidate {
        name: image.name.clone(),
        built_at: image.built_at,
        is_current: uses.is_current(image),
        slots: uses.slots(image),
    };
    let old = superfluous(all.iter().map(candidate).collect(), args.keep);
    let is_old = |image: &&StoredImage| old.iter().any(|old| old.name == image.name);
    let (old, kept): (Vec<&StoredImage>, Vec<&StoredImage>) = all.iter().partition(is_old);
    if !args.dry_run {
        for image in &old {
            images.remove(image, &lock).map_err(refused)?;
        }
    }
    let cache = images.prune_cache(args.keep.max(1), args.dry_run).map_err(refused)?;
    let names = |images: &[&StoredImage]| {
        images
            .iter()
            .map(|image| image.name.clone())
            .collect::<Vec<ImageName>>()
    };
    if !args.dry_run && !old.is_empty() {
        let origin = args.person.origin(session.clock.now());
        let line = json!({"at": origin.at, "what": "prune", "images": names(&old), "by": origin.by, "why": origin.why});
        images.record(&line).map_err(refused)?;
    }
    let json = json!({"dry_run": args.dry_run, "removed": names(&old), "kept": names(&kept), "cache": cache});
    session.answer(&json, |out| {
        let verb = if args.dry_run { "would remove" } else { "removed" };
        if old.is_empty() && cache.is_empty() {
            return writeln!(out, "nothing to remove");
        }
        for image in &old {
            writeln!(out, "{verb} {} ({} MiB)", image.name, image.manifest.bytes() >> 20)?;
        }
        cache
            .iter()
            .try_for_each(|path| writeln!(out, "{verb} {}", path.display()))
    })?;
    Ok(Exit::Done)
}
