//! Writes the fields of one key or value of `__consumer_offsets`, in order.
//!
//! Invariant: names fit an `int16` length because their types say so; the one free text, an offset's metadata in a version
//! 1 value, is cut to fit.

use bytes::Bytes;

use crate::coordinator::ids::TEXT_BYTES_MAX;

#[derive(Default)]
pub(super) struct FieldWriter {
    bytes: Vec<u8>,
}

impl FieldWriter {
    pub fn new(version: i16) -> FieldWriter {
        FieldWriter { bytes: version.to_be_bytes().to_vec() }
    }

    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub fn text(&mut self, text: &str) {
        let mut length = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        self.bytes.extend((length as i16).to_be_bytes());
        self.bytes.extend(&text.as_bytes()[..length]);
    }

    pub fn nullable_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.bytes.extend((-1i16).to_be_bytes()),
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.i32(i32::try_from(bytes.len()).expect("a field came in a request below 2 GiB"));
        self.bytes.extend(bytes);
    }

    pub fn compact_text(&mut self, text: &str) {
        self.unsigned_varint(u32::try_from(text.len() + 1).expect("a field came in a request below 2 GiB"));
        self.bytes.extend(text.as_bytes());
    }

    pub fn nullable_compact_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.compact_text(text),
            None => self.unsigned_varint(0),
        }
    }

    pub fn compact_bytes(&mut self, bytes: &[u8]) {
        self.compact_count(bytes.len());
        self.raw(bytes);
    }

    pub fn compact_count(&mut self, count: usize) {
        self.unsigned_varint(u32::try_from(count + 1).expect("a field came in a request below 2 GiB"));
    }

    pub fn i8(&mut self, value: i8) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    pub fn tagged(&mut self, tag: u32, bytes: &[u8]) {
        self.unsigned_varint(tag);
        self.unsigned_varint(u32::try_from(bytes.len()).expect("a field came in a request below 2 GiB"));
        self.bytes.extend(bytes);
    }

    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}
