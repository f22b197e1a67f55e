//! The consumer protocol (KIP-848): members say what they read and own, the coordinator assigns.
//!
//! Pure, as all of `coordinator`.

pub mod assignor;
