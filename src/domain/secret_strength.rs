//! An estimate of the strength of a webhook secret. A person who has one delivery can try secrets without limit.

use std::collections::BTreeMap;

/// The strength that a secret needs. `openssl rand -hex 32` has more than 200 bits by this estimate.
pub const ENOUGH_BITS: u32 = 80;

/// Returns the estimated number of random bits in a secret: its length without repetitions, times the variety of its
/// characters.
#[must_use]
pub fn bits(secret: &str) -> u32 {
    let letters: Vec<char> = secret.chars().collect();
    let unrepeated = period(&letters);
    let mut counts: BTreeMap<char, u32> = BTreeMap::new();
    for letter in letters.iter().take(unrepeated) {
        *counts.entry(*letter).or_default() += 1;
    }
    let total = f64::from(u32::try_from(unrepeated).unwrap_or(u32::MAX));
    let of_letter = |count: &u32| f64::from(*count) * (total / f64::from(*count)).log2();
    let sum: f64 = counts.values().map(of_letter).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the sum is not negative, and a cast of a large number saturates"
    )]
    let bits = sum.round() as u32;
    bits
}

/// Returns the length of the shortest beginning whose repetition gives the text.
fn period(letters: &[char]) -> usize {
    let repeats = |length: &usize| letters.iter().zip(letters.iter().skip(*length)).all(|(a, b)| a == b);
    (1..letters.len()).find(repeats).unwrap_or(letters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_variety_count_and_repetition_does_not() {
        for (secret, is_enough) in [
            ("", false),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("hunter2-hunter2-hunter2", false),
            ("0123456789abcdef0123456789abcdef", false),
            ("password12345678", false),
            ("5a1c9e07f3b28d64e0c7", false),
            ("5a1c9e07f3b28d64e0c7195fba3d8264", true),
            ("q7!Vd0#kLz9@Wm3$Xp5^Rt", true),
        ] {
            assert_eq!(bits(secret) >= ENOUGH_BITS, is_enough, "{secret}: {}", bits(secret));
        }
    }
}
