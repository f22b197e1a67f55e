//! AlterClientQuotas (KIP-546): who may send and fetch how much.
//!
//! Pure. Invariants: an entity changes as a whole or not at all; an entity without a quota is not kept.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Answer, Applied, Refusal};
use crate::base::ErrorCode;
use crate::base::limits::QUOTA_ENTITIES_MAX;
use crate::cluster::client_quotas::{QuotaEntity, QuotaKind, QuotaLimits, QuotaName};
use crate::cluster::image::MetadataImage;

/// What a request says of one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaAlteration {
    /// Type and name as they came; no name stands for the default.
    pub entity: Vec<(String, Option<String>)>,
    /// Key and value; no value takes the quota away.
    pub operations: Vec<(String, Option<f64>)>,
}

/// What Kafka limits and we do not, and why not.
const NOT_HERE: &[(&str, &str)] = &[
    ("request_percentage", "the time that requests take is not accounted to clients here"),
    ("controller_mutation_rate", "changes of topics are not limited here"),
    ("connection_creation_rate", "new connections are not limited here"),
];

pub(super) fn alter(image: &MetadataImage, alterations: Vec<QuotaAlteration>, validate_only: bool) -> Applied {
    let mut next = image.clone();
    let mut seen = HashSet::new();
    let results = alterations.iter().map(|alteration| alter_one(&mut next, alteration, &mut seen)).collect();
    match validate_only {
        true => Applied::unchanged(image, Answer::ClientQuotas(results)),
        false => Applied { image: next, effects: Vec::new(), answer: Answer::ClientQuotas(results) },
    }
}

fn alter_one(image: &mut MetadataImage, alteration: &QuotaAlteration, seen: &mut HashSet<QuotaEntity>) -> Result<(), Refusal> {
    let entity = entity(&alteration.entity)?;
    if !seen.insert(entity.clone()) {
        return Err(invalid("the entity stands twice in the request; name it once"));
    }
    let before = image.client_quotas.get(&entity).copied().unwrap_or_default();
    let limits = changed(before, &alteration.operations)?;
    if limits == before {
        return Ok(());
    }
    if !image.client_quotas.contains_key(&entity) && image.client_quotas.len() >= QUOTA_ENTITIES_MAX {
        let message = format!("{QUOTA_ENTITIES_MAX} entities have quotas already; take some away, or use defaults");
        return Err(Refusal::new(ErrorCode::PolicyViolation, message));
    }
    let quotas = Arc::make_mut(&mut image.client_quotas);
    match limits.is_empty() {
        true => drop(quotas.remove(&entity)),
        false => drop(quotas.insert(entity, limits)),
    }
    Ok(())
}

fn entity(parts: &[(String, Option<String>)]) -> Result<QuotaEntity, Refusal> {
    let mut entity = QuotaEntity::default();
    for (kind, name) in parts {
        let place = match kind.as_str() {
            "user" => &mut entity.user,
            "client-id" => &mut entity.client_id,
            "ip" => return Err(invalid("new connections are not limited here, so an ip has no quotas; users and client ids have")),
            other => return Err(invalid(format!("there is no entity type {other:?}; expected user or client-id"))),
        };
        if name.as_ref().is_some_and(String::is_empty) {
            return Err(invalid(format!("the name of a {kind} is empty; a null name stands for the default")));
        }
        if place.replace(QuotaName::new(name.as_deref())).is_some() {
            return Err(invalid(format!("the entity has two parts of type {kind}; expected one")));
        }
    }
    match entity == QuotaEntity::default() {
        true => Err(invalid("the entity is empty; expected a user, a client-id or both")),
        false => Ok(entity),
    }
}

fn changed(mut limits: QuotaLimits, operations: &[(String, Option<f64>)]) -> Result<QuotaLimits, Refusal> {
    let mut seen = HashSet::new();
    for (key, value) in operations {
        if !seen.insert(key) {
            return Err(invalid(format!("{key} stands twice for one entity; name it once")));
        }
        let Some(kind) = QuotaKind::ALL.into_iter().find(|kind| kind.key() == key) else {
            match NOT_HERE.iter().find(|(name, _)| name == key) {
                // There is none to take away.
                Some(_) if value.is_none() => continue,
                Some((name, reason)) => return Err(invalid(format!("{name} cannot be set: {reason}"))),
                None => return Err(invalid(format!("there is no quota {key:?}; expected producer_byte_rate or consumer_byte_rate"))),
            }
        };
        *limits.of_mut(kind) = value.map(|value| rate(key, value)).transpose()?;
    }
    Ok(limits)
}

