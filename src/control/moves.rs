//! How partitions move from one core to another while clients produce and fetch: the steps, and what each waits for.
//!
//! Runs in the task of changes, behind the store and before the cores see the new image. A crash between any two steps finds the new core in
//! the store and whole logs on the disk.
//!
//! 1. The old cores give helper threads no more work for these logs and wait for what is under way; requests go on.
//! 2. Every core holds requests for these partitions back, and what it has sent before is appended.
//! 3. The old cores answer what waits for a sync, and part with the logs.
//! 4. The new cores take them in, in the new leader epoch.
//! 5. Every core gets the image (`Changes::tell_cores`) and lets go what it has held back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cores::Cores;
use crate::base::CoreId;
use crate::cluster::image::MetadataImage;
use crate::shard::OpenedPartition;
use crate::shard::partition::PartitionKey;

/// One partition that changes its core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub key: PartitionKey,
    pub from: CoreId,
    pub to: CoreId,
}

/// Steps 1 to 4. The caller shows `image` to every core next.
pub(super) async fn hand_over(cores: &Cores, image: &Arc<MetadataImage>, moves: &[Move]) {
    let mut by_old_core: BTreeMap<CoreId, Vec<PartitionKey>> = BTreeMap::new();
    moves.iter().for_each(|step| by_old_core.entry(step.from).or_default().push(step.key));
    let old_cores: Vec<CoreId> = by_old_core.keys().copied().collect();
    let keys: Vec<PartitionKey> = moves.iter().map(|step| step.key).collect();

    let resting = by_old_core.clone().into_iter().map(|(core, keys)| cores.ask_later(core, |shard| shard.rest(keys)));
    for rested in resting.collect::<Vec<_>>() {
        rested.await;
    }
    let holding = cores.all().map(|core| {
        let (keys, old_cores) = (keys.clone(), old_cores.clone());
        cores.ask_later(core, |shard| shard.hold(keys, old_cores))
    });
    for held in holding.collect::<Vec<_>>() {
        held.await;
    }
    let parting = by_old_core.into_iter().map(|(core, keys)| cores.ask_later(core, |shard| shard.part_with(keys)));
    let new_core: BTreeMap<PartitionKey, CoreId> = moves.iter().map(|step| (step.key, step.to)).collect();
    let mut by_new_core: BTreeMap<CoreId, Vec<OpenedPartition>> = BTreeMap::new();
    for parted in parting.collect::<Vec<_>>() {
        for opened in parted.await {
            by_new_core.entry(new_core[&opened.key]).or_default().push(opened);
        }
    }
    for (core, arrived) in by_new_core {
        let image = image.clone();
        cores.ask(core, move |shard| shard.take_in(&image, arrived)).await;
    }
}
