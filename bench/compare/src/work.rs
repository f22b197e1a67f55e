//! What is measured, row by row.
//!
//! Sizes are fixed per row, so every contestant moves the same bytes. The counted part follows a warm-up of the same work on connections of
//! the same kind: a JVM compiles its code meanwhile.
//!
//! | file | what it is |
//! |---|---|
//! | `counted` | the counted part of a run: what the server used meanwhile |
//! | `ingest` | producers, as fast as the server takes it |
//! | `serve` | readers of one log that lies in memory |
//! | `tail` | a steady stream from producers to a reader at the end of the log, also beside four that read cold data |
//! | `sustained` | minutes of writes at half of what the disk takes |
//! | `start` | from the start of the process to the first accepted produce |
//! | `scale` | the same requests beside many partitions, segments, idle connections |
//! | `tools` | the makers' own measuring tools as a second witness |

mod counted;
mod ingest;
mod scale;
mod serve;
mod start;
mod sustained;
mod tail;
mod tools;

use std::io;

use serde::Serialize;

use crate::contestant::Contestant;
use crate::sample::Sample;
use crate::server::Host;
use ingest::Ingest;
use scale::Scale;
use serve::Serve;
use tail::Stream;
use tools::Tool;

pub const TOPIC: &str = "bench";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Row {
    IngestSmall,
    Ingest16K,
    Ingest256K,
    IngestMessages,
    Serve64K,
    Serve1M,
    ServeOnce,
    ServeTwentieth,
    Echo,
    EndToEnd,
    EndToEndTenth,
    TailAlone,
    TailBesideBackfill,
    Sustained,
    Start,
    ScaleBase,
    ScalePartitions,
    ScaleSegments,
    ScaleConnections,
    ToolsProduce,
    ToolsPaced,
    ToolsConsume,
}

enum Kind {
    Ingest(Ingest),
    Serve(Serve),
    Stream(Stream),
    Sustained,
    Start,
    Scale(Scale),
    Tool(Tool),
}

/// One run of one contestant.
pub struct Run<'a> {
    pub contestant: Contestant,
    pub host: &'a Host,
    /// Thousandths of the full size.
    pub size: u64,
    /// Requests per second, in rows that find out theirs beforehand.
    pub rate: Option<f64>,
}

