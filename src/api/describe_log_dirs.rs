//! DescribeLogDirs: how much each partition takes on the disk, and how much room is left there (KIP-113, KIP-827).
//!
//! A broker answers for its own partitions: with a broker per core those of the core, with one broker for the node those of every core. All
//! lie in one directory. The file system is asked on a helper thread, because it may make whoever asks wait.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use kafka_protocol::messages::describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::api::text::topic_name;
use crate::base::{CoreId, ErrorCode, PartitionIndex, TopicName};
use crate::cluster::image::Advertise;
use crate::shard::Shard;
use crate::shard::message::LogDir;
use crate::shard::partition::LogExtent;

pub async fn handle(shard: Rc<Shard>, version: i16, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let asked_dir = shard.log_dir();
    let mut extents = extents(&shard).await;
    if let Some(topics) = request.topics {
        let topic_partitions = topics.into_iter().map(|topic| (topic.topic.0, topic.partitions));
        let wanted: HashSet<(StrBytes, i32)> =
            topic_partitions.flat_map(|(name, partitions)| partitions.into_iter().map(move |index| (name.clone(), index))).collect();
        extents.retain(|(topic, index), _| wanted.contains(&(StrBytes::from_string(topic.to_string()), index.0)));
    }
    let result = match asked_dir.await {
        Ok(dir) => describe(version, dir, extents),
        Err(error) => DescribeLogDirsResult::default().with_error_code(error.code()),
    };
    DescribeLogDirsResponse::default().with_results(vec![result])
}

type Extents = BTreeMap<(TopicName, PartitionIndex), LogExtent>;

/// The partitions of the broker that the client has connected to.
async fn extents(shard: &Rc<Shard>) -> Extents {
    shard.all_opened().await;
    let image = shard.image();
    let cores = match image.advertise {
        Advertise::PerCore => shard.core.0..shard.core.0 + 1,
        Advertise::PerNode => 0..image.core_count,
    };
    let of_core = |owner: &Rc<Shard>| -> Vec<_> {
        let partitions = owner.all_partitions().into_iter();
        partitions.filter_map(|partition| Some(((partition.topic.clone(), partition.key.index), partition.extent().ok()?))).collect()
    };
    let asked: Vec<_> = cores.map(|core| shard.ask(CoreId(core), of_core)).collect();
    let mut extents = Extents::new();
    for answer in asked {
        extents.extend(answer.await);
    }
    extents
}

fn describe(version: i16, dir: LogDir, extents: Extents) -> DescribeLogDirsResult {
    let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
    for ((name, index), LogExtent { size_bytes, offset_lag }) in extents {
        if topics.last().is_none_or(|topic| topic.name.as_str() != name.as_str()) {
            topics.push(DescribeLogDirsTopic::default().with_name(topic_name(&name)));
        }
        let partition = DescribeLogDirsPartition::default()
            .with_partition_index(index.0)
            .with_partition_size(size_bytes as i64)
            .with_offset_lag(offset_lag)
            .with_is_future_key(false);
        topics.last_mut().expect("one was pushed above").partitions.push(partition);
    }
    let result = DescribeLogDirsResult::default()
        .with_error_code(ErrorCode::None.code())
        .with_log_dir(StrBytes::from_string(dir.path))
        .with_topics(topics);
    if version < 4 {
        return result;
    }
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    result.with_total_bytes(bytes(dir.total_bytes)).with_usable_bytes(bytes(dir.usable_bytes))
}
