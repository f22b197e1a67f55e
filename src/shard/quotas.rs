//! Client quotas on one core: counts what limited clients use, tells the other cores, and says how long a client has to be silent.
//!
//! Lives on the core. A client's connections may be on every core, and its quota is the node's: each core counts its own bytes at once and hears of the others'
//! a moment later, so that all of them measure the same sum. Invariants: a client without a quota costs one look at a flag; what a core has used is told to
//! each other core once; at most one telling for each [`QUOTA_EXCHANGE_MS`]; at most [`QUOTA_CLIENTS_MAX`] clients are told apart, the rest share
//! one account.

mod meter;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::CoreId;
use crate::base::limits::{QUOTA_CLIENTS_MAX, QUOTA_EXCHANGE_MS};
use crate::cluster::client_quotas::{ClientQuotas, QuotaKind, QuotaRule, QuotaRules};
use crate::io::clock;
use crate::io::glommio::{sleep, spawn};
use crate::shard::{Shard, counters};
use meter::Meter;

/// The quotas in force and what was used of them.
pub struct Quotas {
    produce: KindOfQuota,
    fetch: KindOfQuota,
    /// Accounts with bytes that the other cores have not heard of.
    unsent: RefCell<Vec<Rc<Account>>>,
    telling_is_due: Cell<bool>,
}

struct KindOfQuota {
    is_any: Cell<bool>,
    rules: RefCell<QuotaRules>,
    accounts: RefCell<HashMap<Arc<str>, Rc<Account>>>,
    /// Of the rules that all clients share.
    shared: Rc<Account>,
    /// When the accounts were last looked through for idle ones: with all of them in use, not every request of an unknown client looks.
    swept_ms: Cell<i64>,
}

/// What one client used, or several that share a quota.
struct Account {
    kind: QuotaKind,
    /// `None`: shared.
    client_id: Option<Arc<str>>,
    meter: RefCell<Meter>,
    unsent_bytes: Cell<u64>,
}

/// One limited client, for one request.
pub struct LimitedClient {
    account: Rc<Account>,
    bytes_per_second: i64,
}

/// Bytes that one core tells the others of.
type Told = Vec<(QuotaKind, Option<Arc<str>>, u64)>;

impl Quotas {
    pub(super) fn new(quotas: &ClientQuotas) -> Quotas {
        let made = Quotas {
            produce: KindOfQuota::new(QuotaKind::Produce),
            fetch: KindOfQuota::new(QuotaKind::Fetch),
            unsent: RefCell::default(),
            telling_is_due: Cell::new(false),
        };
        made.set(quotas);
        made
    }

    /// Takes over the quotas of a new image. What was used counts on.
    pub(super) fn set(&self, quotas: &ClientQuotas) {
        for kind in QuotaKind::ALL {
            self.of(kind).set(QuotaRules::new(quotas, kind));
        }
    }

    fn of(&self, kind: QuotaKind) -> &KindOfQuota {
        match kind {
            QuotaKind::Produce => &self.produce,
            QuotaKind::Fetch => &self.fetch,
        }
    }

    /// The account of a client, if something limits it.
    #[inline]
    pub fn client(&self, kind: QuotaKind, client_id: Option<&str>) -> Option<LimitedClient> {
        let quota = self.of(kind);
        if !quota.is_any.get() {
            return None;
        }
        quota.client(client_id.unwrap_or_default())
    }
}

impl KindOfQuota {
    fn new(kind: QuotaKind) -> KindOfQuota {
        let shared = Rc::new(Account { kind, client_id: None, meter: RefCell::default(), unsent_bytes: Cell::new(0) });
        let swept_ms = Cell::new(i64::MIN);
        KindOfQuota { is_any: Cell::new(false), rules: RefCell::default(), accounts: RefCell::default(), shared, swept_ms }
    }

    fn set(&self, rules: QuotaRules) {
        if *self.rules.borrow() == rules {
            return;
        }
        self.is_any.set(!rules.is_empty());
        self.accounts.borrow_mut().retain(|client_id, _| rules.of(client_id).is_some_and(|rule| !rule.is_shared));
        *self.rules.borrow_mut() = rules;
    }