impl Run<'_> {
    /// So much of a full count.
    fn scaled(&self, count: u64) -> u64 {
        (count * self.size / 1000).max(64)
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
/// Far more than the memory that a contestant is left: four readers evenly spaced never find what another has read.
const COLD_BYTES: u64 = 12 * GIB;

impl Row {
    pub const ALL: [Row; 22] = [
        Row::IngestSmall,
        Row::Ingest16K,
        Row::Ingest256K,
        Row::IngestMessages,
        Row::Serve64K,
        Row::Serve1M,
        Row::ServeOnce,
        Row::ServeTwentieth,
        Row::Echo,
        Row::EndToEnd,
        Row::EndToEndTenth,
        Row::TailAlone,
        Row::TailBesideBackfill,
        Row::Sustained,
        Row::Start,
        Row::ScaleBase,
        Row::ScalePartitions,
        Row::ScaleSegments,
        Row::ScaleConnections,
        Row::ToolsProduce,
        Row::ToolsPaced,
        Row::ToolsConsume,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Row::IngestSmall => "ingest-1k",
            Row::Ingest16K => "ingest-16k",
            Row::Ingest256K => "ingest-256k",
            Row::IngestMessages => "ingest-messages",
            Row::Serve64K => "serve-64k",
            Row::Serve1M => "serve-1m",
            Row::ServeOnce => "serve-1-reader",
            Row::ServeTwentieth => "serve-20-readers",
            Row::Echo => "echo",
            Row::EndToEnd => "end-to-end",
            Row::EndToEndTenth => "end-to-end-tenth",
            Row::TailAlone => "tail",
            Row::TailBesideBackfill => "tail-backfill",
            Row::Sustained => "sustained",
            Row::Start => "start",
            Row::ScaleBase => "scale",
            Row::ScalePartitions => "scale-partitions",
            Row::ScaleSegments => "scale-segments",
            Row::ScaleConnections => "scale-connections",
            Row::ToolsProduce => "tools-produce",
            Row::ToolsPaced => "tools-paced",
            Row::ToolsConsume => "tools-consume",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Row::IngestSmall => "ingest, 1 KiB batches, 64 connections pipelining 5, acks=1",
            Row::Ingest16K => "ingest, 16 KiB batches, 64 connections pipelining 5, acks=1",
            Row::Ingest256K => "ingest, 256 KiB batches, 64 connections pipelining 2, acks=1",
            Row::IngestMessages => "ingest, 100-byte messages in 256 KiB batches, 16 connections pipelining 2, acks=1",
            Row::Serve64K => "serve sealed data, 64 KiB ranges, 8 readers",
            Row::Serve1M => "serve sealed data, 1 MiB ranges, 8 readers",
            Row::ServeOnce => "serve sealed data, 1 MiB ranges, 1 reader",
            Row::ServeTwentieth => "serve the same data to 20 readers, 1 MiB ranges",
            Row::Echo => "echo: produce 1 KiB, acks=1, one client, one request at a time",
            Row::EndToEnd => "end to end, 1 KiB messages, 2,000 a second",
            Row::EndToEndTenth => "end to end, 1 KiB messages, a tenth of what the slowest contestant takes at most",
            Row::TailAlone => "tail, 1 KiB messages, 2,000 a second, much cold data beside it that nobody reads",
            Row::TailBesideBackfill => "tail, 1 KiB messages, 2,000 a second, beside four readers of cold data",
            Row::Sustained => "sustained: 256 KiB batches at half of what the disk takes, ten minutes",
            Row::Start => "start to first accepted produce",
            Row::ScaleBase => "scale: 10 partitions of one segment, no idle connections",
            Row::ScalePartitions => "scale: 10,000 partitions",
            Row::ScaleSegments => "scale: 1,000 segments",
            Row::ScaleConnections => "scale: 2,000 idle connections",
            Row::ToolsProduce => "the maker's producer tool (Pagewire: Kafka's), 1 KiB records, as fast as it goes, acks=1",
            Row::ToolsPaced => "the maker's producer tool (Pagewire: Kafka's), 1 KiB records, 5,000 a second, acks=1",
            Row::ToolsConsume => "the maker's consumer tool (Pagewire: Kafka's), 1 KiB records",
        }
    }

    /// The row of that name.
    ///
    /// # Errors
    /// No row is called so.
    pub fn named(name: &str) -> io::Result<Row> {
        let row = Row::ALL.into_iter().find(|row| row.name() == name);
        row.ok_or_else(|| io::Error::other(format!("there is no row {name:?}; --list names them")))
    }

    /// Who is measured, in the order of a turn.
    pub fn contestants(self) -> &'static [Contestant] {
        use Contestant::*;
        match self.kind() {
            Kind::Ingest(_) => &[Floor, Pagewire, Kafka],
            Kind::Serve(_) => &[Floor, FloorSplice, FloorCopy, Pagewire, PagewireCopy, Kafka],
            Kind::Stream(Stream { cold_bytes: 0, .. }) | Kind::Sustained => &[Floor, Pagewire, Kafka],
            Kind::Stream(_) | Kind::Start => &[Pagewire, Kafka],
            Kind::Tool(_) => &[Pagewire, Kafka, Iggy],
            Kind::Scale(_) => &[Pagewire],
        }
    }

    /// The row with which this one takes turns, because one is held against the other. The first of them stands for all.
    pub fn turns_with(self) -> Row {
        match self {
            Row::ServeTwentieth => Row::ServeOnce,
            Row::TailBesideBackfill => Row::TailAlone,
            Row::ScalePartitions | Row::ScaleSegments | Row::ScaleConnections => Row::ScaleBase,
            row => row,
        }
    }

    /// Whether the host has what drives a contestant: that may be a program of Apache Kafka's.
    pub fn has_load_for(self, contestant: Contestant, host: &Host) -> bool {
        !matches!(self.kind(), Kind::Tool(_)) || contestant == Contestant::Iggy || host.kafka_jars.is_some()
    }

    /// Whether its counted part takes so much memory that where that comes from matters. What is served lies in memory already.
    pub fn takes_memory(self) -> bool {
        !matches!(self.kind(), Kind::Serve(_))
    }

    fn kind(self) -> Kind {
        let ingest = |connections, pipeline, batch_bytes, value_bytes, requests, warm_up| {
            Kind::Ingest(Ingest { connections, pipeline, batch_bytes, value_bytes, requests, warm_up })
        };
        let serve = |readers, range_bytes, gigabytes| Kind::Serve(Serve { readers, range_bytes: range_bytes as i32, gigabytes });
        let stream = |cold_bytes, is_backfilled| Kind::Stream(Stream { cold_bytes, is_backfilled });
        let scale = |partitions, segment_bytes, idle_connections| Kind::Scale(Scale { partitions, segment_bytes, idle_connections });
        match self {
            Row::IngestSmall => ingest(64, 5, KIB, 0, 1_000_000, 500_000),
            Row::Ingest16K => ingest(64, 5, 16 * KIB, 0, 250_000, 100_000),
            Row::Ingest256K => ingest(64, 2, 256 * KIB, 0, 16_000, 8_000),
            Row::IngestMessages => ingest(16, 2, 256 * KIB, 100, 16_000, 8_000),
            Row::Echo => ingest(1, 1, KIB, 0, 100_000, 50_000),
            Row::Serve64K => serve(8, 64 * KIB, 8),
            Row::Serve1M => serve(8, MIB, 16),
            Row::ServeOnce => serve(1, MIB, 8),
            Row::ServeTwentieth => serve(20, MIB, 16),
            Row::EndToEnd | Row::EndToEndTenth => stream(0, false),
            Row::TailAlone => stream(COLD_BYTES, false),
            Row::TailBesideBackfill => stream(COLD_BYTES, true),
            Row::Sustained => Kind::Sustained,
            Row::Start => Kind::Start,
            Row::ScaleBase => scale(10, GIB, 0),
            Row::ScalePartitions => scale(10_000, GIB, 0),
            Row::ScaleSegments => scale(10, MIB as u64, 0),
            Row::ScaleConnections => scale(10, GIB, 2_000),
            Row::ToolsProduce => Kind::Tool(Tool::Produce { records: 4_000_000, warm_up: 2_000_000, records_per_second: None }),
            Row::ToolsPaced => Kind::Tool(Tool::Produce { records: 150_000, warm_up: 1_000_000, records_per_second: Some(5_000) }),
            Row::ToolsConsume => Kind::Tool(Tool::Consume { records: 4_000_000 }),
        }
    }

    /// How many requests a second this row's runs send, where that is known before them: by itself, or measured now, of
    /// all who take part.
    ///
    /// # Errors
    /// As [`Row::measure`].
    pub fn rate(self, contestants: &[Contestant], host: &Host, size: u64) -> io::Result<Option<f64>> {
        match self {
            Row::EndToEnd | Row::TailAlone | Row::TailBesideBackfill => Ok(Some(2_000.0)),
            Row::EndToEndTenth => {
                let Kind::Ingest(ingest) = Row::IngestSmall.kind() else { unreachable!("that row ingests") };
                let mut slowest = f64::INFINITY;
                for contestant in contestants {
                    let sample = ingest.measure(&Run { contestant: *contestant, host, size, rate: None })?;
                    slowest = slowest.min(sample.requests as f64 / sample.seconds);
                }
                Ok(Some(slowest / 10.0))
            }
            Row::Sustained => sustained::rate(host, size).map(Some),
            _ => Ok(None),
        }
    }

    /// One run: starts the contestant, warms it up, measures, ends it.
    ///
    /// # Errors
    /// The contestant did not start, refused something, or ended.
    pub fn measure(self, run: &Run<'_>) -> io::Result<Sample> {
        match self.kind() {
            Kind::Ingest(ingest) => ingest.measure(run),
            Kind::Serve(serve) => serve.measure(run),
            Kind::Stream(stream) => stream.measure(run),
            Kind::Sustained => sustained::measure(run),
            Kind::Start => start::measure(run),
            Kind::Scale(scale) => scale.measure(run),
            Kind::Tool(tool) => tool.measure(run),
        }
    }
}
