//! All turns that one page tells of: what came out, where, and by which command lines.

use std::time::{SystemTime, UNIX_EPOCH};

use super::machine::Machine;
use crate::sample::{OtherProgram, Results};

/// See the module.
pub struct Measured {
    /// Milliseconds since 1970-01-01 UTC at the end of the last turn.
    pub finished_wall_ms: i64,
    /// The command lines, the program's own name first, as a shell would run one after the other.
    pub arguments: Vec<String>,
    pub environment: Machine,
    /// Thousandths of each row's size.
    pub size: u64,
    pub results: Results,
}

/// Why two measurements are not one.
#[derive(Debug, thiserror::Error)]
pub enum NotOne {
    #[error("the turns are from different machines ({0}; {1}): only what one machine measured can stand on one page")]
    Machine(String, String),
    #[error("the turns are of different sizes ({0} and {1} thousandths): only turns of one size can stand on one page")]
    Size(u64, u64),
    #[error(transparent)]
    Program(#[from] OtherProgram),
}

impl Measured {
    /// Nothing yet: on this machine, by this process's command line, in `size` thousandths.
    pub fn nothing_yet(size: u64) -> Measured {
        let arguments = std::env::args().collect();
        Measured { finished_wall_ms: 0, arguments, environment: Machine::here(), size, results: Results::default() }
    }

    /// Now was the end of the last turn.
    pub fn finished_now(&mut self) {
        self.finished_wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    }

    /// The rows of both; the turns of `later` follow, as [`Results::join`] has it.
    ///
    /// # Errors
    /// They are of two machines, two sizes, or two builds of what was measured in the same row.
    pub fn join(self, later: Measured) -> Result<Measured, NotOne> {
        if self.environment != later.environment {
            return Err(NotOne::Machine(self.environment.in_words(), later.environment.in_words()));
        }
        if self.size != later.size {
            return Err(NotOne::Size(self.size, later.size));
        }
        Ok(Measured {
            finished_wall_ms: self.finished_wall_ms.max(later.finished_wall_ms),
            arguments: [self.arguments, vec![";".to_owned()], later.arguments].concat(),
            environment: self.environment,
            size: self.size,
            results: self.results.join(later.results)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::Contestant;
    use crate::sample::Sample;
    use crate::work::Row;

    fn of_row(row: Row, finished_wall_ms: i64) -> Measured {
        let mut results = Results::default();
        results.add(row, Contestant::Pagewire, 1, "1", Sample::default()).unwrap();
        let arguments = vec!["compare".into(), row.name().into()];
        Measured { finished_wall_ms, arguments, environment: Machine::default(), size: 1000, results }
    }

    #[test]
    fn what_was_measured_apart_stands_on_one_page() {
        let joined = of_row(Row::Echo, 7).join(of_row(Row::Start, 5)).unwrap().join(of_row(Row::Echo, 6)).unwrap();
        assert_eq!((joined.results.last_turn(Row::Echo), joined.results.last_turn(Row::Start), joined.finished_wall_ms), (2, 1, 7));
        assert_eq!(joined.arguments.join(" "), "compare echo ; compare start ; compare echo");
        let quick = Measured { size: 50, ..of_row(Row::Serve1M, 8) };
        assert!(matches!(of_row(Row::Echo, 7).join(quick), Err(NotOne::Size(1000, 50))));
        let mut elsewhere = of_row(Row::ScaleBase, 9);
        elsewhere.environment.kernel = "5.10".into();
        assert!(matches!(joined.join(elsewhere), Err(NotOne::Machine(..))));
    }
}
