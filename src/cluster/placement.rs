//! Which core owns which partition. Pure functions, any thread.
//!
//! Invariants, on a node with `core_count` cores:
//! - a new topic's partitions differ by at most one between any two cores;
//! - [`rebalance`] moves nothing while the cores stay the same, so that a partition moved by hand stays where it is;
//! - after [`rebalance`] both each topic and the whole node are level: counts differ by at most one between any two cores.

use std::collections::BTreeMap;

use crate::base::{CoreId, PartitionIndex, TopicName};

/// The cores of a topic, by partition index.
pub type Assignment = BTreeMap<TopicName, Vec<CoreId>>;

/// How many partitions each core holds.
pub struct Load {
    counts: Vec<usize>,
}

impl Load {
    pub fn new(core_count: u16) -> Load {
        Load { counts: vec![0; usize::from(core_count)] }
    }

    /// Counts one more partition on `core`; a core that is gone is not counted.
    pub fn add(&mut self, core: CoreId) {
        if let Some(count) = self.counts.get_mut(core.index()) {
            *count += 1;
        }
    }

    /// Chooses cores for `partitions` new partitions of a topic that has `existing` ones, and counts them.
    ///
    /// The core with fewest partitions of this topic comes first, then the one with fewest in all, then the lowest number.
    pub fn place(&mut self, existing: &[CoreId], partitions: usize) -> Vec<CoreId> {
        assert!(!self.counts.is_empty(), "partitions need a core to live on");
        let mut of_topic = Load::new(self.counts.len() as u16);
        existing.iter().for_each(|core| of_topic.add(*core));
        (0..partitions)
            .map(|_| {
                let core = least(0..self.counts.len(), |core| (of_topic.counts[core], self.counts[core]));
                of_topic.counts[core] += 1;
                self.counts[core] += 1;
                CoreId(core as u16)
            })
            .collect()
    }
}

fn least<K: Ord>(cores: impl Iterator<Item = usize>, key: impl Fn(usize) -> K) -> usize {
    cores.min_by_key(|core| (key(*core), *core)).expect("a node has at least one core")
}

/// One partition that changes its core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub topic: TopicName,
    pub partition: PartitionIndex,
    pub from: CoreId,
    pub to: CoreId,
}

/// Spreads every partition over the present cores, after their number changed from `core_count_before` to `core_count`.
///
/// Partitions of cores that are gone move first; then as few others as it takes to be level again.
pub fn rebalance(assignment: &mut Assignment, core_count_before: u16, core_count: u16) -> Vec<Move> {
    if core_count == core_count_before {
        return Vec::new();
    }
    let before = assignment.clone();
    let mut node = Load::new(core_count);
    assignment.values().flatten().for_each(|core| node.add(*core));
    for cores in assignment.values_mut() {
        rehome(cores, &mut node);
        level_topic(cores, &mut node);
    }
    loop {
        let moved = assignment.values_mut().filter_map(|cores| level_node(cores, &mut node).then_some(())).count();
        if moved == 0 {
            break;
        }
    }
    moves(&before, assignment)
}

/// Gives the partitions of cores that are gone a new one.
fn rehome(cores: &mut [CoreId], node: &mut Load) {
    let present: Vec<CoreId> = cores.iter().copied().filter(|core| core.index() < node.counts.len()).collect();
    let mut new_homes = node.place(&present, cores.len() - present.len()).into_iter();
    for core in cores.iter_mut().filter(|core| core.index() >= node.counts.len()) {
        *core = new_homes.next().expect("one new home per partition without one");
    }
}

/// Levels one topic: moves its last partitions from the fullest core to the emptiest until they differ by at most one.
fn level_topic(cores: &mut [CoreId], node: &mut Load) {
    let mut topic = Load::new(node.counts.len() as u16);
    cores.iter().for_each(|core| topic.add(*core));
    loop {
        let emptiest = least(0..topic.counts.len(), |core| (topic.counts[core], node.counts[core]));
        let fullest = least(0..topic.counts.len(), |core| std::cmp::Reverse((topic.counts[core], node.counts[core])));
        if topic.counts[fullest] <= topic.counts[emptiest] + 1 {
            return;
        }
        relocate(cores, fullest, emptiest, &mut topic, node);
    }
}

