//! Walks the record batches of a Fetch answer: checks each CRC, unpacks, and hands out record after record.
//!
//! Lives on a worker thread; pure but for the buffer it reuses. Invariant: no bytes of a peer make it panic.

use crate::wire::Codec;
use crate::wire::batch::{BATCH_HEADER_BYTES, BatchHeader, check_stored};
use crate::wire::compression::{DecompressError, Decompressor};

use super::primitives::{Cursor, Malformed};

/// A batch that unpacks to more than this is called corrupt.
const UNPACKED_BYTES_MAX: usize = 256 * 1024 * 1024;
const UNPACK_STEP_BYTES: usize = 64 * 1024;

/// What stands in the log, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    Record {
        offset: i64,
        value: Option<&'a [u8]>,
    },
    /// A control batch: offsets without messages.
    Control {
        first: i64,
        last: i64,
    },
    /// A batch that cannot be read; its offsets, as its header claims them.
    Corrupt {
        first: i64,
        last: i64,
    },
}

/// Reads batches, reusing one buffer for what it unpacks.
#[derive(Debug, Default)]
pub struct BatchReader {
    unpacked: Vec<u8>,
}

impl BatchReader {
    /// Walks all whole batches in `bytes`; a last one cut short, which Fetch allows, is left out. Returns the first fault found, as
    /// a sentence. Offsets of a compressed batch may start before the one that was asked for.
    pub fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(Entry<'_>)) -> Option<String> {
        let mut fault = None;
        while let Some(header) = BatchHeader::parse(bytes) {
            let Some(total) = header.total_bytes() else {
                each(Entry::Corrupt { first: header.base_offset.0, last: header.base_offset.0 });
                return Some(format!("a batch at offset {} claims a length of {}", header.base_offset, header.batch_length));
            };
            let Some(batch) = bytes.get(..total) else { break };
            bytes = &bytes[total..];
            if let Err(why) = self.read_batch(batch, &mut each) {
                each(Entry::Corrupt { first: header.base_offset.0, last: header.last_offset().0 });
                fault.get_or_insert(format!("the batch at offset {}: {why}", header.base_offset));
            }
        }
        fault
    }

    fn read_batch(&mut self, batch: &[u8], each: &mut impl FnMut(Entry<'_>)) -> Result<(), String> {
        let header = check_stored(batch).map_err(|error| error.to_string())?;
        if header.attributes.is_control() {
            each(Entry::Control { first: header.base_offset.0, last: header.last_offset().0 });
            return Ok(());
        }
        let packed = &batch[BATCH_HEADER_BYTES..];
        let records = match header.attributes.codec() {
            Ok(Codec::None) => packed,
            Ok(codec) => {
                let bytes = unpack(codec, packed, &mut self.unpacked).map_err(|error| format!("{}: {error}", codec.name()))?;
                &self.unpacked[..bytes]
            }
            Err(unknown) => return Err(format!("codec {unknown} has no meaning")),
        };
        let mut cursor = Cursor::new(records);
        for number in 0..header.records_count {
            let (offset_delta, value) = read_record(&mut cursor).map_err(|error| format!("record {number}: {error}"))?;
            each(Entry::Record { offset: header.base_offset.0.saturating_add(i64::from(offset_delta)), value });
        }
        if !cursor.is_empty() {
            return Err(format!("bytes after its {} records", header.records_count));
        }
        Ok(())
    }
}

/// Unpacks into the front of `buffer`, which grows as needed and is never made smaller. Returns how many bytes.
fn unpack(codec: Codec, packed: &[u8], buffer: &mut Vec<u8>) -> Result<usize, DecompressError> {
    let mut decompressor = Decompressor::new(codec, packed, UNPACKED_BYTES_MAX)?;
    let mut end = 0;
    loop {
        if buffer.len() - end < UNPACK_STEP_BYTES {
            buffer.resize((2 * buffer.len()).max(end + UNPACK_STEP_BYTES), 0);
        }
        match decompressor.read(&mut buffer[end..])? {
            0 => return Ok(end),
            came => end += came,
        }
    }
}

/// One record: its offset delta and value. Keys and headers are stepped over with the rest of it.
fn read_record<'a>(cursor: &mut Cursor<'a>) -> Result<(i32, Option<&'a [u8]>), Malformed> {
    let Some(body) = cursor.record_bytes()? else { return Err(Malformed { expected: "a record length", at: 0 }) };
    let mut body = Cursor::new(body);
    body.i8()?;
    body.varlong()?;
    let offset_delta = body.varint()?;
    body.record_bytes()?;
    let value = body.record_bytes()?;
    Ok((offset_delta, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::load::batch_writer::{BatchWriter, ProducerStamp};
    use crate::load::filler::{Filler, FillerKind};
    use crate::load::identity::StreamKey;
    use crate::load::message::Message;

    fn batch(codec: Codec) -> Vec<u8> {
        let mut writer = BatchWriter::new(codec, Filler::new(FillerKind::Text, 24));
        let mut batch = Vec::new();
        for sequence in 0..3 {
            writer.push(&Message { stream: StreamKey::default(), sequence, intended_ns: 0, sent_ns: 0 }, None, &mut batch);
        }
        writer.seal(Timestamp(0), ProducerStamp::NONE, &mut batch);
        batch
    }

    #[test]
    fn a_flipped_bit_anywhere_under_the_crc_is_one_corrupt_batch() {
        for codec in Codec::ALL {
            let whole = batch(codec);
            for at in [17, 21, 30, 60, 61, whole.len() - 1] {
                let mut damaged = whole.clone();
                damaged[at] ^= 0x10;
                damaged.extend_from_slice(&whole);
                let (mut corrupt, mut records) = (0, 0);
                let fault = BatchReader::default().read(&damaged, |entry| match entry {
                    Entry::Corrupt { .. } => corrupt += 1,
                    _ => records += 1,
                });
                assert_eq!((corrupt, records), (1, 3), "{} byte {at}", codec.name());
                assert!(fault.is_some());
            }
        }
    }

    #[test]
    fn a_last_batch_cut_short_is_left_out() {
        let mut bytes = batch(Codec::None);
        bytes.extend_from_slice(&batch(Codec::None)[..100]);
        let mut records = 0;
        assert_eq!(BatchReader::default().read(&bytes, |_| records += 1), None);
        assert_eq!(records, 3);
    }
}
