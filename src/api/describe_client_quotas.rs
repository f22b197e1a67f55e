//! DescribeClientQuotas (KIP-546): the quotas of the entities that a filter names.
//!
//! Any core answers from its image.

use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;

use crate::base::ErrorCode;
use crate::cluster::client_quotas::{QuotaEntity, QuotaKind, QuotaLimits, QuotaName};
use crate::cluster::image::MetadataImage;

/// Kafka's entity types, in the order in which answers have them.
const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// What a part of an entity must be.
enum Wanted {
    Exactly(QuotaName),
    Any,
}

/// The parts that a filter names.
#[derive(Default)]
struct Filter {
    user: Option<Wanted>,
    client_id: Option<Wanted>,
    /// Nobody has quotas for addresses here.
    names_ip: bool,
    /// Entities with more parts do not fit.
    is_strict: bool,
}

pub fn handle(image: &MetadataImage, request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
    let answer = DescribeClientQuotasResponse::default().with_error_message(None);
    match filter(&request) {
        Ok(filter) => {
            let found = image.client_quotas.iter().filter(|(entity, _)| filter.fits(entity));
            answer.with_entries(Some(found.map(|(entity, limits)| entry(entity, limits)).collect()))
        }
        Err((error, message)) => {
            answer.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message))).with_entries(None)
        }
    }
}

fn filter(request: &DescribeClientQuotasRequest) -> Result<Filter, (ErrorCode, String)> {
    let mut filter = Filter { is_strict: request.strict, ..Filter::default() };
    for component in &request.components {
        let is_second = match component.entity_type.as_str() {
            USER => filter.user.replace(wanted(component)?).is_some(),
            CLIENT_ID => filter.client_id.replace(wanted(component)?).is_some(),
            IP => {
                wanted(component)?;
                std::mem::replace(&mut filter.names_ip, true)
            }
            "" => return Err((ErrorCode::InvalidRequest, "an entity type is empty; expected user, client-id or ip".into())),
            other => return Err((ErrorCode::UnsupportedVersion, format!("there is no entity type {other:?}"))),
        };
        if is_second {
            let message = format!("the filter names {} twice; name it once", component.entity_type);
            return Err((ErrorCode::InvalidRequest, message));
        }
    }
    if filter.names_ip && (filter.user.is_some() || filter.client_id.is_some()) {
        return Err((ErrorCode::InvalidRequest, "no entity has an ip and a user or a client-id; ask for one of them".into()));
    }
    Ok(filter)
}

fn wanted(component: &ComponentData) -> Result<Wanted, (ErrorCode, String)> {
    match (component.match_type, component._match.as_deref()) {
        (0, Some(name)) => Ok(Wanted::Exactly(QuotaName::Named(name.to_owned()))),
        (1, None) => Ok(Wanted::Exactly(QuotaName::Default)),
        (2, None) => Ok(Wanted::Any),
        (0, None) => Err((ErrorCode::InvalidRequest, "an exact match (0) needs a name".into())),
        (1 | 2, Some(_)) => Err((ErrorCode::InvalidRequest, "only an exact match (0) has a name".into())),
        (other, _) => Err((ErrorCode::InvalidRequest, format!("there is no match type {other}; expected 0, 1 or 2"))),
    }
}

impl Filter {
    fn fits(&self, entity: &QuotaEntity) -> bool {
        let fits = |wanted: &Option<Wanted>, part: &Option<QuotaName>| match (wanted, part) {
            (Some(Wanted::Exactly(name)), Some(part)) => name == part,
            (Some(Wanted::Any), Some(_)) | (None, None) => true,
            (Some(_), None) => false,
            (None, Some(_)) => !self.is_strict,
        };
        !self.names_ip && fits(&self.user, &entity.user) && fits(&self.client_id, &entity.client_id)
    }
}

fn entry(entity: &QuotaEntity, limits: &QuotaLimits) -> EntryData {
    let part = |kind: &'static str, name: &Option<QuotaName>| {
        let name = name.as_ref()?.as_option().map(|name| StrBytes::from_string(name.to_owned()));
        Some(EntityData::default().with_entity_type(StrBytes::from_static_str(kind)).with_entity_name(name))
    };
    let values = QuotaKind::ALL
        .into_iter()
        .filter_map(|kind| Some(ValueData::default().with_key(StrBytes::from_static_str(kind.key())).with_value(limits.of(kind)? as f64)));
    let parts = [part(USER, &entity.user), part(CLIENT_ID, &entity.client_id)];
    EntryData::default().with_entity(parts.into_iter().flatten().collect()).with_values(values.collect())
}
