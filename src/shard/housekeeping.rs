//! What a core does by the clock, and the task that waits for other threads when the core is idle.
//!
//! Lives on the core. An idle core wakes up once per [`TICK`]; rolls, retention and flushes by time are that precise.

use std::rc::Rc;
use std::time::Duration;

use crate::io::glommio::{look_at_ring, sleep, spawn};
use crate::shard::Shard;

/// How often each partition is looked at.
const TICK: Duration = Duration::from_millis(1000);
/// Messages of other threads worked off before others get their turn.
const MESSAGES_PER_TURN: usize = 256;
/// Partitions looked at before others get their turn.
const PARTITIONS_PER_TURN: usize = 64;

impl Shard {
    /// Starts the core's own tasks. They end when the executor does.
    pub fn start_tasks(self: &Rc<Self>) {
        let shard = self.clone();
        spawn(async move { shard.listen_to_mesh().await }).detach();
        let shard = self.clone();
        spawn(async move { shard.keep_house().await }).detach();
        self.load_groups();
        self.start_group_timer();
    }

    async fn listen_to_mesh(self: Rc<Self>) {
        let mut received = 0;
        loop {
            received += self.drain_mesh();
            if received < MESSAGES_PER_TURN {
                self.mesh.wait().await;
            } else {
                received = 0;
                // The wait above is none while messages keep coming, and this core has connections of its own.
                look_at_ring().await;
            }
        }
    }

    async fn keep_house(self: Rc<Self>) {
        while !self.is_stopping() {
            sleep(TICK).await;
            self.look_after_partitions().await;
        }
    }

    /// Looks at each partition once. A thousand take half a millisecond: what arrives meanwhile is not to wait for that.
    async fn look_after_partitions(self: &Rc<Self>) {
        for turn in self.all_partitions().chunks(PARTITIONS_PER_TURN) {
            turn.iter().for_each(|partition| partition.tick(self));
            look_at_ring().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::io::clock::monotonic_ns;
    use crate::io::glommio::run_here;
    use crate::shard::message::Message;
    use crate::shard::test_cores::TestCores;

    const FLOOD_NS: u64 = 2_000_000_000;

    #[test]
    fn who_waits_for_the_ring_is_not_kept_waiting_by_many_partitions() {
        const TURNS: usize = 20;
        let partitions = (TURNS * PARTITIONS_PER_TURN) as i32;
        run_here(async move {
            let cores = TestCores::with_partitions(1, partitions, &[]);
            let over = Rc::new(Cell::new(false));
            let beside = spawn({
                let over = over.clone();
                async move {
                    let mut answers = 0;
                    while !over.get() {
                        look_at_ring().await;
                        answers += 1;
                    }
                    answers
                }
            });
            cores.shard(0).look_after_partitions().await;
            over.set(true);
            let answers = beside.await;
            assert!(answers >= TURNS, "{answers} answers of the ring while {partitions} partitions were looked at");
        });
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // another thread stands in for a core
    fn whoever_sends_without_a_pause_does_not_keep_a_core_from_its_own_tasks() {
        let TestCores { shards, control, .. } = TestCores::new(1, &[]);
        let begun_ns = monotonic_ns();
        let flood = std::thread::spawn(move || {
            while monotonic_ns() - begun_ns < FLOOD_NS {
                let work = |_: &Rc<Shard>| {
                    let begun_ns = monotonic_ns();
                    while monotonic_ns() - begun_ns < 20_000 {}
                };
                // Never far ahead of the core, and never behind it.
                if control.backlog() < 1000 {
                    let _ = control.send(0, Message::Run(Box::new(work)));
                } else {
                    std::thread::yield_now();
                    control.drain(|_, _| {});
                }
            }
        });
        let turns = run_here(async move {
            shards[0].start_tasks();
            let mut turns = 0;
            while monotonic_ns() - begun_ns < FLOOD_NS / 2 {
                sleep(Duration::from_millis(1)).await;
                turns += 1;
            }
            turns
        });
        flood.join().unwrap();
        assert!(turns > 10, "{turns} turns of a task that wants one each millisecond");
    }
}
