//! Everybody subscribes to the same topics: each member has a quota, `partitions / members` or one more.
//!
//! The members that may hold one more are first those that already do, so no partition moves without need.

use std::collections::VecDeque;

use super::{MemberNumber, OwnerTable};

/// Takes from each member what is above its quota, and deals what is free to those below theirs.
pub(super) fn complete(table: &mut OwnerTable) {
    if table.members.is_empty() {
        return;
    }
    let quotas = quotas(table);
    release_above(&quotas, table);
    // Dealt in turn, so that each topic is spread over the members that have room.
    let mut below: VecDeque<MemberNumber> = (0..quotas.len()).filter(|number| table.loads[*number] < quotas[*number]).collect();
    for topic in 0..table.topics.len() {
        for partition in table.free_partitions(topic) {
            let taker = below.pop_front().expect("the quotas add up to all partitions");
            table.give(topic, partition, taker);
            if table.loads[taker] < quotas[taker] {
                below.push_back(taker);
            }
        }
    }
    assert!(below.is_empty(), "the quotas add up to all partitions");
}

fn quotas(table: &OwnerTable) -> Vec<usize> {
    let partitions: usize = table.topics.iter().map(|topic| topic.owners.len()).sum();
    let (least, mut remainder) = (partitions / table.members.len(), partitions % table.members.len());
    let mut by_load: Vec<MemberNumber> = (0..table.members.len()).collect();
    by_load.sort_by_key(|number| table.loads[*number] <= least);
    let mut quotas = vec![least; table.members.len()];
    for number in by_load {
        let extra = remainder.min(1);
        quotas[number] += extra;
        remainder -= extra;
    }
    quotas
}

/// A member with `load` partitions keeps `quota` of them, evenly spaced over its topics.
fn release_above(quotas: &[usize], table: &mut OwnerTable) {
    let loads = table.loads.clone();
    let mut seen = vec![0; loads.len()];
    for owner in table.topics.iter_mut().flat_map(|topic| &mut topic.owners) {
        let Some(number) = *owner else { continue };
        let (quota, load, place) = (quotas[number], loads[number], seen[number]);
        seen[number] += 1;
        if load > quota && place * quota / load == (place + 1) * quota / load {
            *owner = None;
            table.loads[number] -= 1;
        }
    }
}