    fn client(&self, client_id: &str) -> Option<LimitedClient> {
        let QuotaRule { bytes_per_second, is_shared } = self.rules.borrow().of(client_id)?;
        let account = if is_shared { self.shared.clone() } else { self.account(client_id) };
        Some(LimitedClient { account, bytes_per_second })
    }

    fn account(&self, client_id: &str) -> Rc<Account> {
        let mut accounts = self.accounts.borrow_mut();
        if let Some(account) = accounts.get(client_id) {
            return account.clone();
        }
        if accounts.len() >= QUOTA_CLIENTS_MAX {
            let now_ms = now_ms();
            if now_ms >= self.swept_ms.get().saturating_add(QUOTA_EXCHANGE_MS as i64) {
                self.swept_ms.set(now_ms);
                accounts.retain(|_, account| !account.meter.borrow().is_idle(now_ms));
            }
            if accounts.len() >= QUOTA_CLIENTS_MAX {
                return self.shared.clone();
            }
        }
        let client_id: Arc<str> = client_id.into();
        let kind = self.shared.kind;
        let account = Account { kind, client_id: Some(client_id.clone()), meter: RefCell::default(), unsent_bytes: Cell::new(0) };
        let account = Rc::new(account);
        accounts.insert(client_id, account.clone());
        account
    }
}

impl LimitedClient {
    /// The most that one answer may carry without being too much in any case.
    pub fn bytes_max(&self) -> usize {
        usize::try_from(self.bytes_per_second.saturating_mul(meter::MEMORY_MS / 1000 - 1)).unwrap_or(usize::MAX)
    }

    /// How long the client would have to be silent after `bytes` more; 0 if nothing counts any more: however large a batch is, its reader gets it some day.
    pub fn would_throttle_ms(&self, bytes: usize) -> i32 {
        let mut meter = self.account.meter.borrow_mut();
        let now_ms = now_ms();
        if meter.is_idle(now_ms) { 0 } else { bounded(meter.throttle_ms(bytes as u64, self.bytes_per_second, now_ms)) }
    }

    /// Counts bytes, and says how long the client has to be silent now.
    pub fn record(&self, shard: &Rc<Shard>, bytes: usize) -> i32 {
        let throttle_ms = {
            let mut meter = self.account.meter.borrow_mut();
            let now_ms = now_ms();
            meter.record(bytes as u64, now_ms);
            bounded(meter.throttle_ms(0, self.bytes_per_second, now_ms))
        };
        shard.tell_of_usage(&self.account, bytes as u64);
        throttle_ms
    }
}

impl Shard {
    /// Notes that a request was answered with a time to be silent.
    pub fn count_throttle(&self, throttle_ms: i32) {
        counters::add(&self.counters.requests_throttled, 1);
        counters::add(&self.counters.throttle_ms, throttle_ms as u64);
    }

    fn tell_of_usage(self: &Rc<Self>, account: &Rc<Account>, bytes: u64) {
        // The control thread is the node behind the last core.
        if self.control_node == 1 {
            return;
        }
        if account.unsent_bytes.replace(account.unsent_bytes.get() + bytes) == 0 {
            self.quotas.unsent.borrow_mut().push(account.clone());
        }
        if !self.quotas.telling_is_due.replace(true) {
            let shard = self.clone();
            spawn(async move {
                sleep(Duration::from_millis(QUOTA_EXCHANGE_MS)).await;
                shard.tell_usage();
            })
            .detach();
        }
    }

    fn tell_usage(self: &Rc<Self>) {
        self.quotas.telling_is_due.set(false);
        let unsent = self.quotas.unsent.take();
        let told = unsent.iter().map(|account| (account.kind, account.client_id.clone(), account.unsent_bytes.take()));
        let told: Arc<Told> = Arc::new(told.collect());
        for core in (0..self.control_node).map(|core| CoreId(core as u16)).filter(|core| *core != self.core) {
            let told = told.clone();
            self.submit(core, Box::new(move |other| other.hear_of_usage(&told)));
        }
    }

