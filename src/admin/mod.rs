//! What people use: settings, preflight, admin commands.

pub mod cluster;
pub mod preflight;
pub mod refusal;
pub mod settings;
pub mod table;
pub mod topics;
