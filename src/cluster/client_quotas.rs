//! Client quotas (KIP-13, KIP-546): who may send and fetch how many bytes per second.
//!
//! Pure, any thread. Nobody authenticates here, so every client is the user `ANONYMOUS`; quotas of other users are kept and limit nobody.
//!
//! Invariant: of all entities that fit a client the most special one with a rate of that kind counts, and no other.

use std::collections::{BTreeMap, HashMap};

/// Kafka's name for who has not said who he is.
pub const ANONYMOUS: &str = "ANONYMOUS";

/// Every entity with a quota.
pub type ClientQuotas = BTreeMap<QuotaEntity, QuotaLimits>;

/// A name, or all that have no entity of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaName {
    Default,
    Named(String),
}

impl QuotaName {
    /// As Kafka's messages have it: no name is the default.
    pub fn new(name: Option<&str>) -> QuotaName {
        name.map_or(QuotaName::Default, |name| QuotaName::Named(name.to_owned()))
    }

    pub fn as_option(&self) -> Option<&str> {
        match self {
            QuotaName::Default => None,
            QuotaName::Named(name) => Some(name),
        }
    }
}

/// Who is limited: a user, a client id, or a client id of a user. At least one of them is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaEntity {
    pub user: Option<QuotaName>,
    pub client_id: Option<QuotaName>,
}

/// Bytes per second, each above 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    pub producer_byte_rate: Option<i64>,
    pub consumer_byte_rate: Option<i64>,
}

impl QuotaLimits {
    pub fn is_empty(&self) -> bool {
        self.of(QuotaKind::Produce).is_none() && self.of(QuotaKind::Fetch).is_none()
    }

    pub fn of(&self, kind: QuotaKind) -> Option<i64> {
        match kind {
            QuotaKind::Produce => self.producer_byte_rate,
            QuotaKind::Fetch => self.consumer_byte_rate,
        }
    }

    pub fn of_mut(&mut self, kind: QuotaKind) -> &mut Option<i64> {
        match kind {
            QuotaKind::Produce => &mut self.producer_byte_rate,
            QuotaKind::Fetch => &mut self.consumer_byte_rate,
        }
    }
}

/// Which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaKind {
    Produce,
    Fetch,
}

impl QuotaKind {
    pub const ALL: [QuotaKind; 2] = [QuotaKind::Produce, QuotaKind::Fetch];

    /// Kafka's key.
    pub fn key(self) -> &'static str {
        match self {
            QuotaKind::Produce => "producer_byte_rate",
            QuotaKind::Fetch => "consumer_byte_rate",
        }
    }
}

/// What counts for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaRule {
    pub bytes_per_second: i64,
    /// All clients of the user together have it, not each client id.
    pub is_shared: bool,
}

/// The rules of one kind, looked up once so that a request finds its own in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRules {
    by_client_id: HashMap<String, QuotaRule>,
    others: Option<QuotaRule>,
}

impl QuotaRules {
    pub fn new(quotas: &ClientQuotas, kind: QuotaKind) -> QuotaRules {
        let named = quotas.keys().filter_map(|entity| entity.client_id.as_ref()?.as_option());
        let rule = |name: &str| Some((name.to_owned(), rule_of(quotas, kind, Some(name))?));
        QuotaRules { by_client_id: named.filter_map(rule).collect(), others: rule_of(quotas, kind, None) }
    }

    pub fn is_empty(&self) -> bool {
        self.others.is_none() && self.by_client_id.is_empty()
    }

    /// What limits this client, if anything. One that names no id is one of the others.
    pub fn of(&self, client_id: &str) -> Option<QuotaRule> {
        match self.by_client_id.is_empty() {
            true => self.others,
            false => self.by_client_id.get(client_id).copied().or(self.others),
        }
    }
}

/// Kafka's order, from the most special entity down. `client_id`: `None` stands for any that no entity names.
fn rule_of(quotas: &ClientQuotas, kind: QuotaKind, client_id: Option<&str>) -> Option<QuotaRule> {
    let user = || Some(QuotaName::Named(ANONYMOUS.into()));
    let users = [user(), Some(QuotaName::Default), None];
    let rate = |user: &Option<QuotaName>, client_id: Option<QuotaName>| {
        quotas.get(&QuotaEntity { user: user.clone(), client_id }).and_then(|limits| limits.of(kind))
    };
    users.iter().find_map(|user| {
        let own = client_id.and_then(|name| rate(user, Some(QuotaName::Named(name.into()))));
        let of_client = own.or_else(|| rate(user, Some(QuotaName::Default)));
        let of_user = || user.is_some().then(|| rate(user, None)).flatten();
        let each = of_client.map(|bytes_per_second| QuotaRule { bytes_per_second, is_shared: false });
        each.or_else(|| of_user().map(|bytes_per_second| QuotaRule { bytes_per_second, is_shared: true }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(user: Option<Option<&str>>, client_id: Option<Option<&str>>) -> QuotaEntity {
        QuotaEntity { user: user.map(QuotaName::new), client_id: client_id.map(QuotaName::new) }
    }

    #[test]
    fn the_most_special_entity_counts() {
        const USER: Option<Option<&str>> = Some(Some(ANONYMOUS));
        const ANY: Option<Option<&str>> = Some(None);
        const APP: Option<Option<&str>> = Some(Some("app"));
        // Kafka's order; the last column: all clients of the user share it.
        let order = [
            (USER, APP, false),
            (USER, ANY, false),
            (USER, None, true),
            (ANY, APP, false),
            (ANY, ANY, false),
            (ANY, None, true),
            (None, APP, false),
            (None, ANY, false),
        ];
        let mut quotas = ClientQuotas::new();
        // From the least special one on, each takes over, and only for its own kind.
        for (rate, (user, client_id, is_shared)) in order.into_iter().rev().enumerate() {
            let bytes_per_second = rate as i64 + 1;
            let limits = QuotaLimits { producer_byte_rate: Some(bytes_per_second), consumer_byte_rate: None };
            quotas.insert(entity(user, client_id), limits);
            let rules = QuotaRules::new(&quotas, QuotaKind::Produce);
            assert_eq!(rules.of("app"), Some(QuotaRule { bytes_per_second, is_shared }), "{user:?} {client_id:?}");
            assert!(QuotaRules::new(&quotas, QuotaKind::Fetch).is_empty());
            let others = order.iter().rev().take(rate + 1).rposition(|(_, client_id, _)| *client_id != APP);
            assert_eq!(rules.of("other").map(|rule| rule.bytes_per_second), others.map(|rate| rate as i64 + 1));
        }
    }

    #[test]
    fn other_users_are_nobody_here() {
        let limits = QuotaLimits { producer_byte_rate: Some(1), consumer_byte_rate: Some(1) };
        let quotas =
            ClientQuotas::from([(entity(Some(Some("alice")), None), limits), (entity(Some(Some("bob")), Some(Some("app"))), limits)]);
        for kind in QuotaKind::ALL {
            assert_eq!(QuotaRules::new(&quotas, kind).of("app"), None);
        }
    }
}
