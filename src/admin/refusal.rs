//! Why an admin command came to nothing, in words for the one who typed it.
//!
//! Main thread. Invariant: every refusal by a broker keeps its error code, in the message and as a number.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use crate::net::client::ClientError;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
/// LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
const TRANSIENT: [i16; 5] = [5, 6, 14, 15, 16];

/// Why an admin command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The broker says no. `name` is the topic, group or whatever it concerns.
    #[error("{name}: {message} (error {code})")]
    Refused { name: String, code: i16, message: String },
    /// This command says no, without having asked for the change.
    #[error("{0}")]
    Declined(String),
    /// Some of what was asked for failed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<AdminError>),
}

impl AdminError {
    /// The broker's error code, if it was the broker who refused.
    pub fn code(&self) -> Option<i16> {
        match self {
            AdminError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same question may find another answer a moment later.
    pub fn is_transient(&self) -> bool {
        self.code().is_some_and(|code| TRANSIENT.contains(&code))
    }
}

/// Turns an error code of an answer into an error, with the broker's own words where it sent some.
///
/// # Errors
/// [`AdminError::Refused`] for every code but 0.
pub fn check(name: &str, code: i16, message: Option<&StrBytes>) -> Result<(), AdminError> {
    if code == 0 {
        return Ok(());
    }
    let known = match code {
        UNKNOWN_TOPIC_OR_PARTITION => "there is no such topic".into(),
        code => ResponseError::try_from_code(code).map_or("unknown error".into(), |error| error.to_string()),
    };
    let message = message.filter(|message| !message.is_empty()).map_or(known, |message| message.to_string());
    Err(AdminError::Refused { name: name.into(), code, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_carry_the_brokers_words_or_kafkas() {
        assert!(check("t", 0, None).is_ok());
        let own = check("t", 40, Some(&StrBytes::from_static_str("no such setting"))).unwrap_err();
        assert_eq!(own.to_string(), "t: no such setting (error 40)");
        assert!(check("t", 36, None).unwrap_err().to_string().contains("(error 36)"));
        assert!(check("t", 12_345, None).unwrap_err().to_string().contains("(error 12345)"));
    }

    #[test]
    fn only_what_passes_by_itself_is_asked_again() {
        assert!(check("g", 16, None).unwrap_err().is_transient());
        assert!(!check("g", 69, None).unwrap_err().is_transient());
        assert!(!AdminError::Declined("no".into()).is_transient());
    }
}
