//! Compares an image with its manifest.

use super::digest::of_file;
use super::store::MANIFEST;
use crate::domain::finding::{Finding, Subject};
use crate::domain::image::{FORMAT, ImageName, Manifest, lacks};
use chrono::{DateTime, Utc};
use std::fs;
use std::path::Path;

/// The remedy for every damage.
const REBUILD: &str = "build a new image with `jitgate image build`, and remove this one";

/// The result of a comparison.
#[derive(Debug)]
pub struct Inspection {
    pub findings: Vec<Finding>,
    /// The manifest, and the time at which the image was built; none if they cannot be read.
    pub manifest: Option<(Manifest, DateTime<Utc>)>,
}

/// Compares the image in a folder with its manifest.
#[must_use]
pub fn inspect(image: &Path) -> Inspection {
    match read(image) {
        Err(finding) => Inspection {
            findings: vec![*finding],
            manifest: None,
        },
        Ok((manifest, built_at)) => {
            let mut findings = files(image, &manifest);
            findings.extend(dependencies(&manifest));
            Inspection {
                findings,
                manifest: Some((manifest, built_at)),
            }
        }
    }
}

fn read(image: &Path) -> Result<(Manifest, DateTime<Utc>), Box<Finding>> {
    let path = image.join(MANIFEST);
    let place = path.display();
    let problem = |what: String| Box::new(Finding::problem(Subject::Host, what, REBUILD));
    let unread = |error: std::io::Error| {
        let remedy =
            "name the folder of an image; `jitgate image list` shows them, and `jitgate image build` makes one";
        Box::new(Finding::problem(Subject::Host, format!("{place}: {error}"), remedy))
    };
    let bytes = fs::read(&path).map_err(unread)?;
    let built_at = fs::metadata(&path).and_then(|about| about.modified()).map_err(unread)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| problem(format!("{place}: {error}")))?;
    if manifest.format != FORMAT {
        return Err(problem(format!(
            "{place}: its format is {}, and this jitgate reads {FORMAT}",
            manifest.format
        )));
    }
    let folder = image.canonicalize().map_err(unread)?;
    let name = folder.file_name().and_then(|name| ImageName::parse(name.to_str()?));
    match name {
        Some(name) if name != ImageName::of(&bytes) => {
            Err(problem(format!("{place} was changed: it is not that of {name}")))
        }
        _ => Ok((manifest, built_at.into())),
    }
}

fn files(image: &Path, manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, expected) in &manifest.files {
        let path = image.join(name);
        let what = match of_file(&path) {
            Ok(found) if found == expected.sha256 => continue,
            Ok(found) => format!(
                "{}: its sha256 is {found}, but the manifest has {}",
                path.display(),
                expected.sha256
            ),
            Err(error) => error.to_string(),
        };
        findings.push(Finding::problem(Subject::Host, what, REBUILD));
    }
    if findings.is_empty() {
        let (count, bytes) = (manifest.files.len(), manifest.bytes());
        let what = format!(
            "{}: {count} files, {} MiB, are those of the manifest",
            image.display(),
            bytes >> 20
        );
        findings.push(Finding::ok(Subject::Host, what));
    }
    findings
}

fn dependencies(manifest: &Manifest) -> Vec<Finding> {
    let lacking = lacks(manifest);
    if lacking.is_empty() {
        let count = manifest.packages.len();
        let what = format!(
            "the runner program has all of its libraries, in {count} packages of Debian {}",
            manifest.suite
        );
        return vec![Finding::ok(Subject::Host, what)];
    }
    let problem = |lack: crate::domain::image::Lack| {
        let what = format!("the {} is missing, for: {}", lack.name, lack.purpose);
        Finding::problem(Subject::Host, what, lack.remedy)
    };
    lacking.into_iter().map(problem).collect()
}
