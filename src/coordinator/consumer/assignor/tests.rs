//! The rules every assignment keeps, for random groups; and examples whose answer Kafka's rules give by hand.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Assignment, AssignmentSpec, Assignor, MemberSpec};
use crate::base::{PartitionIndex, TopicId};
use crate::coordinator::{GroupInstanceId, MemberId};

type Members = BTreeMap<MemberId, MemberSpec>;
type Partitions = BTreeMap<TopicId, i32>;
type Owned = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;

fn topic(number: usize) -> TopicId {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&(number as u64).to_be_bytes());
    TopicId(id)
}

fn member_id(number: usize) -> MemberId {
    MemberId::new(&format!("m{number:04}")).unwrap()
}

/// Topics of these sizes, numbered from 0.
fn topics(sizes: &[i32]) -> Partitions {
    sizes.iter().enumerate().map(|(number, size)| (topic(number), *size)).collect()
}

/// A member that subscribes to these topics and owns nothing.
fn subscriber(of: impl IntoIterator<Item = usize>) -> MemberSpec {
    MemberSpec { subscribed: of.into_iter().map(topic).collect(), ..MemberSpec::default() }
}

fn group(members: impl IntoIterator<Item = MemberSpec>) -> Members {
    members.into_iter().enumerate().map(|(number, member)| (member_id(number), member)).collect()
}

fn assign(assignor: Assignor, members: &Members, partitions_of: &Partitions) -> Assignment {
    assignor.assign(&AssignmentSpec { members, partitions_of })
}

/// The members after they took over what was assigned to them.
fn taken_over(mut members: Members, assignment: &Assignment) -> Members {
    for (id, member) in &mut members {
        member.owned = assignment.get(id).cloned().unwrap_or_default();
    }
    members
}

fn load(owned: &Owned) -> usize {
    owned.values().map(BTreeSet::len).sum()
}

/// How many partitions stayed with the member that owned them.
fn kept(members: &Members, assignment: &Assignment) -> usize {
    let stayed = |(id, member): (&MemberId, &MemberSpec)| -> usize {
        member.owned.iter().filter_map(|(topic, owned)| Some(owned.intersection(assignment[id].get(topic)?).count())).sum()
    };
    members.iter().map(stayed).sum()
}

/// What `assignor.rs` promises of every assignment.
fn check_sound(members: &Members, partitions_of: &Partitions, assignment: &Assignment) {
    assert!(members.keys().eq(assignment.keys()), "every member has an entry, and nobody else");
    let mut assigned: BTreeSet<(TopicId, PartitionIndex)> = BTreeSet::new();
    for (id, owned) in assignment {
        for (topic, partitions) in owned {
            assert!(members[id].subscribed.contains(topic), "{id} does not subscribe to {topic}");
            assert!(!partitions.is_empty(), "{id} has an empty entry for {topic}");
            for partition in partitions {
                assert!(assigned.insert((*topic, *partition)), "{topic}-{partition} is assigned twice");
            }
        }
    }
    let subscribed: BTreeSet<TopicId> = members.values().flat_map(|member| member.subscribed.clone()).collect();
    let expected: BTreeSet<_> = partitions_of
        .iter()
        .filter(|(topic, _)| subscribed.contains(topic))
        .flat_map(|(topic, count)| (0..*count).map(|partition| (*topic, PartitionIndex(partition))))
        .collect();
    assert_eq!(assigned, expected);
}

/// No partition could go to a subscriber that owns two fewer than its owner.
fn check_levelled(members: &Members, assignment: &Assignment) {
    let mut least: BTreeMap<TopicId, usize> = BTreeMap::new();
    for (id, member) in members {
        for topic in &member.subscribed {
            let least = least.entry(*topic).or_insert(usize::MAX);
            *least = load(&assignment[id]).min(*least);
        }
    }
    for (id, owned) in assignment {
        for topic in owned.keys() {
            assert!(load(owned) <= least[topic] + 1, "{id} should give a partition of {topic} to another subscriber");
        }
    }
}

const TOPICS: usize = 5;

fn any_topics() -> impl Strategy<Value = Partitions> {
    // One of the topics that members may subscribe to does not exist.
    prop::collection::vec(0..12i32, TOPICS - 1).prop_map(|sizes| topics(&sizes))
}

fn any_owned() -> impl Strategy<Value = Owned> {
    // Partitions from -1 to 12: some do not exist, some are claimed by others too.
    let partitions = prop::collection::btree_set((-1..13i32).prop_map(PartitionIndex), 1..6);
    prop::collection::btree_map((0..TOPICS).prop_map(topic), partitions, 0..TOPICS)
}

fn any_subscription() -> impl Strategy<Value = BTreeSet<TopicId>> {
    prop::collection::btree_set((0..TOPICS).prop_map(topic), 0..TOPICS)
}

fn any_member() -> impl Strategy<Value = MemberSpec> {
    let instance_id = prop::option::of("[a-z]{4}".prop_map(|text| GroupInstanceId::new(&text).unwrap()));
    (instance_id, any_subscription(), any_owned()).prop_map(|(instance_id, subscribed, owned)| MemberSpec {
        instance_id,
        subscribed,
        owned,
    })
}