/// As in Kafka: a whole number above 0. A double holds every one up to 2^53; what lies above is no limit to anybody.
fn rate(key: &str, value: f64) -> Result<i64, Refusal> {
    let is_whole = value.is_finite() && (value % 1.0).abs() <= 1e-6;
    match is_whole && value >= 1.0 && value <= i64::MAX as f64 {
        true => Ok(value as i64),
        false => Err(invalid(format!("{key}: expected a whole number of bytes per second above 0, not {value}"))),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::broker_config::BrokerConfig;
    use crate::cluster::controller::{Command, apply};
    use crate::cluster::image::NodeId;

    fn alteration(entity: &[(&str, Option<&str>)], operations: &[(&str, Option<f64>)]) -> QuotaAlteration {
        QuotaAlteration {
            entity: entity.iter().map(|(kind, name)| (kind.to_string(), name.map(String::from))).collect(),
            operations: operations.iter().map(|(key, value)| (key.to_string(), *value)).collect(),
        }
    }

    fn alter(image: &MetadataImage, alterations: Vec<QuotaAlteration>, validate_only: bool) -> (MetadataImage, Vec<Result<(), Refusal>>) {
        let command = Command::AlterClientQuotas { alterations, validate_only };
        let applied = apply(image, &BrokerConfig::default(), command).unwrap();
        assert!(applied.effects.is_empty());
        let Answer::ClientQuotas(results) = applied.answer else { panic!("quotas are answered with quotas") };
        (applied.image, results)
    }

    fn image() -> MetadataImage {
        MetadataImage::empty("test", NodeId(1))
    }

    #[test]
    fn quotas_come_change_and_go() {
        let app = [("client-id", Some("app"))];
        let both = alteration(&app, &[("producer_byte_rate", Some(1000.0)), ("consumer_byte_rate", Some(5e9))]);
        let (image, results) = alter(&image(), vec![both.clone()], false);
        let entity = QuotaEntity { user: None, client_id: Some(QuotaName::Named("app".into())) };
        let limits = QuotaLimits { producer_byte_rate: Some(1000), consumer_byte_rate: Some(5_000_000_000) };
        assert_eq!((image.client_quotas.get(&entity), &results[..]), (Some(&limits), &[Ok(())][..]));

        let (same, _) = alter(&image, vec![both], false);
        assert_eq!(same, image, "nothing changed, not even the version");
        let take_away = |key| alteration(&app, &[(key, None)]);
        let (checked, results) = alter(&image, vec![take_away("producer_byte_rate")], true);
        assert_eq!((checked, results), (image.clone(), vec![Ok(())]));
        let (image, _) = alter(&image, vec![take_away("producer_byte_rate")], false);
        assert_eq!(image.client_quotas.get(&entity).unwrap().producer_byte_rate, None);
        let (image, results) = alter(&image, vec![take_away("consumer_byte_rate"), take_away("request_percentage")], false);
        assert!(image.client_quotas.is_empty() && results[1].is_err());
        let (_, results) = alter(&image, vec![take_away("request_percentage")], false);
        assert_eq!(results, [Ok(())]);
    }

    #[test]
    fn an_entity_that_is_refused_leaves_the_others_alone() {
        let good = [("producer_byte_rate", Some(1.0))];
        let user_and_client = [("user", None), ("client-id", None)];
        let wrong: Vec<QuotaAlteration> = vec![
            alteration(&[], &good),
            alteration(&[("ip", Some("127.0.0.1"))], &good),
            alteration(&[("group", None)], &good),
            alteration(&[("user", Some(""))], &good),
            alteration(&[("user", None), ("user", Some("a"))], &good),
            alteration(&[("user", None)], &[("producer_byte_rate", Some(1.0)), ("producer_byte_rate", None)]),
            alteration(&[("user", None)], &[("producer_byte_rate", Some(1.0)), ("speed", Some(1.0))]),
            alteration(&user_and_client, &good),
        ];
        let values = [0.0, -1.0, 0.5, 1.5, f64::NAN, f64::INFINITY, 1e19];
        let names: Vec<String> = values.iter().map(|value| format!("{value}")).collect();
        let odd = values
            .iter()
            .zip(&names)
            .map(|(value, name)| alteration(&[("client-id", Some(name))], &[("consumer_byte_rate", Some(*value))]));
        let unsupported = NOT_HERE.iter().map(|(key, _)| alteration(&[("client-id", Some(key))], &[(key, Some(1.0))]));
        let alterations = [alteration(&user_and_client, &good)].into_iter().chain(wrong).chain(odd).chain(unsupported);
        let (image, results) = alter(&image(), alterations.collect(), false);
        assert_eq!(image.client_quotas.len(), 1);
        assert!(results[0].is_ok());
        for result in &results[1..] {
            assert_eq!(result.as_ref().unwrap_err().error_code, ErrorCode::InvalidRequest, "{result:?}");
        }
    }

    #[test]
    fn entities_are_bounded() {
        let one = |client: usize| alteration(&[("client-id", Some(&client.to_string()))], &[("producer_byte_rate", Some(1.0))]);
        let (image, results) = alter(&image(), (0..=QUOTA_ENTITIES_MAX).map(one).collect(), false);
        assert_eq!(image.client_quotas.len(), QUOTA_ENTITIES_MAX);
        assert_eq!(results.last().unwrap().as_ref().unwrap_err().error_code, ErrorCode::PolicyViolation);
    }
}
