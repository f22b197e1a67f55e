//! Members subscribe to different topics: each topic is levelled among its own subscribers, again and again, until no move helps.
//!
//! At the end no partition can go from its owner to a subscriber that owns two fewer. Every move lowers the sum of the squared
//! loads, so this ends; it ends after [`ASSIGNOR_PASSES_MAX`] rounds in any case.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::{MemberNumber, OwnerTable, Topic};
use crate::base::limits::ASSIGNOR_PASSES_MAX;

pub(super) fn complete(table: &mut OwnerTable) {
    let order = most_constrained_first(table);
    for topic in &order {
        fill(table, *topic);
    }
    for _ in 0..ASSIGNOR_PASSES_MAX {
        let moves: usize = order.iter().map(|topic| level(table, *topic)).sum();
        if moves == 0 {
            break;
        }
    }
}

/// Most partitions per subscriber first, then fewest subscribers: what has the least choice is placed first.
fn most_constrained_first(table: &OwnerTable) -> Vec<usize> {
    let mut order: Vec<usize> = (0..table.topics.len()).collect();
    order.sort_by(|left, right| {
        let size = |topic: usize| (table.topics[topic].owners.len(), table.topics[topic].subscribers.len());
        let ((left_partitions, left_subscribers), (right_partitions, right_subscribers)) = (size(*left), size(*right));
        (right_partitions * left_subscribers).cmp(&(left_partitions * right_subscribers)).then(left_subscribers.cmp(&right_subscribers))
    });
    order
}

/// The subscribers of a topic, the least loaded on top.
fn least_loaded(table: &OwnerTable, topic: usize) -> BinaryHeap<Reverse<(usize, MemberNumber)>> {
    table.topics[topic].subscribers.iter().map(|number| Reverse((table.loads[*number], *number))).collect()
}

/// Gives each free partition to the subscriber that owns the fewest.
fn fill(table: &mut OwnerTable, topic: usize) {
    let free = table.free_partitions(topic);
    if free.is_empty() {
        return;
    }
    let mut takers = least_loaded(table, topic);
    for partition in free {
        let mut taker = takers.peek_mut().expect("a topic has subscribers");
        table.give(topic, partition, taker.0.1);
        taker.0.0 += 1;
    }
}

/// Moves partitions of a topic from its most loaded owner to its least loaded subscriber while they are two or more apart.
/// Returns how many. Who gave stays above those who took, so nobody does both.
fn level(table: &mut OwnerTable, topic: usize) -> usize {
    let Topic { owners, subscribers, .. } = &table.topics[topic];
    let most = owners.iter().flatten().map(|owner| table.loads[*owner]).max();
    let least = subscribers.iter().map(|number| table.loads[*number]).min();
    if most.unwrap_or(0) < least.unwrap_or(0) + 2 {
        return 0;
    }
    let mut held: BTreeMap<MemberNumber, Vec<usize>> = BTreeMap::new();
    for (partition, owner) in owners.iter().enumerate() {
        held.entry(owner.expect("every partition is placed before any moves")).or_default().push(partition);
    }
    let mut givers: BinaryHeap<(usize, MemberNumber)> = held.keys().map(|owner| (table.loads[*owner], *owner)).collect();
    let mut takers = least_loaded(table, topic);
    let mut moves = 0;
    while let Some((load, giver)) = givers.pop() {
        let mut taker = takers.peek_mut().expect("a topic has subscribers");
        if load < taker.0.0 + 2 {
            break;
        }
        let Some(partition) = held.get_mut(&giver).and_then(Vec::pop) else { continue };
        table.give(topic, partition, taker.0.1);
        taker.0.0 += 1;
        givers.push((load - 1, giver));
        moves += 1;
    }
    moves
}
