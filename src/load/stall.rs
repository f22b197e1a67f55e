//! Whose fault a late batch is: the generator's, from the time it could have left, or the broker's, which left no room for it.
//!
//! Pure; one per connection. Invariant: what was due while the generator did not look is the generator's, also when the backlog that
//! has come of it then fills the window.

/// The last span in which a batch could have left and the generator did not send it.
#[derive(Clone, Debug, Default)]
pub struct Stall {
    span: std::ops::Range<u64>,
}

impl Stall {
    /// How late a batch is by the generator's doing. It was due at `due_ns`, its connection and partition had room for it from
    /// `could_leave_ns` on, and it leaves now.
    pub fn late_ns(&mut self, due_ns: u64, could_leave_ns: u64, now_ns: u64) -> u64 {
        let own_ns = now_ns.saturating_sub(could_leave_ns);
        if self.span.contains(&due_ns) {
            return own_ns.max(self.span.end - due_ns);
        }
        self.span = could_leave_ns..now_ns.max(could_leave_ns);
        own_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_without_room_is_not_held_against_the_generator() {
        let mut stall = Stall::default();
        assert_eq!(stall.late_ns(100, 500, 510), 10, "room came at 500");
        assert_eq!(stall.late_ns(200, 600, 605), 5);
    }

    #[test]
    fn a_backlog_of_the_generators_own_making_is() {
        let mut stall = Stall::default();
        assert_eq!(stall.late_ns(100, 100, 600), 500, "it slept from 100 to 600");
        // Due while it slept; by now the window is full of what it sent late.
        assert_eq!(stall.late_ns(150, 650, 660), 450);
        assert_eq!(stall.late_ns(590, 700, 701), 10);
        assert_eq!(stall.late_ns(620, 710, 712), 2, "due when it was awake again: it waited for room");
    }
}