/// Levels the node without unbalancing the topic: a partition may go to a core that has fewer of this topic and at least two
/// fewer in all. Each move lowers the sum of squares of `node.counts`, so repeating it ends.
fn level_node(cores: &mut [CoreId], node: &mut Load) -> bool {
    let mut topic = Load::new(node.counts.len() as u16);
    cores.iter().for_each(|core| topic.add(*core));
    let mut moved = false;
    for from in 0..node.counts.len() {
        let candidates = (0..node.counts.len()).filter(|to| topic.counts[*to] < topic.counts[from]);
        let Some(to) = candidates.min_by_key(|to| (node.counts[*to], *to)) else { continue };
        if node.counts[from] > node.counts[to] + 1 {
            relocate(cores, from, to, &mut topic, node);
            moved = true;
        }
    }
    moved
}

fn relocate(cores: &mut [CoreId], from: usize, to: usize, topic: &mut Load, node: &mut Load) {
    let last = cores.iter().rposition(|core| core.index() == from).expect("a counted partition is in the list");
    cores[last] = CoreId(to as u16);
    for load in [topic, node] {
        load.counts[from] -= 1;
        load.counts[to] += 1;
    }
}

fn moves(before: &Assignment, after: &Assignment) -> Vec<Move> {
    let pairs = before.iter().zip(after.values());
    pairs
        .flat_map(|((topic, from), to)| {
            from.iter().zip(to).enumerate().filter(|(_, (from, to))| from != to).map(|(index, (from, to))| Move {
                topic: topic.clone(),
                partition: PartitionIndex(index as i32),
                from: *from,
                to: *to,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cores(numbers: &[u16]) -> Vec<CoreId> {
        numbers.iter().map(|core| CoreId(*core)).collect()
    }

    fn spread(counts: &[usize]) -> usize {
        counts.iter().max().unwrap() - counts.iter().min().unwrap()
    }

    fn counts(cores: &[CoreId], core_count: u16) -> Vec<usize> {
        let mut load = Load::new(core_count);
        cores.iter().for_each(|core| load.add(*core));
        load.counts
    }

    #[test]
    fn a_new_topic_starts_on_the_emptiest_core() {
        let mut load = Load::new(3);
        assert_eq!(load.place(&[], 4), cores(&[0, 1, 2, 0]));
        assert_eq!(load.place(&[], 1), cores(&[1]));
        assert_eq!(load.place(&cores(&[1]), 2), cores(&[2, 0]), "the topic's own spread comes first");
    }

    #[test]
    fn nothing_moves_while_the_cores_stay() {
        let lopsided = Assignment::from([(TopicName::new("t").unwrap(), cores(&[0, 0, 0, 0]))]);
        let mut assignment = lopsided.clone();
        assert_eq!(rebalance(&mut assignment, 4, 4), vec![]);
        assert_eq!(assignment, lopsided);
    }

    #[test]
    fn one_core_becomes_two() {
        let mut assignment: Assignment =
            ["a", "b", "c", "d"].into_iter().map(|name| (TopicName::new(name).unwrap(), cores(&[0]))).collect();
        let moved = rebalance(&mut assignment, 1, 2);
        assert_eq!(moved.len(), 2);
        assert!(moved.iter().all(|step| step.from == CoreId(0) && step.to == CoreId(1)));
    }

    proptest! {
        #[test]
        fn after_a_change_topics_and_node_are_level(
            sizes in prop::collection::vec(1usize..12, 1..20), before in 1u16..9, after in 1u16..9,
        ) {
            let mut load = Load::new(before);
            let mut assignment: Assignment = sizes
                .iter()
                .enumerate()
                .map(|(number, size)| (TopicName::new(&format!("t{number}")).unwrap(), load.place(&[], *size)))
                .collect();
            let old = assignment.clone();
            let moved = rebalance(&mut assignment, before, after);
            if before == after {
                prop_assert_eq!(&assignment, &old);
            }
            for cores in assignment.values() {
                prop_assert!(spread(&counts(cores, after)) <= 1);
            }
            let all: Vec<CoreId> = assignment.values().flatten().copied().collect();
            prop_assert!(before == after || spread(&counts(&all, after)) <= 1);
            for step in moved {
                prop_assert_eq!(old[&step.topic][step.partition.0 as usize], step.from);
                prop_assert_eq!(assignment[&step.topic][step.partition.0 as usize], step.to);
            }
        }
    }
}
