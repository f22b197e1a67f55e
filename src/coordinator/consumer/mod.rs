//! The consumer protocol (KIP-848): members say what they read and own, the coordinator assigns.
//!
//! Pure, as all of `coordinator`. Each member is brought to the target assignment by itself, in two steps: it gives up what is
//! not its own any more, then takes what others gave up. There is no barrier.
//!
//! `memory` is what the log says of a group and `record` its entries; `group` is the machine around it, and each of
//! `heartbeat`, `subscription`, `target`, `reconcile`, `leave`, `timers`, `offset_commit`, `removal` and `write` holds the rules
//! of one step. `topics` is what a group must know of the cluster.

pub mod assignor;
