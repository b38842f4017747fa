//! `jitgate image list`.

use super::args::List;
use super::refused::refused;
use super::uses::Uses;
use crate::adapters::image::StoredImage;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::session::Session;
use crate::cli::table;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// Runs `image list`.
pub(super) fn run(args: &List, session: &Session) -> Outcome {
    let images = args.place.images(session)?.list().map_err(refused)?;
    let (uses, now) = (Uses::look(session)?, session.clock.now());
    let json: Vec<Value> = images.iter().map(|image| of(image, &uses)).collect();
    session.answer(&json, |out| {
        if images.is_empty() {
            return writeln!(out, "there is no image; `jitgate image build` makes one");
        }
        let heading = ["NAME", "CURRENT", "AGE", "MIB", "RUNNER", "DEBIAN", "DOCKER", "SLOTS"];
        table::print(out, heading, images.iter().map(|image| row(image, &uses, now)))
    })?;
    Ok(Exit::Done)
}

fn of(image: &StoredImage, uses: &Uses) -> Value {
    let manifest = &image.manifest;
    json!({
        "name": image.name, "path": image.path, "current": uses.is_current(image), "built_at": image.built_at,
        "bytes": manifest.bytes(), "runner": manifest.runner, "suite": manifest.suite, "kernel": manifest.kernel,
        "jitgate": manifest.jitgate, "docker": manifest.docker, "slots": uses.slots(image),
    })
}

fn row(image: &StoredImage, uses: &Uses, now: DateTime<Utc>) -> [String; 8] {
    let manifest = &image.manifest;
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let age = now - image.built_at;
    let age = match (age.num_days(), age.num_hours()) {
        (0, hours) => format!("{} h", hours.max(0)),
        (days, _) => format!("{days} d"),
    };
    [
        image.name.to_string(),
        yes(uses.is_current(image)),
        age,
        (manifest.bytes() >> 20).to_string(),
        table::or_dash(manifest.runner.as_ref()),
        manifest.suite.clone(),
        yes(manifest.docker),
        uses.slots(image).to_string(),
    ]
}
