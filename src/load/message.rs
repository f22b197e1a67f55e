//! The value of every message: who sent it, its number, when it was meant to be sent and when it was, and a checksum.
//!
//! | byte | field | meaning |
//! |---|---|---|
//! | 0 | magic u32 | `PWL2` |
//! | 4 | checksum u32 | CRC-32C of everything from byte 8 to the end |
//! | 8 | run u32 | which run of the load generator |
//! | 12 | producer u32 | which producer of the run |
//! | 16 | topic u32 | number of the topic in the run |
//! | 20 | partition u32 | Kafka's partition index |
//! | 24 | sequence u64 | 0, 1, 2, … per run, producer, topic and partition |
//! | 32 | intended u64 | ns of CLOCK_MONOTONIC at which the message was due |
//! | 40 | sent u64 | ns of CLOCK_MONOTONIC at which its batch was built, to be sent at once |
//! | 48 | filler | up to the message size |
//!
//! Numbers are little-endian. Pure. Invariant: `value.len() >= MESSAGE_BYTES_MIN`.

use super::identity::{PartitionKey, ProducerNumber, RunId, StreamKey, TopicNumber};

/// The smallest message: the fields without filler.
pub const MESSAGE_BYTES_MIN: usize = 48;
const MAGIC: [u8; 4] = *b"PWL2";

/// What a message says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub stream: StreamKey,
    pub sequence: u64,
    /// When the schedule wanted it sent, ns of CLOCK_MONOTONIC.
    pub intended_ns: u64,
    /// When it was sent for the first time; a batch that is sent again keeps it.
    pub sent_ns: u64,
}

/// Why a value is not a message in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAMessage {
    /// Somebody else's: too short, or without the magic.
    Foreign,
    /// Ours by its magic, but the checksum does not hold.
    Corrupt,
}

impl Message {
    /// Appends the value to `out`: the fields, then `filler`, under one checksum.
    pub fn write(&self, filler: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.stream.run.0.to_le_bytes());
        out.extend_from_slice(&self.stream.producer.0.to_le_bytes());
        out.extend_from_slice(&self.stream.partition.topic.0.to_le_bytes());
        out.extend_from_slice(&self.stream.partition.partition.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.intended_ns.to_le_bytes());
        out.extend_from_slice(&self.sent_ns.to_le_bytes());
        out.extend_from_slice(filler);
        let checksum = crc32c::crc32c(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads a value back and checks it.
    ///
    /// # Errors
    /// [`NotAMessage`]: somebody else's bytes, or ours and damaged.
    pub fn read(value: &[u8]) -> Result<Message, NotAMessage> {
        if value.len() < MESSAGE_BYTES_MIN || value[..4] != MAGIC {
            return Err(NotAMessage::Foreign);
        }
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| value[at + i]));
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| value[at + i]));
        if word(4) != crc32c::crc32c(&value[8..]) {
            return Err(NotAMessage::Corrupt);
        }
        let partition = PartitionKey { topic: TopicNumber(word(16)), partition: word(20) as i32 };
        Ok(Message {
            stream: StreamKey { run: RunId(word(8)), producer: ProducerNumber(word(12)), partition },
            sequence: long(24),
            intended_ns: long(32),
            sent_ns: long(40),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Message {
        let partition = PartitionKey { topic: TopicNumber(3), partition: 7 };
        let stream = StreamKey { run: RunId(0xabcd), producer: ProducerNumber(2), partition };
        Message { stream, sequence: 1 << 40, intended_ns: 123_456_789, sent_ns: 123_500_000 }
    }

    #[test]
    fn reads_what_it_wrote() {
        let mut value = vec![9, 9];
        sample().write(b"filler", &mut value);
        assert_eq!(value.len(), 2 + MESSAGE_BYTES_MIN + 6);
        assert_eq!(Message::read(&value[2..]), Ok(sample()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut value = Vec::new();
        sample().write(b"filler", &mut value);
        for at in 0..value.len() {
            let mut damaged = value.clone();
            damaged[at] ^= 1;
            let expected = if at < 4 { NotAMessage::Foreign } else { NotAMessage::Corrupt };
            assert_eq!(Message::read(&damaged), Err(expected), "byte {at}");
        }
    }

    #[test]
    fn a_cut_message_is_corrupt_and_a_short_one_foreign() {
        let mut value = Vec::new();
        sample().write(b"filler", &mut value);
        assert_eq!(Message::read(&value[..value.len() - 1]), Err(NotAMessage::Corrupt));
        assert_eq!(Message::read(&value[..MESSAGE_BYTES_MIN - 1]), Err(NotAMessage::Foreign));
    }
}
