//! Reads the fields of one key or value of `__consumer_offsets`, in order.
//!
//! Invariant: every length is checked against the bytes that are left before it is used.

use super::RecordError;

pub(super) struct FieldReader<'a> {
    left: &'a [u8],
    flexible: bool,
}

impl<'a> FieldReader<'a> {
    /// The leading i16, and a reader of what follows. `flexible` tells from the i16 how lengths are written.
    pub fn versioned(bytes: &'a [u8], flexible: impl Fn(i16) -> bool) -> Result<(i16, FieldReader<'a>), RecordError> {
        let mut reader = FieldReader { left: bytes, flexible: false };
        let version = i16::from_be_bytes(reader.array("version")?);
        reader.flexible = flexible(version);
        Ok((version, reader))
    }

    /// The inside of a tagged field.
    pub fn flexible(bytes: &'a [u8]) -> FieldReader<'a> {
        FieldReader { left: bytes, flexible: true }
    }

    pub fn i8(&mut self, field: &'static str) -> Result<i8, RecordError> {
        self.array(field).map(i8::from_be_bytes)
    }

    pub fn uuid(&mut self, field: &'static str) -> Result<[u8; 16], RecordError> {
        self.array(field)
    }

    pub fn i32(&mut self, field: &'static str) -> Result<i32, RecordError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub fn i64(&mut self, field: &'static str) -> Result<i64, RecordError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// A string; null reads as empty, as Kafka's own older readers had it.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str, RecordError> {
        Ok(self.nullable_text(field)?.unwrap_or(""))
    }

    pub fn nullable_text(&mut self, field: &'static str) -> Result<Option<&'a str>, RecordError> {
        let length = match self.flexible {
            true => self.compact_length(field)?,
            false => i64::from(i16::from_be_bytes(self.array(field)?)),
        };
        let Some(bytes) = self.nullable_run(field, length)? else { return Ok(None) };
        std::str::from_utf8(bytes).map(Some).map_err(|_| RecordError::Text { field })
    }

    /// A string as a checked name.
    pub fn name<T, E>(&mut self, field: &'static str, new: impl Fn(&str) -> Result<T, E>) -> Result<T, RecordError> {
        new(self.text(field)?).map_err(|_| RecordError::Text { field })
    }

    pub fn nullable_name<T, E>(&mut self, field: &'static str, new: impl Fn(&str) -> Result<T, E>) -> Result<Option<T>, RecordError> {
        self.nullable_text(field)?.map(new).transpose().map_err(|_| RecordError::Text { field })
    }

    /// Null reads as empty.
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], RecordError> {
        let length = self.long_length(field)?;
        Ok(self.nullable_run(field, length)?.unwrap_or(&[]))
    }

    /// The count of an array whose elements have at least one byte each.
    pub fn count(&mut self, field: &'static str) -> Result<usize, RecordError> {
        let count = self.long_length(field)?;
        let count = usize::try_from(count).map_err(|_| RecordError::Length { field, length: count })?;
        if count > self.left.len() {
            return Err(RecordError::Short { field, expected: count, left: self.left.len() });
        }
        Ok(count)
    }

    /// Hands each tagged field (KIP-482) to `each`; nothing in versions without them.
    pub fn tagged_fields(&mut self, mut each: impl FnMut(u32, &[u8])) -> Result<(), RecordError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint("tagged fields")? {
            let tag = self.unsigned_varint("tag")?;
            let length = self.unsigned_varint("tagged field")?;
            each(tag, self.run("tagged field", length as usize)?);
        }
        Ok(())
    }

    fn long_length(&mut self, field: &'static str) -> Result<i64, RecordError> {
        if self.flexible { self.compact_length(field) } else { self.i32(field).map(i64::from) }
    }

    fn compact_length(&mut self, field: &'static str) -> Result<i64, RecordError> {
        Ok(i64::from(self.unsigned_varint(field)?) - 1)
    }

    fn nullable_run(&mut self, field: &'static str, length: i64) -> Result<Option<&'a [u8]>, RecordError> {
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| RecordError::Length { field, length })?;
        self.run(field, length).map(Some)
    }

    pub fn unsigned_varint(&mut self, field: &'static str) -> Result<u32, RecordError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array(field)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| RecordError::Varint { field });
            }
        }
        Err(RecordError::Varint { field })
    }

    fn run(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], RecordError> {
        let (run, left) =
            self.left.split_at_checked(length).ok_or(RecordError::Short { field, expected: length, left: self.left.len() })?;
        self.left = left;
        Ok(run)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], RecordError> {
        let (array, left) = self.left.split_first_chunk::<N>().ok_or(RecordError::Short { field, expected: N, left: self.left.len() })?;
        self.left = left;
        Ok(*array)
    }
}
