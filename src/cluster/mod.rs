//! The metadata image and the rules that change it. Pure values and functions, any thread.

mod absent_settings;
pub mod broker_config;
pub mod client_quotas;
pub mod controller;
mod generated;
pub mod image;
pub mod placement;
pub mod setting;
pub mod store_format;
pub mod topic_config;
