//! What people use: settings, preflight, admin commands.

pub mod cluster;
pub mod completions;
pub mod configs;
pub mod groups;
pub mod moves;
pub mod preflight;
pub mod refusal;
pub mod settings;
pub mod table;
pub mod topics;
