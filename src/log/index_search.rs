//! Binary search over the entries of an index, wherever they are: in memory or in a file.
//!
//! Pure; any thread. Invariant: the predicate is true for a prefix of the entries and false for the rest (entries ascend). On damaged entries the
//! answer is some index within bounds, or `None`, never a panic.

/// The last of `count` entries for which `holds`; `None` if it holds for none. Asks at most `log2(count) + 1` times.
///
/// # Errors
/// Whatever `holds` answers, at once.
pub fn last_where<E>(count: usize, mut holds: impl FnMut(usize) -> Result<bool, E>) -> Result<Option<usize>, E> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low.checked_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_last_of_the_prefix() {
        for count in 0..40usize {
            for prefix in 0..=count {
                let mut asked = 0;
                let found = last_where::<()>(count, |i| {
                    asked += 1;
                    assert!(i < count);
                    Ok(i < prefix)
                });
                assert_eq!(found, Ok(prefix.checked_sub(1)));
                assert!(asked <= count.checked_ilog2().map_or(0, |log| log + 1));
            }
        }
    }

    #[test]
    fn an_error_ends_the_search() {
        assert_eq!(last_where(8, |_| Err::<bool, _>("not resident")), Err("not resident"));
    }
}
