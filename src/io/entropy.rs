//! Randomness, for ids that must be unique in the world.
//!
//! Any thread; never on a request's path.

/// 16 random bytes in the form of a version 4 UUID (RFC 9562), never all zero.
pub fn uuid() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}
