//! Tests of the store's format: golden header, round trips, and damage of every kind.

use proptest::prelude::*;

use super::*;
use crate::cluster::broker_config::BrokerConfig;
use crate::cluster::controller::{Command, NodeDescription, QuotaAlteration, TopicSelector, TopicSpec, apply};

/// Every field filled with something that is not its default.
fn image() -> MetadataImage {
    let node = NodeDescription {
        advertise: Advertise::PerCore,
        core_count: 2,
        host: "broker.example".into(),
        ports: vec![9092, 9093],
        rack: Some("rack-a".into()),
        fresh_directory_ids: vec![DirectoryId([1; 16]), DirectoryId([2; 16])],
    };
    let topic = |name: &str, id: u8| TopicSpec {
        name: name.into(),
        id: TopicId([id; 16]),
        partition_count: 3,
        replication_factor: 1,
        configs: Configs::from([("retention.ms".into(), "5".into())]),
        ..TopicSpec::default()
    };
    let quota = |entity: &[(&str, Option<&str>)], rate| QuotaAlteration {
        entity: entity.iter().map(|(kind, name)| (kind.to_string(), name.map(String::from))).collect(),
        operations: vec![("producer_byte_rate".into(), Some(rate)), ("consumer_byte_rate".into(), Some(rate + 1.0))],
    };
    let quotas = vec![
        quota(&[("client-id", Some("app"))], 5.0),
        quota(&[("user", None), ("client-id", None)], 6.0),
        quota(&[("user", Some("alice"))], 7.0),
    ];
    let mut image = MetadataImage::empty("AAAAAAAAAAAAAAAAAAAAAA", NodeId(7));
    for command in [
        Command::BrokersChanged(node),
        Command::CreateTopics { topics: vec![topic("one", 1), topic("two", 2)], validate_only: false },
        Command::AllocateProducerIds,
        Command::Restarted,
        Command::DeleteTopics(vec![TopicSelector::Name("two".into())]),
        Command::AlterClientQuotas { alterations: quotas, validate_only: false },
    ] {
        image = apply(&image, &BrokerConfig::default(), command).unwrap().image;
    }
    let configs = Configs::from([("log.retention.ms".into(), "1".into())]);
    image.broker_configs = Arc::new([(None, configs.clone()), (Some(BrokerId(7001)), configs)].into());
    image.features = Arc::new([("metadata.version".to_string(), 25)].into());
    image
}

#[test]
fn an_image_comes_back_as_it_was() {
    for image in [image(), MetadataImage::empty("x", NodeId(1))] {
        assert_eq!(decode(&encode(&image)), Ok(image));
    }
}

/// A million partitions have a few lists of replicas.
#[test]
fn partitions_share_their_lists_of_replicas() {
    let mut image = MetadataImage::empty("cluster", NodeId(1));
    let partitions = (0..1000).map(|index| PartitionImage {
        index: PartitionIndex(index),
        replicas: [BrokerId(index % 2)].into(),
        isr: [BrokerId(index % 2)].into(),
        leader: BrokerId(index % 2),
        leader_epoch: LeaderEpoch(index),
        partition_epoch: PartitionEpoch(index),
        core: CoreId(0),
    });
    let (id, configs, partitions) = (TopicId([1; 16]), Arc::default(), partitions.collect());
    image.put_topic(TopicImage { name: TopicName::new("one").unwrap(), id, configs, partitions });
    let bytes = encode(&image);
    assert!(bytes.len() < 36 * 1000, "{} bytes: 8 more for each list that is written again", bytes.len());
    let decoded = decode(&bytes).unwrap();
    assert_eq!(decoded, image);
    let partitions = &decoded.topic("one").unwrap().partitions;
    assert!(Arc::ptr_eq(&partitions[0].replicas, &partitions[998].isr));
    assert!(!Arc::ptr_eq(&partitions[0].replicas, &partitions[1].replicas));
}

#[test]
fn the_header_is_the_one_in_the_table() {
    let bytes = encode(&image());
    assert_eq!(&bytes[..12], b"PAGEMETA\x01\0\0\0");
    assert_eq!(bytes[12..16], crc32c::crc32c(&bytes[16..]).to_le_bytes());
    assert_eq!(bytes[16..24], (bytes.len() as u64 - 24).to_le_bytes());
    assert_eq!(&bytes[28..32], b"PWMI", "the FlatBuffer carries its file identifier");
}

