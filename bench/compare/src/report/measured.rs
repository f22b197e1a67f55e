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
    pub results: Results,
}

/// Why two measurements are not one.
#[derive(Debug, thiserror::Error)]
pub enum NotOne {
    #[error("the turns are from different machines ({0}; {1}): only what one machine measured can stand on one page")]
    Machine(String, String),
    #[error(transparent)]
    Program(#[from] OtherProgram),
}

impl Measured {
    /// Nothing yet: on this machine, by this process's command line.
    pub fn nothing_yet() -> Measured {
        Measured { finished_wall_ms: 0, arguments: std::env::args().collect(), environment: Machine::here(), results: Results::default() }
    }

    /// Now was the end of the last turn.
    pub fn finished_now(&mut self) {
        self.finished_wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    }

    /// The rows of both; in a row that both have, the turns of `later` follow.
    ///
    /// # Errors
    /// They are of two machines, or of two builds of what was measured in the same row.
    pub fn join(self, later: Measured) -> Result<Measured, NotOne> {
        if self.environment != later.environment {
            return Err(NotOne::Machine(self.environment.in_words(), later.environment.in_words()));
        }
        Ok(Measured {
            finished_wall_ms: self.finished_wall_ms.max(later.finished_wall_ms),
            arguments: [self.arguments, vec![";".to_owned()], later.arguments].concat(),
            environment: self.environment,
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
        Measured { finished_wall_ms, arguments: vec!["compare".into(), row.name().into()], environment: Machine::default(), results }
    }

    #[test]
    fn what_was_measured_apart_stands_on_one_page() {
        let joined = of_row(Row::Echo, 7).join(of_row(Row::Start, 5)).unwrap().join(of_row(Row::Echo, 6)).unwrap();
        assert_eq!((joined.results.last_turn(Row::Echo), joined.results.last_turn(Row::Start), joined.finished_wall_ms), (2, 1, 7));
        assert_eq!(joined.arguments.join(" "), "compare echo ; compare start ; compare echo");
        let mut elsewhere = of_row(Row::ScaleBase, 9);
        elsewhere.environment.kernel = "5.10".into();
        assert!(matches!(joined.join(elsewhere), Err(NotOne::Machine(..))));
    }
}
