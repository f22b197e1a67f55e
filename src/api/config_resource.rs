//! Whose settings a request is about, as Kafka numbers and names it.
//!
//! Pure.

use crate::base::{BrokerId, ErrorCode};
use crate::cluster::controller::{ConfigResource, Refusal};

/// Kafka's resource types (`ConfigResource.Type`).
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// Reads a resource.
///
/// # Errors
/// `InvalidRequest` for one that has no settings here, with what to do instead.
pub fn parse(resource_type: i8, name: &str) -> Result<ConfigResource, Refusal> {
    let refused = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    match resource_type {
        TOPIC if name.is_empty() => refused("topics have no common settings; set the broker settings that give them their defaults".into()),
        TOPIC => Ok(ConfigResource::Topic(name.to_owned())),
        BROKER if name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER => match name.parse() {
            Ok(id) => Ok(ConfigResource::Broker(Some(BrokerId(id)))),
            Err(_) => refused(format!("a broker is named by its number, not {name:?}; Metadata lists the brokers")),
        },
        BROKER_LOGGER => {
            refused("log levels are given at the start, with --log-level; they cannot be changed while the broker runs".into())
        }
        CLIENT_METRICS => refused("clients are not asked for their metrics here, so there is nothing to set".into()),
        GROUP => refused("groups have no settings of their own here; the broker's group settings count for all".into()),
        other => refused(format!("resource type {other} has no settings here; topics (2) and brokers (4) have")),
    }
}