fn any_group() -> impl Strategy<Value = Members> {
    prop::collection::vec(any_member(), 0..9).prop_map(group)
}

/// A group whose members all subscribe to the same topics.
fn any_homogeneous_group() -> impl Strategy<Value = Members> {
    (any_subscription(), prop::collection::vec(any_member(), 1..9))
        .prop_map(|(subscribed, members)| group(members.into_iter().map(|member| MemberSpec { subscribed: subscribed.clone(), ..member })))
}

/// What the members may keep at all: subscribed, existing, and claimed by nobody before them.
fn valid_loads(members: &Members, partitions_of: &Partitions) -> Vec<usize> {
    let mut claimed = BTreeSet::new();
    let mut valid = |member: &MemberSpec| {
        let owned = member.owned.iter().filter(|(topic, _)| member.subscribed.contains(topic));
        let pairs = owned.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)));
        let exists = |(topic, partition): &(TopicId, PartitionIndex)| (0..*partitions_of.get(topic).unwrap_or(&0)).contains(&partition.0);
        pairs.filter(exists).filter(|pair| claimed.insert(*pair)).count()
    };
    members.values().map(&mut valid).collect()
}

proptest! {
    #[test]
    fn every_partition_goes_to_exactly_one_subscriber(members in any_group(), partitions_of in any_topics()) {
        for assignor in Assignor::ALL {
            check_sound(&members, &partitions_of, &assign(assignor, &members, &partitions_of));
        }
    }

    #[test]
    fn a_rerun_moves_nothing(members in any_group(), partitions_of in any_topics()) {
        for assignor in Assignor::ALL {
            let first = assign(assignor, &members, &partitions_of);
            prop_assert_eq!(&assign(assignor, &taken_over(members.clone(), &first), &partitions_of), &first);
        }
    }

    #[test]
    fn uniform_levels_any_group(members in any_group(), partitions_of in any_topics()) {
        check_levelled(&members, &assign(Assignor::Uniform, &members, &partitions_of));
    }

    #[test]
    fn uniform_is_balanced_and_keeps_the_most_possible(members in any_homogeneous_group(), partitions_of in any_topics()) {
        let assignment = assign(Assignor::Uniform, &members, &partitions_of);
        let loads: Vec<usize> = assignment.values().map(load).collect();
        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{:?}", loads);

        let mut owned = valid_loads(&members, &partitions_of);
        owned.sort_unstable_by(|left, right| right.cmp(left));
        let (least, remainder) = (loads.iter().sum::<usize>() / loads.len(), loads.iter().sum::<usize>() % loads.len());
        let possible: usize = owned.iter().enumerate().map(|(place, load)| *load.min(&(least + usize::from(place < remainder)))).sum();
        // What two members claim counts for both in `kept`, at most once for real.
        prop_assert!(kept(&members, &assignment) >= possible);
    }

    #[test]
    fn who_joins_a_uniform_group_gets_a_share_and_nothing_else_moves(members in any_homogeneous_group(), partitions_of in any_topics()) {
        let before = assign(Assignor::Uniform, &members, &partitions_of);
        let mut members = taken_over(members, &before);
        let joined = MemberSpec { subscribed: members[&member_id(0)].subscribed.clone(), ..MemberSpec::default() };
        let id = MemberId::new("m0000-and-a-half").unwrap();
        members.insert(id.clone(), joined);
        let after = assign(Assignor::Uniform, &members, &partitions_of);
        let partitions: usize = after.values().map(load).sum();
        prop_assert_eq!(load(&after[&id]), partitions / members.len());
        prop_assert_eq!(kept(&members, &after), partitions - partitions / members.len());
    }

    #[test]
    fn who_leaves_a_uniform_group_moves_only_what_it_had(members in any_homogeneous_group(), partitions_of in any_topics()) {
        let before = assign(Assignor::Uniform, &members, &partitions_of);
        let mut members = taken_over(members, &before);
        let left = members.pop_first().unwrap().1;
        prop_assume!(!members.is_empty());
        let after = assign(Assignor::Uniform, &members, &partitions_of);
        prop_assert_eq!(kept(&members, &after), after.values().map(load).sum::<usize>() - load(&left.owned));
    }

    #[test]
    fn a_range_is_contiguous_and_as_long_as_the_others(members in any_group(), partitions_of in any_topics()) {
        let assignment = assign(Assignor::Range, &members, &partitions_of);
        for (topic, count) in &partitions_of {
            let subscribers = members.values().filter(|member| member.subscribed.contains(topic)).count() as i32;
            for range in assignment.values().filter_map(|owned| owned.get(topic)) {
                let (first, last) = (range.first().unwrap().0, range.last().unwrap().0);
                prop_assert_eq!(last - first + 1, range.len() as i32);
                prop_assert!((count / subscribers..=count / subscribers + 1).contains(&(range.len() as i32)));
            }
        }
    }

    #[test]
    fn ranges_of_equal_topics_are_alike(count in 0..20i32, members in 1..9usize) {
        let partitions_of = topics(&[count, count]);
        let assignment = assign(Assignor::Range, &group((0..members).map(|_| subscriber([0, 1]))), &partitions_of);
        for owned in assignment.values() {
            prop_assert_eq!(owned.get(&topic(0)), owned.get(&topic(1)));
        }
    }
}

