//! Lists of CPUs as taskset(1) and the kernel write them: `0-3,6`.
//!
//! Pure. Invariant: [`parse_cpu_list`] keeps the order and the repeats, because entry n is the CPU of executor n.

use crate::base::limits::CORES_MAX;

/// The kernel's own bound on CPU numbers, generously.
const CPU_MAX: usize = 65_535;

/// Why a list of CPUs could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuListError {
    #[error("expected CPU numbers and ranges such as 0-3,6, but {0:?} is neither")]
    NotACpu(String),
    #[error("the range {0} runs backwards; write it from the lower CPU to the higher")]
    Backwards(String),
    #[error("the list names more than {CORES_MAX} executors")]
    TooMany,
}

/// Reads a list. Repeats are allowed: `0,1,0,1` is four executors on two CPUs.
///
/// # Errors
/// The first entry that is no CPU and no range, or a list that is too long.
pub fn parse_cpu_list(text: &str) -> Result<Vec<usize>, CpuListError> {
    let mut cpus = Vec::new();
    for entry in text.split(',').map(str::trim) {
        let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
        let number = |text: &str| {
            let number = text.parse().ok().filter(|cpu| *cpu <= CPU_MAX);
            number.ok_or_else(|| CpuListError::NotACpu(entry.into()))
        };
        let (first, last): (usize, usize) = (number(first)?, number(last)?);
        if first > last {
            return Err(CpuListError::Backwards(entry.into()));
        }
        if cpus.len() + (last - first) >= CORES_MAX {
            return Err(CpuListError::TooMany);
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

/// Writes a list, runs of rising numbers as ranges.
pub fn show_cpu_list(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|a, b| a + 1 == *b);
    let texts = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        one => one[0].to_string(),
    });
    texts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_order_with_repeats() {
        for (text, cpus) in [
            ("0", vec![0]),
            ("0-3,6", vec![0, 1, 2, 3, 6]),
            ("0,1,0,1", vec![0, 1, 0, 1]),
            (" 4 , 2-2", vec![4, 2]),
            ("0-999", (0..1000).collect()),
        ] {
            assert_eq!(parse_cpu_list(text).as_ref(), Ok(&cpus), "{text}");
            assert_eq!(parse_cpu_list(&show_cpu_list(&cpus)), Ok(cpus));
        }
        assert_eq!(show_cpu_list(&[0, 1, 2, 5, 0, 1]), "0-2,5,0-1");
    }

    #[test]
    fn what_is_no_list_says_why() {
        for text in ["", "a", "0,,1", "1-", "-1", "0-3-5", "99999"] {
            assert!(matches!(parse_cpu_list(text), Err(CpuListError::NotACpu(_))), "{text}");
        }
        assert_eq!(parse_cpu_list("3-1"), Err(CpuListError::Backwards("3-1".into())));
        assert_eq!(parse_cpu_list("0-1000"), Err(CpuListError::TooMany));
        assert_eq!(parse_cpu_list("0-600,0-600"), Err(CpuListError::TooMany));
    }
}
