//! Suggestions for misspelt words.

/// Returns the candidate that is most similar to `word`, if it is similar enough.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let tolerance = (word.chars().count() / 3).max(2);
    candidates
        .map(|candidate| (unlikeness(&word, candidate), candidate))
        .filter(|(unlikeness, _)| *unlikeness <= tolerance)
        .min_by_key(|(unlikeness, candidate)| (*unlikeness, candidate.len()))
        .map(|(_, candidate)| candidate)
}

/// Returns true if two keys differ only in case and separators.
pub(super) fn same_words(a: &str, b: &str) -> bool {
    let letters = |text: &str| text.replace(['_', '.'], "").to_ascii_lowercase();
    letters(a) == letters(b)
}

/// Returns the distance of two words: the number of letters to insert, delete, replace or swap. A word that only
/// continues (`secret`, `secrets_file`) has a distance of one.
fn unlikeness(a: &str, b: &str) -> usize {
    let long_enough = a.len().min(b.len()) >= 3;
    if a != b && long_enough && (a.starts_with(b) || b.starts_with(a)) {
        return 1;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            let swap = before.get(j.wrapping_sub(1)).filter(|_| swapped).map(|cost| cost + 1);
            let replace = last[j] + usize::from(x != y);
            let least = replace.min(last[j + 1] + 1).min(row[j] + 1);
            row.push(swap.map_or(least, |swap| swap.min(least)));
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not_guessed() {
        let keys = ["listen", "admin_listen", "state_dir", "secrets", "secret_files", "max"];
        for (typed, meant) in [
            ("lisen", Some("listen")),
            ("LISTEN", Some("listen")),
            ("lsiten", Some("listen")),
            ("statedir", Some("state_dir")),
            ("secret", Some("secrets")),
            ("secret_file", Some("secret_files")),
            ("maximum", Some("max")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys.into_iter()), meant, "{typed}");
        }
    }
}
