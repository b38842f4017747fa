//! The manifest of an image: everything that is in it. The name of an image is a hash of its manifest, which contains the
//! hashes of its files, so two images with the same name have the same content.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// The version of the manifest and of the layout of an image.
pub const FORMAT: u32 = 1;
/// Length of a name: the beginning of a hash in hexadecimal digits.
const NAME_LENGTH: usize = 16;

/// The name of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageName(String);

impl ImageName {
    /// Returns the name of the image with this manifest.
    #[must_use]
    pub fn of(manifest: &[u8]) -> Self {
        let mut name = hex::encode(Sha256::digest(manifest));
        name.truncate(NAME_LENGTH);
        Self(name)
    }

    /// Parses the name of a folder.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (text.len() == NAME_LENGTH && text.chars().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// In hexadecimal digits.
    pub sha256: String,
    pub bytes: u64,
}

/// A Debian package in the root file system, or one whose files were taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
}

/// The content of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The Debian release.
    pub suite: String,
    /// The release of the kernel, such as `6.1.0-56-cloud-amd64`.
    pub kernel: String,
    /// The release of the runner program; none if its files do not say it.
    pub runner: Option<String>,
    /// The version of jitgate in the image.
    pub jitgate: String,
    pub docker: bool,
    /// The time of all files that are newer than it, in seconds since 1970.
    pub source_date_epoch: u64,
    /// A hash of everything that the image was built from, except the state of the Debian archive.
    pub inputs: String,
    /// The files by their names.
    pub files: BTreeMap<String, ImageFile>,
    /// Libraries that programs of the runner need and the root does not have, with one program for each.
    #[serde(default)]
    pub missing_libraries: BTreeMap<String, String>,
    pub packages: Vec<Package>,
}

impl Manifest {
    /// Returns the content of the file `manifest.json`.
    ///
    /// # Errors
    /// Never for a manifest of this program.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Returns the size of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }
}

/// Returns the installed packages from the text of dpkg's status file.
#[must_use]
pub fn installed(status: &str) -> Vec<Package> {
    let package = |paragraph: &str| {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let is_installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        is_installed.then_some(())?;
        Some(Package {
            name: field("Package")?.to_owned(),
            version: field("Version")?.to_owned(),
        })
    };
    let mut packages: Vec<Package> = status.split("\n\n").filter_map(package).collect();
    packages.sort();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_the_content_and_only_such_names_are_images() {
        let name = ImageName::of(b"one");
        assert_ne!(name, ImageName::of(b"two"));
        assert_eq!(ImageName::parse(name.as_str()), Some(name));
        for text in [
            "",
            "current",
            "0123456789abcde",
            "0123456789abcdeF",
            "0123456789abcdef0",
            "../456789abcdef0",
        ] {
            assert_eq!(ImageName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn packages_are_listed_if_they_are_installed() {
        let status = "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2\nDescription: x\n Version: y\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                      Package: bash\nStatus: install ok installed\nVersion: 5\n";
        let found: Vec<(String, String)> = installed(status).into_iter().map(|it| (it.name, it.version)).collect();
        let expected = [("bash", "5"), ("zlib1g", "1:1.2")];
        assert_eq!(
            found,
            expected.map(|(name, version)| (name.to_owned(), version.to_owned()))
        );
    }
}
