//! The packages that the runner program needs, by the list of its `installdependencies.sh`, and the programs that most
//! actions call.

use super::manifest::Manifest;

/// The beginning of a package's name, and its purpose. Debian puts versions into the names of libraries.
const NEEDED: &[(&str, &str)] = &[
    ("ca-certificates", "the certificates of GitHub"),
    ("curl", "downloads of actions"),
    ("git", "actions/checkout"),
    ("jq", "scripts of jobs"),
    (
        "libicu",
        "texts in .NET, without which the runner program does not start",
    ),
    ("libkrb5-3", "authentication in .NET"),
    ("liblttng-ust", "traces of .NET"),
    ("libssl3", "TLS in .NET"),
    ("libstdc++6", "Node.js and .NET"),
    ("tar", "actions and caches"),
    ("zlib1g", "compression in .NET"),
];

/// Something that an image lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// A package or a library.
    pub name: String,
    /// The programs that need it.
    pub purpose: String,
    pub remedy: String,
}

/// Returns what the image of this manifest lacks.
#[must_use]
pub fn lacks(manifest: &Manifest) -> Vec<Lack> {
    let is_there = |name: &str| manifest.packages.iter().any(|package| package.name.starts_with(name));
    let packages = NEEDED.iter().filter(|(name, _)| !is_there(name));
    let packages = packages.map(|(name, purpose)| Lack {
        name: format!("package {name}"),
        purpose: (*purpose).to_owned(),
        remedy: format!(
            "build a new image; add the package with --include if `apt-cache search {name}` shows another name"
        ),
    });
    let libraries = manifest.missing_libraries.iter().map(|(library, program)| Lack {
        name: format!("library {library}"),
        purpose: program.clone(),
        remedy: format!(
            "find its package with `apt-file search {library}`, and build a new image with --include PACKAGE"
        ),
    });
    packages.chain(libraries).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::image::{FORMAT, Package, Recipe, Suite};
    use std::collections::BTreeMap;

    #[test]
    fn the_packages_of_every_recipe_lack_nothing() {
        for suite in Suite::ALL {
            let recipe = Recipe {
                suite,
                mirrors: Vec::new(),
                docker: false,
                include: Vec::new(),
                source_date_epoch: 1,
            };
            let packages = recipe.packages().into_iter().map(|name| Package {
                name: name.to_owned(),
                version: "1".to_owned(),
            });
            let mut manifest = Manifest {
                format: FORMAT,
                suite: suite.as_str().to_owned(),
                kernel: "6.1".to_owned(),
                runner: None,
                jitgate: "0.1.0".to_owned(),
                docker: false,
                source_date_epoch: 1,
                inputs: String::new(),
                files: BTreeMap::new(),
                missing_libraries: BTreeMap::new(),
                packages: packages.collect(),
            };
            assert_eq!(lacks(&manifest), []);
            manifest.packages.retain(|package| !package.name.starts_with("libicu"));
            let node = "externals/node20/bin/node".to_owned();
            manifest.missing_libraries.insert("libatomic.so.1".to_owned(), node);
            let found: Vec<String> = lacks(&manifest).into_iter().map(|lack| lack.name).collect();
            assert_eq!(found, ["package libicu", "library libatomic.so.1"]);
        }
    }
}
