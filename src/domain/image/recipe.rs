//! The recipe of an image: everything that an operator chooses about its root file system.

use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Packages of every image: programs that jobs and actions expect, and what the runner program links to in each release.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "curl",
    "git",
    "jq",
    "libkrb5-3",
    "libstdc++6",
    "tar",
    // For kernel modules that are packed.
    "xz-utils",
    "zlib1g",
];
/// Packages of an image with Docker. `kmod` loads the modules that a network of containers needs.
const DOCKER_PACKAGES: &[&str] = &["containerd", "docker.io", "iptables", "kmod", "runc"];

/// The Debian release of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    Bookworm,
    Trixie,
}

impl Suite {
    /// Every release that an image can have.
    pub const ALL: [Self; 2] = [Self::Bookworm, Self::Trixie];

    /// Returns the code name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Returns the libraries of the runner program whose packages have a version in their names.
    fn libraries(self) -> [&'static str; 3] {
        match self {
            Self::Bookworm => ["libicu72", "liblttng-ust1", "libssl3"],
            Self::Trixie => ["libicu76", "liblttng-ust1t64", "libssl3t64"],
        }
    }
}

/// A recipe that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    #[error("{0:?} is not the name of a Debian package")]
    Package(String),
    #[error("{0:?} is neither the URL of a Debian archive nor a line of sources.list that begins with `deb `")]
    Mirror(String),
}

/// The root file system of an image, as far as an operator chooses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    pub suite: Suite,
    /// Debian archives; by default those that mmdebstrap selects, with security updates.
    pub mirrors: Vec<String>,
    pub docker: bool,
    /// Further packages.
    pub include: Vec<String>,
    /// The time of all files that are newer than it, in seconds since 1970.
    pub source_date_epoch: u64,
}

impl Recipe {
    /// Checks everything that becomes an argument of another program.
    ///
    /// # Errors
    /// If a name is none of a package, or a mirror is no URL and no line of a list of sources.
    pub fn validate(&self) -> Result<(), RecipeError> {
        let is_name = |name: &str| {
            let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
            name.len() > 1 && name.chars().all(is_part) && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        if let Some(name) = self.include.iter().find(|name| !is_name(name)) {
            return Err(RecipeError::Package(name.clone()));
        }
        let is_mirror = |text: &str| {
            let schemes = ["http://", "https://", "file://", "copy://"];
            let is_url = schemes.iter().any(|scheme| text.starts_with(scheme)) && !text.contains(char::is_whitespace);
            (is_url || text.starts_with("deb ")) && !text.contains(char::is_control)
        };
        match self.mirrors.iter().find(|text| !is_mirror(text)) {
            Some(text) => Err(RecipeError::Mirror(text.clone())),
            None => Ok(()),
        }
    }

    /// Returns the packages to install, sorted.
    #[must_use]
    pub fn packages(&self) -> Vec<&str> {
        let docker = if self.docker { DOCKER_PACKAGES } else { &[] };
        let libraries = self.suite.libraries();
        let fixed = PACKAGES.iter().chain(docker).chain(&libraries).copied();
        let all: BTreeSet<&str> = fixed.chain(self.include.iter().map(String::as_str)).collect();
        all.into_iter().collect()
    }

    /// Returns a hash of the recipe and of the script that completes the root.
    #[must_use]
    pub fn digest(&self, script: &str) -> String {
        let text = format!(
            "{} {:?} {} {:?} {} {script}",
            self.suite.as_str(),
            self.mirrors,
            self.docker,
            self.packages(),
            self.source_date_epoch
        );
        hex::encode(Sha256::digest(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            suite: Suite::Bookworm,
            mirrors: Vec::new(),
            docker: false,
            include: Vec::new(),
            source_date_epoch: 1,
        }
    }

    #[test]
    fn each_choice_changes_the_digest_and_no_order_does() {
        let with = |change: fn(&mut Recipe)| {
            let mut changed = recipe();
            change(&mut changed);
            changed.digest("script")
        };
        let all = [
            recipe().digest("script"),
            recipe().digest("other"),
            with(|it| it.suite = Suite::Trixie),
            with(|it| it.mirrors.push("http://a".to_owned())),
            with(|it| it.docker = true),
            with(|it| it.include.push("make".to_owned())),
            with(|it| it.source_date_epoch = 2),
        ];
        assert_eq!(BTreeSet::from(all.clone()).len(), all.len());
        let ordered = |names: [&str; 2]| Recipe {
            include: names.map(str::to_owned).to_vec(),
            ..recipe()
        };
        assert_eq!(ordered(["make", "gcc"]).digest(""), ordered(["gcc", "make"]).digest(""));
        assert_eq!(ordered(["git", "git"]).digest(""), recipe().digest(""));
    }

    #[test]
    fn no_name_becomes_an_option_of_another_program() {
        for name in [
            "",
            "-x",
            "a",
            "A b",
            "make;id",
            "make,gcc",
            "?essential",
            "make/unstable",
            "../x",
        ] {
            let faulty = Recipe {
                include: vec![name.to_owned()],
                ..recipe()
            };
            assert_eq!(faulty.validate(), Err(RecipeError::Package(name.to_owned())));
        }
        for mirror in ["", "-x", "/etc/passwd", "http://a b", "deb http://a\nb", "ftp://a"] {
            let faulty = Recipe {
                mirrors: vec![mirror.to_owned()],
                ..recipe()
            };
            assert_eq!(faulty.validate(), Err(RecipeError::Mirror(mirror.to_owned())));
        }
        let mirrors = ["https://a/debian", "deb [trusted=yes] copy:///x ./"];
        let right = Recipe {
            include: vec!["libstdc++-12-dev".to_owned()],
            mirrors: mirrors.map(str::to_owned).to_vec(),
            ..recipe()
        };
        assert_eq!(right.validate(), Ok(()));
    }
}
