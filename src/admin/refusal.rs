//! Why an admin command came to nothing, in words for the one who typed it.
//!
//! Main thread. Invariant: every refusal by a broker keeps its error code, in the message and as a number.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use crate::base::ErrorCode;
use crate::net::client::ClientError;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = ErrorCode::UnknownTopicOrPartition.code();
const NON_EMPTY_GROUP: i16 = ErrorCode::NonEmptyGroup.code();
const GROUP_ID_NOT_FOUND: i16 = ErrorCode::GroupIdNotFound.code();
/// What passes by itself.
const TRANSIENT: [ErrorCode; 5] = [
    ErrorCode::LeaderNotAvailable,
    ErrorCode::NotLeaderOrFollower,
    ErrorCode::CoordinatorLoadInProgress,
    ErrorCode::CoordinatorNotAvailable,
    ErrorCode::NotCoordinator,
];

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
        self.code().is_some_and(|code| TRANSIENT.iter().any(|transient| transient.code() == code))
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
        NON_EMPTY_GROUP => "the group has members; stop them first".into(),
        GROUP_ID_NOT_FOUND => "there is no such group".into(),
        code => ResponseError::try_from_code(code).map_or("unknown error".into(), |error| error.to_string()),
    };
    let message = message.filter(|message| !message.is_empty()).map_or(known, |message| message.to_string());
    Err(AdminError::Refused { name: name.into(), code, message })
}

/// What was done by a command that goes on after a refusal.
///
/// # Errors
/// [`AdminError::Several`] if anything was refused; what was done all the same stands last.
pub fn done_or_refused(done: Vec<String>, mut refused: Vec<AdminError>) -> Result<Vec<String>, AdminError> {
    if refused.is_empty() {
        return Ok(done);
    }
    if !done.is_empty() {
        refused.push(AdminError::Declined(format!("done: {}", done.join(", "))));
    }
    Err(AdminError::Several(refused))
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
    fn what_was_done_beside_a_refusal_is_told() {
        let refused = || vec![check("b", 3, None).unwrap_err()];
        assert_eq!(done_or_refused(vec!["a".into()], Vec::new()).unwrap(), ["a"]);
        assert_eq!(done_or_refused(Vec::new(), refused()).unwrap_err().to_string(), "b: there is no such topic (error 3)");
        let both = done_or_refused(vec!["a".into(), "c".into()], refused()).unwrap_err();
        assert_eq!(both.to_string(), "b: there is no such topic (error 3)\ndone: a, c");
    }

    #[test]
    fn only_what_passes_by_itself_is_asked_again() {
        assert!(check("g", 16, None).unwrap_err().is_transient());
        assert!(!check("g", 69, None).unwrap_err().is_transient());
        assert!(!AdminError::Declined("no".into()).is_transient());
    }
}
