//! Finds files that import each other, directly or through others. An import counts for the file that has the item: a
//! `mod.rs` only passes it on.

use super::source::{Source, use_trees};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Which file holds what.
struct Crate<'a> {
    /// Files and folders by their place in the crate.
    files: BTreeMap<Vec<&'a str>, &'a Source>,
    /// For the `mod.rs` of each folder: the names that it passes on, with the paths they come from.
    passed_on: BTreeMap<Vec<&'a str>, BTreeMap<&'a str, Vec<&'a str>>>,
}

impl<'a> Crate<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let mut files = BTreeMap::new();
        let mut passed_on = BTreeMap::new();
        for file in sources.iter().filter(|file| file.is_production()) {
            if !file.names_modules() {
                files.insert(file.module(), file);
                continue;
            }
            let folder = if file.path == "src/lib.rs" {
                Vec::new()
            } else {
                file.module()
            };
            let uses = use_trees(&file.code[..file.code.len() - file.tests().len()]);
            let names = uses.into_iter().filter_map(|(path, name)| {
                let path = match path.split_first()? {
                    (&"crate", rest) => rest.to_vec(),
                    (&"super", rest) => [&folder[..folder.len().saturating_sub(1)], rest].concat(),
                    (&"self", rest) => [&folder[..], rest].concat(),
                    _ => [&folder[..], &path[..]].concat(),
                };
                Some((name, path))
            });
            passed_on.insert(folder.clone(), names.collect());
        }
        Self { files, passed_on }
    }

    /// The file that holds what this path from the root names. None for a folder, and for what is not ours.
    fn file_of(&self, path: &[&'a str]) -> Option<&'a Source> {
        for end in 1..=path.len() {
            let (place, rest) = path.split_at(end);
            if let Some(file) = self.files.get(place) {
                return Some(file);
            }
            let passed_on = self.passed_on.get(&place[..end - 1]);
            if let Some(origin) = passed_on.and_then(|names| names.get(place[end - 1])) {
                return self.file_of(&[origin, rest].concat());
            }
        }
        None
    }

    /// The files that this one imports from.
    fn imports_of(&self, file: &'a Source) -> BTreeSet<&'a str> {
        let mut paths = file.production_imports();
        // `use crate::domain::job;`, and then `job::Progress`.
        for folder in paths.clone() {
            if let Some(name) = folder.last().filter(|_| self.is_folder(&folder)) {
                let inside = file.production_paths(name).into_iter();
                paths.extend(inside.map(|path| [&folder[..], &path[1..]].concat()));
            }
        }
        let files = paths.iter().filter_map(|path| self.file_of(path));
        files
            .map(|file| file.path.as_str())
            .filter(|path| *path != file.path)
            .collect()
    }

    fn is_folder(&self, path: &[&str]) -> bool {
        !self.files.contains_key(path) && self.files.keys().any(|file| file.starts_with(path))
    }
}

/// One cycle of each knot of files, as `path: reason`.
pub(crate) fn cycles(sources: &[Source]) -> Vec<String> {
    let files = Crate::new(sources);
    let imports: BTreeMap<&str, BTreeSet<&str>> = files
        .files
        .values()
        .map(|file| (file.path.as_str(), files.imports_of(file)))
        .collect();
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for file in imports.keys() {
        if known.contains(file) {
            continue;
        }
        let Some(cycle) = way(&imports, file, file) else {
            continue;
        };
        let is_in_it = |other: &&&str| way(&imports, file, other).is_some() && way(&imports, other, file).is_some();
        let knot: BTreeSet<&str> = imports.keys().filter(is_in_it).copied().collect();
        found.push(format!(
            "{file}: is one of {} files that import each other: {}",
            knot.len(),
            cycle.join(" -> ")
        ));
        known.extend(knot);
    }
    found
}

/// The shortest way from one file to another along at least one import.
fn way<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in way.last().and_then(|last| imports.get(last)).into_iter().flatten() {
            let longer = [&way[..], &[*next]].concat();
            if *next == to {
                return Some(longer);
            }
            if seen.insert(*next) {
                ways.push_back(longer);
            }
        }
    }
    None
}
