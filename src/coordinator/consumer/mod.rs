//! The parts of KIP-848's consumer groups, where the broker computes the assignment. Pure, like all of `coordinator`.

pub mod assignor;
