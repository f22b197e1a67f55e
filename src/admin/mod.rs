//! What people use: settings, preflight, admin commands.

pub mod moves;
pub mod preflight;
pub mod settings;
pub mod topics;
