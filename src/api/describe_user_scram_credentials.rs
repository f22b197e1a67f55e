//! DescribeUserScramCredentials (KIP-554): nobody has any, because this broker authenticates nobody.
//!
//! Any core answers. The request is served, and AlterUserScramCredentials is not, so that tools which show all there is to know of users come to an end.

use std::collections::HashMap;

use kafka_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::distinct::distinct;
use crate::base::ErrorCode;

/// As Kafka: no users, or an empty list of them, asks for all. Whoever is named has a line, and who is named twice an error of its own.
pub fn answer(request: DescribeUserScramCredentialsRequest) -> DescribeUserScramCredentialsResponse {
    let users: Vec<StrBytes> = request.users.into_iter().flatten().map(|user| user.name).collect();
    let mut times: HashMap<StrBytes, usize> = HashMap::new();
    users.iter().for_each(|user| *times.entry(user.clone()).or_default() += 1);
    let results = distinct(users, StrBytes::clone).into_iter().map(|user| {
        let (error, message) = match times[&user] {
            1 => (ErrorCode::ResourceNotFound, format!("user {:?} has no SCRAM credentials; this broker keeps none", user.as_str())),
            _ => (ErrorCode::DuplicateResource, format!("user {:?} is named more than once; name each user once", user.as_str())),
        };
        DescribeUserScramCredentialsResult::default()
            .with_user(user)
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(message)))
    });
    DescribeUserScramCredentialsResponse::default().with_error_message(None).with_results(results.collect())
}
