//! A number in each batch, so that a reader knows which request it came with.
//!
//! The number stands in the last eight bytes of the value of a batch with one record (behind it only the count of headers: one byte,
//! 0), and the batch's CRC is made anew. Brokers leave both alone, so the number travels to every reader.

use crate::frames::bytes_at;

/// Batch header fields (the table stands in `pagewire::wire::batch`).
const CRC_AT: usize = 17;
const CRC_START: usize = 21;
const STAMP_BYTES: usize = 8;
const BYTES_BEHIND_VALUE: usize = 1;

/// Writes a number into a batch.
pub fn write(batch: &mut [u8], number: u64) {
    let at = at(batch.len());
    batch[at..at + STAMP_BYTES].copy_from_slice(&number.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_START..]);
    batch[CRC_AT..CRC_START].copy_from_slice(&crc.to_be_bytes());
}

/// The number in a batch.
pub fn read(batch: &[u8]) -> u64 {
    u64::from_be_bytes(bytes_at(batch, at(batch.len())))
}

fn at(batch_bytes: usize) -> usize {
    batch_bytes - BYTES_BEHIND_VALUE - STAMP_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::Batch;
    use pagewire::wire::batch::check_stored;

    #[test]
    fn a_stamped_batch_is_a_sound_batch_with_that_number() {
        let mut batch = Batch::of(1024, 0).bytes;
        let before = batch.clone();
        write(&mut batch, 0x0102_0304_0506_0708);
        assert_eq!(read(&batch), 0x0102_0304_0506_0708);
        assert_ne!(before, batch);
        assert_eq!(before[..CRC_AT], batch[..CRC_AT]);
        assert_eq!(batch.last(), Some(&0), "the record has no headers");
        check_stored(&batch).unwrap();
    }
}
