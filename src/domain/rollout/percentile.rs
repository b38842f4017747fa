//! Percentiles by nearest rank: the smallest value that at least this share of the sample does not exceed. The result
//! is always a value of the sample, so that it can be shown with the run behind it.

/// The percentile of the triggers and the service levels.
pub const P95: usize = 95;

/// Returns the rank, from 1, of a percentile in a sample of this size; 0 for an empty sample.
#[must_use]
pub fn rank(sample: usize, percent: usize) -> usize {
    (sample * percent).div_ceil(100)
}

/// Returns a percentile of the values, which can have any order, or none if there are no values.
#[must_use]
pub fn percentile<T: Ord>(values: impl IntoIterator<Item = T>, percent: usize) -> Option<T> {
    let mut sorted: Vec<T> = values.into_iter().collect();
    sorted.sort_unstable();
    let place = rank(sorted.len(), percent).max(1) - 1;
    sorted.into_iter().nth(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_is_computed_by_hand() {
        // 0.95 * 1 = 0.95, * 10 = 9.5, * 19 = 18.05, * 20 = 19, * 21 = 19.95, * 50 = 47.5, * 100 = 95
        let sizes = [0, 1, 10, 19, 20, 21, 50, 100];
        assert_eq!(sizes.map(|size| rank(size, P95)), [0, 1, 10, 19, 19, 20, 48, 95]);
        assert_eq!([5, 6].map(|size| rank(size, 50)), [3, 3], "the median");
    }

    #[test]
    fn a_percentile_is_a_value_of_the_sample() {
        assert_eq!(percentile(Vec::<u64>::new(), P95), None);
        assert_eq!(percentile([7], P95), Some(7));
        // The usual example of nearest rank: 15, 20, 35, 40, 50 have these 5th, 30th, 40th, 50th and 100th percentiles.
        let of = |percent| percentile([35, 20, 50, 15, 40], percent);
        assert_eq!([5, 30, 40, 50, 100].map(of), [15, 20, 20, 35, 50].map(Some));
        let twenty = (1..=19).map(|_| 10).chain([500]);
        assert_eq!(percentile(twenty, P95), Some(10), "one of twenty is beyond");
        let ten = (1..=9).map(|_| 10).chain([500]);
        assert_eq!(percentile(ten, P95), Some(500), "one of ten decides");
    }
}
