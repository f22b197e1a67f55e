//! Tests of the log as a whole: against a model, against Apache Kafka's own directories, against damage.

mod compaction;
mod damage;
mod inspection;
mod kafka_directories;
mod lifecycle;
mod model;
mod producers;
mod sequential_reads;
pub(super) mod support;
mod timestamps;
mod upkeep;
