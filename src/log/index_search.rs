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

/// As [`last_where`], for an answer that is probably near `guess`: the questions begin there and go outwards, each step twice as far, so that in a file
/// few pieces have to be read. Asks at most `2 * log2(count) + 2` times.
///
/// # Errors
/// Whatever `holds` answers, at once.
pub fn last_where_near<E>(count: usize, guess: usize, mut holds: impl FnMut(usize) -> Result<bool, E>) -> Result<Option<usize>, E> {
    // It holds below `low` and not from `high` on.
    let (mut low, mut high) = (0, count);
    let mut at = guess.min(count.saturating_sub(1));
    let mut step = 1;
    while low < high {
        if holds(at)? {
            low = at + 1;
            if high < count {
                break;
            }
            at = (at + step).min(high - 1);
        } else {
            high = at;
            if low > 0 {
                break;
            }
            at = at.saturating_sub(step);
        }
        step *= 2;
    }
    let above = last_where(high - low, |i| holds(low + i))?;
    Ok(above.map(|i| low + i).or(low.checked_sub(1)))
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
    fn a_guess_changes_how_often_is_asked_and_not_the_answer() {
        for count in 0..40usize {
            for prefix in 0..=count {
                for guess in 0..=count + 1 {
                    let mut asked = 0;
                    let found = last_where_near::<()>(count, guess, |i| {
                        asked += 1;
                        assert!(i < count);
                        Ok(i < prefix)
                    });
                    assert_eq!(found, Ok(prefix.checked_sub(1)), "{count} entries, guess {guess}");
                    assert!(
                        asked <= 2 * count.checked_ilog2().unwrap_or(0) + 2,
                        "{asked} questions for {prefix} of {count}, guess {guess}"
                    );
                }
            }
        }
        let mut furthest = 0;
        let near = last_where_near::<()>(1_000_000, 500_010, |i| {
            furthest = furthest.max(i.abs_diff(500_000));
            Ok(i < 500_000)
        });
        assert_eq!(near, Ok(Some(499_999)));
        assert!(furthest <= 20, "a question {furthest} entries away");
    }

    #[test]
    fn an_error_ends_the_search() {
        assert_eq!(last_where(8, |_| Err::<bool, _>("not resident")), Err("not resident"));
    }
}