    fn hear_of_usage(&self, told: &Told) {
        let now_ms = now_ms();
        for (kind, client_id, bytes) in told {
            let quota = self.quotas.of(*kind);
            match client_id {
                None => quota.shared.meter.borrow_mut().record(*bytes, now_ms),
                // Unless the quota is gone meanwhile.
                Some(client_id) => {
                    if let Some(client) = quota.client(client_id) {
                        client.account.meter.borrow_mut().record(*bytes, now_ms);
                    }
                }
            }
        }
    }
}

fn bounded(throttle_ms: i64) -> i32 {
    i32::try_from(throttle_ms).unwrap_or(i32::MAX)
}

/// Never jumps.
fn now_ms() -> i64 {
    (clock::monotonic_ns() / 1_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::client_quotas::{QuotaEntity, QuotaLimits, QuotaName};
    use crate::io::glommio::run_here;
    use crate::shard::test_cores::TestCores;

    fn default_client(rate: i64) -> ClientQuotas {
        let entity = QuotaEntity { user: None, client_id: Some(QuotaName::Default) };
        ClientQuotas::from([(entity, QuotaLimits { producer_byte_rate: Some(rate), consumer_byte_rate: None })])
    }

    #[test]
    fn every_core_measures_the_sum_and_tells_at_a_bounded_rate() {
        run_here(async {
            let cores = TestCores::new(3, &[]);
            cores.shards.iter().for_each(|shard| shard.quotas.set(&default_client(1000)));
            let client = |core: usize| cores.shard(core).quotas.client(QuotaKind::Produce, Some("a")).unwrap();
            for _ in 0..500 {
                assert_eq!(client(0).record(&cores.shard(0), 10), 0);
                assert_eq!(client(1).record(&cores.shard(1), 10), 0);
            }
            assert_eq!(client(2).would_throttle_ms(9000), 0, "nothing was told yet");
            sleep(Duration::from_millis(3 * QUOTA_EXCHANGE_MS)).await;
            cores.settle();
            assert_eq!(cores.shard(0).counters.forwarded.get(), 2, "one message to each other core");
            for core in 0..3 {
                let throttle_ms = client(core).would_throttle_ms(1000);
                assert!((1..=1000).contains(&throttle_ms), "core {core}: {throttle_ms} ms for 11,000 bytes");
            }
            assert_eq!(cores.shard(0).quotas.client(QuotaKind::Produce, Some("b")).unwrap().would_throttle_ms(9000), 0);
            assert!(cores.shard(0).quotas.client(QuotaKind::Fetch, Some("a")).is_none());
        });
    }

    #[test]
    fn clients_are_told_apart_up_to_a_bound() {
        let quota = KindOfQuota::new(QuotaKind::Produce);
        quota.set(QuotaRules::new(&default_client(1), QuotaKind::Produce));
        let record = |client_id: &str| quota.client(client_id).unwrap().account.meter.borrow_mut().record(1, now_ms());
        (0..QUOTA_CLIENTS_MAX).for_each(|client| record(&client.to_string()));
        assert!(Rc::ptr_eq(&quota.client("one more").unwrap().account, &quota.shared));
        assert!(!Rc::ptr_eq(&quota.client("7").unwrap().account, &quota.shared));
        quota.accounts.borrow_mut().values_mut().take(1).for_each(|account| *account.meter.borrow_mut() = Meter::default());
        assert!(Rc::ptr_eq(&quota.client("one more").unwrap().account, &quota.shared), "nobody looks again so soon");
        quota.swept_ms.set(i64::MIN);
        assert!(!Rc::ptr_eq(&quota.client("one more").unwrap().account, &quota.shared), "one was idle");
        quota.set(QuotaRules::default());
        assert!(quota.client("7").is_none() && quota.accounts.borrow().is_empty());
    }
}
