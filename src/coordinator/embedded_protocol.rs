//! What consumers of the classic protocol hide in its opaque bytes: their subscriptions, and their assignments.
//!
//! Pure. Invariants: bytes that are not what they should be give `None`, never a panic and never an allocation beyond their size;
//! a version above 3 is read as 3, as in Kafka.
//!
//! ```text
//! subscription = version i16, topics array(i32) of string(i16), user data bytes(i32)?,
//!                from 1: owned array of (topic string, partitions array of i32), from 2: generation i32, from 3: rack string?
//! assignment   = version i16, array of (topic string, partitions array of i32), user data bytes?
//! ```
//! Source: Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::consumer::record::TopicPartitions;
use super::consumer::topics::Topics;
use super::ids::ShortText;
use crate::base::PartitionIndex;

const VERSION_MAX: i16 = 3;

/// Partitions by the topic's name, as they came.
pub type NamedPartitions = Vec<(ShortText, Vec<PartitionIndex>)>;

/// What a member wants to read, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedSubscription {
    pub topics: BTreeSet<ShortText>,
    /// Empty in version 0, and from clients that give up everything before they rejoin.
    pub owned: NamedPartitions,
    pub rack: Option<ShortText>,
}

pub fn read_subscription(bytes: &[u8]) -> Option<EmbeddedSubscription> {
    let mut cursor = Cursor(bytes);
    let version = cursor.version()?;
    let mut subscription = EmbeddedSubscription::default();
    for _ in 0..cursor.count()? {
        subscription.topics.insert(cursor.text()??);
    }
    cursor.skip_bytes()?;
    if version >= 1 {
        subscription.owned = cursor.partitions()?;
    }
    if version >= 2 {
        cursor.i32()?;
    }
    if version >= 3 {
        subscription.rack = cursor.text()?.filter(|rack| !rack.is_empty());
    }
    Some(subscription)
}

pub fn read_assignment(bytes: &[u8]) -> Option<NamedPartitions> {
    let mut cursor = Cursor(bytes);
    cursor.version()?;
    let partitions = cursor.partitions()?;
    cursor.skip_bytes()?;
    Some(partitions)
}

/// The assignment in the version of the member's subscription, without the topics that are gone.
pub fn encode_assignment(subscription: &[u8], partitions: &TopicPartitions, topics: &dyn Topics) -> Bytes {
    let version = Cursor(subscription).version().unwrap_or(0);
    let named: Vec<_> = partitions.iter().filter_map(|(id, partitions)| Some((topics.name(*id)?, partitions))).collect();
    let mut bytes = Vec::new();
    bytes.extend(version.to_be_bytes());
    bytes.extend((named.len() as i32).to_be_bytes());
    for (name, partitions) in named {
        bytes.extend((name.as_str().len() as i16).to_be_bytes());
        bytes.extend(name.as_str().as_bytes());
        bytes.extend((partitions.len() as i32).to_be_bytes());
        partitions.iter().for_each(|partition| bytes.extend(partition.0.to_be_bytes()));
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}

/// By the topics' ids, without those that do not exist.
pub fn identified(partitions: &NamedPartitions, topics: &dyn Topics) -> TopicPartitions {
    let mut identified = TopicPartitions::new();
    for (name, partitions) in partitions {
        if let Some(topic) = topics.find(name.as_str())
            && !partitions.is_empty()
        {
            identified.entry(topic.id).or_default().extend(partitions);
        }
    }
    identified
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn version(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes).filter(|version| *version >= 0).map(|version| version.min(VERSION_MAX))
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// Of elements that are there: a loop over them ends at the latest with the bytes.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.i32()?).ok()
    }

    /// The inner `None` is null.
    fn text(&mut self) -> Option<Option<ShortText>> {
        let length = i16::from_be_bytes(self.take()?);
        if length == -1 {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        ShortText::new(std::str::from_utf8(text).ok()?).ok().map(Some)
    }

    fn skip_bytes(&mut self) -> Option<()> {
        let length = self.i32()?;
        if length != -1 {
            (_, self.0) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        }
        Some(())
    }

    fn partitions(&mut self) -> Option<NamedPartitions> {
        let mut named = NamedPartitions::new();
        for _ in 0..self.count()? {
            let topic = self.text()??;
            let mut partitions = Vec::new();
            for _ in 0..self.count()? {
                partitions.push(PartitionIndex(self.i32()?));
            }
            named.push((topic, partitions));
        }
        Some(named)
    }
}

/// A subscription that says what its member has, for tests.
#[cfg(test)]
pub fn encode_subscription(version: i16, topics: &[&str], owned: &[(&str, Vec<i32>)]) -> Bytes {
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as i16).to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    bytes.extend(version.to_be_bytes());
    bytes.extend((topics.len() as i32).to_be_bytes());
    topics.iter().for_each(|topic| text(&mut bytes, topic));
    bytes.extend((-1i32).to_be_bytes());
    if version >= 1 {
        bytes.extend((owned.len() as i32).to_be_bytes());
        for (topic, partitions) in owned {
            text(&mut bytes, topic);
            bytes.extend((partitions.len() as i32).to_be_bytes());
            partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
        }
    }
    if version >= 2 {
        bytes.extend((-1i32).to_be_bytes());
    }
    if version >= 3 {
        bytes.extend((-1i16).to_be_bytes());
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_subscription_of_the_java_client() {
        // Version 3, from the Apache Kafka 4.3.0 fixture.
        let metadata = b"\0\x03\0\0\0\x02\0\x0eSix-Partitions\0\x0acodec.gzip\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff";
        let read = read_subscription(metadata).unwrap();
        assert_eq!(read.topics.iter().map(ShortText::as_str).collect::<Vec<_>>(), ["Six-Partitions", "codec.gzip"]);
        assert_eq!((read.owned, read.rack), (NamedPartitions::new(), None));
    }

    #[test]
    fn every_version_is_read_and_every_cut_refused() {
        for version in 0..=4 {
            let bytes = encode_subscription(version, &["a", "bb"], &[("a", vec![1, 2])]);
            let read = read_subscription(&bytes).unwrap();
            assert_eq!(read.topics.len(), 2);
            let owned =
                if version == 0 { vec![] } else { vec![(ShortText::new("a").unwrap(), vec![PartitionIndex(1), PartitionIndex(2)])] };
            assert_eq!(read.owned, owned);
            for end in 0..bytes.len() {
                assert_eq!(read_subscription(&bytes[..end]), None, "version {version} cut at {end}");
            }
        }
        for end in 0..16 {
            assert_eq!(read_assignment(&b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x7f\0\0\0\0"[..end]), None);
        }
        assert_eq!(read_subscription(&[0xff, 0xff, 0, 0, 0, 0]), None);
        assert_eq!(read_assignment(&[0, 1, 0x7f, 0xff, 0xff, 0xff]), None);
    }
}
