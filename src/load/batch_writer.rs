//! Builds one RecordBatch of numbered messages, straight into the buffer that is sent.
//!
//! Lives on a worker thread; pure but for the buffers it reuses. Invariants: offset deltas are 0, 1, 2, …; all
//! records of a batch carry the batch's timestamp, as those of a client that fills a batch within a millisecond do.

use crate::base::{LeaderEpoch, Offset, ProducerId, Timestamp};
use crate::wire::batch::{BATCH_CRC_START, BATCH_HEADER_BYTES, BATCH_LOG_OVERHEAD, MAGIC};
use crate::wire::compression::compress;
use crate::wire::{Attributes, BatchHeader, Codec};

use super::filler::Filler;
use super::keys::KEY_BYTES;
use super::message::{MESSAGE_BYTES_MIN, Message};
use super::primitives::{put_varint, varint_bytes};

/// Bytes of a record besides its value, at most: length, attributes, timestamp, offset, key, value length, headers.
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 5 + 1 + 1 + 5 + 1 + 5 + 1;

/// The idempotent producer's part of a batch (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    pub producer_id: ProducerId,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

impl ProducerStamp {
    /// Not idempotent.
    pub const NONE: ProducerStamp = ProducerStamp { producer_id: ProducerId(-1), producer_epoch: -1, base_sequence: -1 };
}

/// Fills batches with messages of one size, compressed by one codec.
#[derive(Debug)]
pub struct BatchWriter {
    message_bytes: usize,
    codec: Codec,
    filler: Filler,
    plain: Vec<u8>,
    records: i32,
}

impl BatchWriter {
    pub fn new(codec: Codec, filler: Filler) -> BatchWriter {
        let message_bytes = MESSAGE_BYTES_MIN + filler.length();
        BatchWriter { message_bytes, codec, filler, plain: Vec::new(), records: 0 }
    }

    /// How many messages fit a batch of `batch_bytes` before compression; at least one.
    pub fn messages_per_batch(&self, batch_bytes: usize) -> u64 {
        let record_bytes = self.message_bytes + RECORD_OVERHEAD_BYTES_MAX;
        (batch_bytes.saturating_sub(BATCH_HEADER_BYTES) / record_bytes).max(1) as u64
    }

    /// Appends one message to the batch that grows in `batch`, which is empty before the first.
    pub fn push(&mut self, message: &Message, key: Option<&[u8; KEY_BYTES]>, batch: &mut Vec<u8>) {
        // Uncompressed records are written where they are sent from; the others once more, by the codec.
        let out = match self.codec {
            Codec::None => {
                if batch.is_empty() {
                    batch.resize(BATCH_HEADER_BYTES, 0);
                }
                batch
            }
            _ => &mut self.plain,
        };
        let value_bytes = self.message_bytes as i32;
        let key_bytes = key.map_or(0, |key| key.len() as i32);
        // Attributes, timestamp delta, length of the key and header count are one byte each.
        put_varint(4 + varint_bytes(self.records) as i32 + key_bytes + varint_bytes(value_bytes) as i32 + value_bytes, out);
        out.extend_from_slice(&[0, 0]);
        put_varint(self.records, out);
        match key {
            Some(key) => {
                put_varint(key_bytes, out);
                out.extend_from_slice(key);
            }
            None => put_varint(-1, out),
        }
        put_varint(value_bytes, out);
        message.write(self.filler.bytes(message.sequence), out);
        put_varint(0, out);
        self.records += 1;
    }

    /// Ends the batch: compresses, writes the header and the CRC.
    pub fn seal(&mut self, timestamp: Timestamp, stamp: ProducerStamp, batch: &mut Vec<u8>) {
        assert!(self.records > 0, "a batch has at least one record");
        if self.codec != Codec::None {
            batch.resize(BATCH_HEADER_BYTES, 0);
            batch.extend_from_slice(&compress(self.codec, &self.plain));
            self.plain.clear();
        }
        let mut header = BatchHeader {
            base_offset: Offset::ZERO,
            batch_length: (batch.len() - BATCH_LOG_OVERHEAD) as i32,
            partition_leader_epoch: LeaderEpoch::UNKNOWN,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes(self.codec as i16),
            last_offset_delta: self.records - 1,
            base_timestamp: timestamp,
            max_timestamp: timestamp,
            producer_id: stamp.producer_id,
            producer_epoch: stamp.producer_epoch,
            base_sequence: stamp.base_sequence,
            records_count: self.records,
        };
        let place = batch.first_chunk_mut().expect("the header's place was kept");
        header.write(place);
        header.crc = crc32c::crc32c(&batch[BATCH_CRC_START..]);
        batch[17..21].copy_from_slice(&header.crc.to_be_bytes());
        self.records = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::batch_reader::{BatchReader, Entry};
    use crate::load::filler::FillerKind;
    use crate::load::identity::StreamKey;

    #[test]
    fn what_is_written_is_read_with_every_codec() {
        for codec in Codec::ALL {
            let mut writer = BatchWriter::new(codec, Filler::new(FillerKind::Text, 60));
            let mut batch = Vec::new();
            for round in 0..2 {
                batch.clear();
                let message = |sequence| Message { stream: StreamKey::default(), sequence, intended_ns: 5, sent_ns: 6 };
                (0..200).for_each(|sequence| writer.push(&message(sequence), (round == 1).then_some(b"k00000000007"), &mut batch));
                writer.seal(Timestamp(1000), ProducerStamp::NONE, &mut batch);
                let mut offset = 0;
                let faults = BatchReader::default().read(&batch, |entry| match entry {
                    Entry::Record { offset: at, value } => {
                        assert_eq!(at, offset);
                        assert_eq!(Message::read(value.expect("a value")), Ok(message(offset as u64)));
                        offset += 1;
                    }
                    other => panic!("{other:?}"),
                });
                assert_eq!((offset, faults), (200, None), "{} round {round}", codec.name());
            }
        }
    }

    #[test]
    fn a_batch_stays_within_its_bytes() {
        for message_bytes in [MESSAGE_BYTES_MIN, 100, 1000, 70_000] {
            let mut writer = BatchWriter::new(Codec::None, Filler::new(FillerKind::Zeros, message_bytes - MESSAGE_BYTES_MIN));
            let mut batch = Vec::new();
            let count = writer.messages_per_batch(16_384);
            for sequence in 0..count {
                writer.push(&Message { stream: StreamKey::default(), sequence, intended_ns: u64::MAX, sent_ns: 0 }, None, &mut batch);
            }
            writer.seal(Timestamp(0), ProducerStamp::NONE, &mut batch);
            assert!(batch.len() <= 16_384 || count == 1, "{message_bytes}: {}", batch.len());
        }
    }
}
