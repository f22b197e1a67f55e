//! Files read or written from front to back, by tools: journals, reports, settings.
//!
//! Blocking; never on a core.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// Makes a file, or empties the one that is there. What is written is buffered: flush at the end.
pub fn create(path: &Path) -> io::Result<impl Write + use<>> {
    File::create(path).map(BufWriter::new)
}

/// Opens a file for reading.
pub fn open(path: &Path) -> io::Result<impl BufRead + use<>> {
    File::open(path).map(BufReader::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let path = std::env::temp_dir().join(format!("pagewire-stream-{}", std::process::id()));
        let mut file = create(&path).unwrap();
        file.write_all(b"one\ntwo\n").unwrap();
        file.flush().unwrap();
        let lines: Vec<String> = open(&path).unwrap().lines().map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two"]);
        std::fs::remove_file(path).unwrap();
    }
}
