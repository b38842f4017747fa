//! Each relative link and each path of this repository in the documents leads to a file.

use std::fs;
use std::path::{Path, PathBuf};

/// The top-level folders whose files the documents name in backticks.
const FOLDERS: &[&str] = &["src/", "tests/", "docs/", "fixtures/", "deploy/"];

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.to_owned(), root.join("docs"), root.join("docs/adr")];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder of documents"));
    let paths = files.map(|file| file.expect("a file").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect()
}

/// Returns the targets of a text, from its own folder and from the root.
fn targets<'a>(text: &'a str, folder: &Path, root: &Path) -> Vec<(&'a str, PathBuf)> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
    let links = links.map(|link| (link, folder.join(link.split('#').next().unwrap_or_default())));
    let named = text.split('`').skip(1).step_by(2);
    let named = named.filter(|name| FOLDERS.iter().any(|folder| name.starts_with(folder)));
    // `fixtures/NAME.json` names no one file.
    let named = named.filter(|name| !name.contains([' ', '*', '<']) && !name.contains("NAME"));
    links.chain(named.map(|name| (name, root.join(name)))).collect()
}

#[test]
fn links_and_paths_in_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut astray = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a readable document");
        let folder = document.parent().expect("a folder");
        let missing = targets(&text, folder, root)
            .into_iter()
            .filter(|(_, path)| !path.exists());
        astray.extend(missing.map(|(target, _)| format!("{}: {target}", document.display())));
    }
    assert!(astray.is_empty(), "\n{}", astray.join("\n"));
}

#[test]
fn a_dead_link_is_reported() {
    let text = "[a](b.md#c) [d](https://e.example) [f](#g) `src/h.rs` `x`\n```\nsrc/i.rs\n```\n`fixtures/NAME.json`";
    let found: Vec<&str> = targets(text, Path::new("/docs"), Path::new("/"))
        .into_iter()
        .map(|(target, _)| target)
        .collect();
    assert_eq!(found, ["b.md#c", "src/h.rs"]);
}
