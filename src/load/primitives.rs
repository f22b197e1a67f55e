//! Kafka's primitive types for the two hot requests: varints and compact strings out, a bounds-checked cursor in.
//!
//! Pure. Invariant: a `Cursor` never reads past its slice and never allocates.
//! Source: Kafka's protocol guide, "Protocol Primitive Types"; flexible versions, KIP-482.

/// The bytes ended or said something that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}, the answer ends or says otherwise")]
pub struct Malformed {
    pub expected: &'static str,
    pub at: usize,
}

pub fn put_unsigned_varint(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A zigzag varint, as records carry them.
pub fn put_varint(value: i32, out: &mut Vec<u8>) {
    put_unsigned_varint(((value << 1) ^ (value >> 31)) as u32, out);
}

/// Bytes of the zigzag varint of `value`.
pub fn varint_bytes(value: i32) -> usize {
    let zigzag = ((value << 1) ^ (value >> 31)) as u32;
    (32 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

/// A compact string: length plus one, then the bytes.
pub fn put_compact_string(text: &str, out: &mut Vec<u8>) {
    put_unsigned_varint(text.len() as u32 + 1, out);
    out.extend_from_slice(text.as_bytes());
}

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn take(&mut self, length: usize, expected: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(Malformed { expected, at: self.at })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], Malformed> {
        self.take(N, expected).map(|bytes| std::array::from_fn(|i| bytes[i]))
    }

    pub fn i8(&mut self) -> Result<i8, Malformed> {
        self.array("an int8").map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array("an int16").map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array("an int32").map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array("an int64").map(i64::from_be_bytes)
    }

    pub fn unsigned_varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array("a varint")?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed { expected: "a varint of 32 bits", at: self.at })
    }

    pub fn varint(&mut self) -> Result<i32, Malformed> {
        self.unsigned_varint().map(|zigzag| (zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
    }

    /// A zigzag varint of up to 64 bits.
    pub fn varlong(&mut self) -> Result<i64, Malformed> {
        let mut zigzag = 0u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.array("a varlong")?;
            if shift == 63 && byte > 1 {
                break;
            }
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
        }
        Err(Malformed { expected: "a varint of 64 bits", at: self.at })
    }

    /// The count of a compact array; a null array counts 0. Never larger than the bytes that are left.
    pub fn compact_count(&mut self) -> Result<usize, Malformed> {
        let count = (self.unsigned_varint()? as usize).saturating_sub(1);
        if count > self.bytes.len() - self.at {
            return Err(Malformed { expected: "an array that fits the answer", at: self.at });
        }
        Ok(count)
    }

    /// Compact bytes or a compact string; `None` if null.
    pub fn compact_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.unsigned_varint()? {
            0 => Ok(None),
            length => self.take(length as usize - 1, "as many bytes as their length says").map(Some),
        }
    }

    /// Bytes behind a zigzag varint length; `None` if it is negative.
    pub fn record_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match usize::try_from(self.varint()?) {
            Err(_) => Ok(None),
            Ok(length) => self.take(length, "as many bytes as their length says").map(Some),
        }
    }

    /// Steps over the tagged fields of KIP-482.
    pub fn skip_tagged_fields(&mut self) -> Result<(), Malformed> {
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let length = self.unsigned_varint()? as usize;
            self.take(length, "a tagged field")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for value in [0, 1, -1, 63, -64, 64, -65, 300, i32::MAX, i32::MIN] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out.len(), varint_bytes(value), "{value}");
            assert_eq!(Cursor::new(&out).varint(), Ok(value));
            assert_eq!(Cursor::new(&out).varlong(), Ok(i64::from(value)));
        }
    }

    #[test]
    fn nothing_is_read_past_the_end() {
        assert!(Cursor::new(&[0, 0, 1]).i32().is_err());
        assert!(Cursor::new(&[0xff; 20]).unsigned_varint().is_err());
        assert!(Cursor::new(&[0xff; 20]).varlong().is_err());
        assert!(Cursor::new(&[9, 1, 2]).compact_bytes().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0x03]).compact_count().is_err());
    }
}