/// The bytes of an empty image as release 1 of the format wrote them: a reader of today must take them for ever.
#[test]
fn a_file_of_format_one_is_read() {
    let golden = GOLDEN.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect::<Vec<u8>>();
    assert_eq!(decode(&golden), Ok(MetadataImage::empty("golden", NodeId(3))));
    assert_eq!(encode(&MetadataImage::empty("golden", NodeId(3))), golden, "a change of the bytes needs a reason");
}

const GOLDEN: &str = include_str!("golden.hex");

#[test]
fn every_changed_byte_is_noticed() {
    let bytes = encode(&image());
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x40;
        let error = decode(&damaged).unwrap_err();
        match position {
            0..8 => assert_eq!(error, StoreError::NotAMetadataFile),
            8..12 => assert!(matches!(error, StoreError::Version { .. })),
            16..24 => assert!(matches!(error, StoreError::Length { .. })),
            _ => assert!(matches!(error, StoreError::Checksum { .. }), "byte {position}: {error}"),
        }
    }
}

#[test]
fn a_file_of_any_other_length_is_refused() {
    let bytes = encode(&image());
    for length in 0..bytes.len() {
        assert!(matches!(decode(&bytes[..length]), Err(StoreError::NotAMetadataFile | StoreError::Length { .. })), "{length} bytes");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(decode(&longer), Err(StoreError::Length { .. })));
}

/// The file with this payload and a header that fits it: what a defective writer would leave.
fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = [MAGIC.as_slice(), &FORMAT_VERSION.to_le_bytes(), &[0; 4], &(payload.len() as u64).to_le_bytes(), payload].concat();
    let checksum = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn packed(image: &stored::MetadataImageT) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let root = image.pack(&mut builder);
    stored::finish_metadata_image_buffer(&mut builder, root);
    sealed(builder.finished_data())
}

#[test]
fn an_unsound_content_is_refused_although_its_checksum_holds() {
    let unsound = |change: fn(&mut stored::MetadataImageT)| {
        let mut image = stored::root_as_metadata_image(&encode(&image())[HEADER_BYTES..]).unwrap().unpack();
        change(&mut image);
        decode(&packed(&image)).unwrap_err().to_string()
    };
    assert!(unsound(|image| image.topics[0].name = "a/b".into()).contains("'/'"));
    assert!(unsound(|image| image.topics.push(image.topics[0].clone())).contains("twice"));
    assert!(unsound(|image| image.topics[0].partitions[1].core = 9).contains("core 9"));
    assert!(unsound(|image| image.topics[0].partitions[0].leader = 5).contains("not in sync"));
    assert!(unsound(|image| image.directories.clear()).contains("directory id"));
    assert!(unsound(|image| image.advertise = stored::Advertise(9)).contains("advertise is 9"));
}

proptest! {
    #[test]
    fn any_bytes_behind_a_sound_header_give_an_answer(
        payload in prop::collection::vec(any::<u8>(), 0..300), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let _ = decode(&sealed(&payload));
        let mut sound = encode(&image())[HEADER_BYTES..].to_vec();
        for (position, value) in flips {
            let position = position.index(sound.len());
            sound[position] = value;
        }
        if let Ok(image) = decode(&sealed(&sound)) {
            prop_assert_eq!(image.check(), Ok(()));
        }
    }

    #[test]
    fn any_image_comes_back(names in prop::collection::btree_set("[a-z]{1,8}", 0..20), partitions in 1i32..40, node in 0i32..1000) {
        let mut image = MetadataImage::empty("cluster", NodeId(node));
        for (number, name) in names.into_iter().enumerate() {
            let partitions = (0..partitions).map(|index| PartitionImage {
                index: PartitionIndex(index),
                replicas: [BrokerId(index), BrokerId(node)].into(),
                isr: [BrokerId(index)].into(),
                leader: BrokerId(index),
                leader_epoch: LeaderEpoch(index * 7),
                partition_epoch: PartitionEpoch(index * 11),
                core: CoreId(index as u16),
            });
            let id = TopicId([number as u8 + 1; 16]);
            let partitions = partitions.collect();
            image.put_topic(TopicImage { name: TopicName::new(&name).unwrap(), id, configs: Arc::default(), partitions });
        }
        prop_assert_eq!(decode(&encode(&image)), Ok(image));
    }
}
