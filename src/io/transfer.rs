//! The ways in which a range of a file can go to a socket: a setting.
//!
//! Invariant: every way sends the same bytes.

use std::fmt;

/// How ranges of files are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// Ranges below 32 KiB are copied, larger ones go by sendfile(2), and pieces of 256 KiB and more by splice(2), as below.
    #[default]
    Auto,
    /// sendfile(2) for every range, however small.
    Sendfile,
    /// splice(2) for every range, through a pipe of the core; by sendfile where the host gives no pipe, and to sockets that were full.
    Splice,
    /// Read into memory and written: the most CPU, and no surprise on any file system.
    Copy,
}

impl Transfer {
    pub const ALL: [Transfer; 4] = [Transfer::Auto, Transfer::Sendfile, Transfer::Splice, Transfer::Copy];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Transfer::Auto => "auto",
            Transfer::Sendfile => "sendfile",
            Transfer::Splice => "splice",
            Transfer::Copy => "copy",
        }
    }

    pub fn parse(name: &str) -> Option<Transfer> {
        Transfer::ALL.into_iter().find(|transfer| transfer.name() == name)
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for transfer in Transfer::ALL {
            assert_eq!(Transfer::parse(&transfer.to_string()), Some(transfer));
        }
        assert_eq!(Transfer::parse("carrier-pigeon"), None);
    }
}