fn partitions(indexes: impl IntoIterator<Item = i32>) -> BTreeSet<PartitionIndex> {
    indexes.into_iter().map(PartitionIndex).collect()
}

#[test]
fn names_are_those_on_the_wire() {
    assert_eq!(Assignor::parse("uniform"), Some(Assignor::Uniform));
    assert_eq!(Assignor::parse("range"), Some(Assignor::Range));
    assert_eq!(Assignor::parse("Range"), None);
}

#[test]
fn range_gives_the_first_members_one_more() {
    let assignment = assign(Assignor::Range, &group([subscriber([0, 1]), subscriber([0, 1])]), &topics(&[3, 3]));
    assert_eq!(assignment[&member_id(0)], BTreeMap::from([(topic(0), partitions(0..2)), (topic(1), partitions(0..2))]));
    assert_eq!(assignment[&member_id(1)], BTreeMap::from([(topic(0), partitions(2..3)), (topic(1), partitions(2..3))]));
}

#[test]
fn range_puts_static_members_first_whatever_their_member_id() {
    let instance = |name: &str| MemberSpec { instance_id: Some(GroupInstanceId::new(name).unwrap()), ..subscriber([0]) };
    let before = assign(Assignor::Range, &group([subscriber([0]), instance("b"), instance("a")]), &topics(&[4]));
    assert_eq!(before[&member_id(2)][&topic(0)], partitions(0..2), "instance a");
    assert_eq!(before[&member_id(1)][&topic(0)], partitions(2..3), "instance b");
    assert_eq!(before[&member_id(0)][&topic(0)], partitions(3..4), "the dynamic member");
    let restarted = assign(Assignor::Range, &group([subscriber([0]), instance("a"), instance("b")]), &topics(&[4]));
    assert_eq!(restarted[&member_id(1)], before[&member_id(2)], "instance a with another member id");
}

#[test]
fn more_members_than_partitions_leave_some_with_nothing() {
    for assignor in Assignor::ALL {
        let assignment = assign(assignor, &group((0..3).map(|_| subscriber([0]))), &topics(&[2]));
        assert_eq!(assignment.values().map(load).collect::<Vec<_>>(), [1, 1, 0], "{assignor:?}");
    }
}

#[test]
fn uniform_spreads_every_topic_over_the_members() {
    let assignment = assign(Assignor::Uniform, &group([subscriber([0, 1]), subscriber([0, 1])]), &topics(&[4, 4]));
    for owned in assignment.values() {
        assert_eq!(owned.values().map(BTreeSet::len).collect::<Vec<_>>(), [2, 2]);
    }
}

#[test]
fn uniform_gives_a_topic_of_one_subscriber_to_it_and_the_rest_to_the_other() {
    let assignment = assign(Assignor::Uniform, &group([subscriber([0]), subscriber([0, 1])]), &topics(&[4, 3]));
    assert_eq!(assignment[&member_id(0)], BTreeMap::from([(topic(0), partitions(0..4))]));
    assert_eq!(assignment[&member_id(1)], BTreeMap::from([(topic(1), partitions(0..3))]));
}

#[test]
fn uniform_leaves_those_alone_whose_topics_the_new_member_does_not_share() {
    let members = group([subscriber([0]), subscriber([0]), subscriber([1])]);
    let before = assign(Assignor::Uniform, &members, &topics(&[10, 10]));
    let mut members = taken_over(members, &before);
    members.insert(member_id(3), subscriber([1]));
    let after = assign(Assignor::Uniform, &members, &topics(&[10, 10]));
    assert_eq!((&after[&member_id(0)], &after[&member_id(1)]), (&before[&member_id(0)], &before[&member_id(1)]));
    assert_eq!(after.values().map(load).collect::<Vec<_>>(), [5, 5, 5, 5]);
    assert_eq!(kept(&members, &after), 15);
}

#[test]
fn a_thousand_members_share_ten_thousand_partitions() {
    let partitions_of = topics(&[100; 100]);
    let alike = group((0..1000).map(|_| subscriber(0..100)));
    // Overlapping halves, so that levelling has work to do.
    let different = group((0..1000).map(|number| subscriber((number % 50)..(number % 50 + 50))));
    for (assignor, members) in [(Assignor::Range, &alike), (Assignor::Uniform, &alike), (Assignor::Uniform, &different)] {
        let assignment = assign(assignor, members, &partitions_of);
        check_sound(members, &partitions_of, &assignment);
        if assignor == Assignor::Uniform {
            check_levelled(members, &assignment);
        }
    }
}
