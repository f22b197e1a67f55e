//! Questions to other threads that have no answer yet.
//!
//! Lives on the core that asked. A slot is used again only after its generation rose, so a late answer to a question that was
//! given up finds nobody and is dropped.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::shard::message::Answer;

/// Names one open question of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    slot: u32,
    generation: u32,
}

impl CallId {
    /// The id as one number, for those who pass it on without knowing what it is.
    pub fn to_number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The id behind a number that [`CallId::to_number`] made.
    pub fn from_number(number: u64) -> CallId {
        CallId { slot: number as u32, generation: (number >> 32) as u32 }
    }
}

#[derive(Default)]
struct Slot {
    generation: u32,
    answer: Option<Answer>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// The open questions of one core.
#[derive(Clone, Default)]
pub struct Calls {
    inner: Rc<RefCell<Slots>>,
}

/// Resolves to the answer, whose type the asker knows. Dropping it gives the question up.
pub struct Call<T> {
    calls: Calls,
    pub id: CallId,
    answer: std::marker::PhantomData<T>,
}

impl Calls {
    /// Opens a question whose answer is a `T`.
    pub fn open<T: Send + 'static>(&self) -> Call<T> {
        let mut inner = self.inner.borrow_mut();
        let slot = inner.free.pop().unwrap_or_else(|| {
            inner.slots.push(Slot::default());
            u32::try_from(inner.slots.len() - 1).expect("open questions are bounded by connections and partitions")
        });
        let id = CallId { slot, generation: inner.slots[slot as usize].generation };
        Call { calls: self.clone(), id, answer: std::marker::PhantomData }
    }

    /// Delivers an answer; nobody waits any more: it is dropped.
    pub fn complete(&self, id: CallId, answer: Answer) {
        let mut inner = self.inner.borrow_mut();
        let slot = &mut inner.slots[id.slot as usize];
        if slot.generation == id.generation {
            slot.answer = Some(answer);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }
}

impl<T: Send + 'static> Future for Call<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut inner = self.calls.inner.borrow_mut();
        let slot = &mut inner.slots[self.id.slot as usize];
        match slot.answer.take() {
            Some(answer) => Poll::Ready(*answer.downcast().expect("a call is answered with the type it was opened for")),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        let mut inner = self.calls.inner.borrow_mut();
        let slot = &mut inner.slots[self.id.slot as usize];
        *slot = Slot { generation: slot.generation.wrapping_add(1), ..Slot::default() };
        inner.free.push(self.id.slot);
    }
}

impl<T> Unpin for Call<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future;

    #[test]
    fn an_answer_reaches_the_question_it_belongs_to() {
        let calls = Calls::default();
        let (first, second) = (calls.open::<i32>(), calls.open::<&'static str>());
        calls.complete(second.id, Box::new("two"));
        calls.complete(first.id, Box::new(1));
        assert_eq!(future::block_on(second), "two");
        assert_eq!(future::block_on(first), 1);
    }

    #[test]
    fn an_id_comes_back_from_its_number() {
        let calls = Calls::default();
        drop(calls.open::<()>());
        let id = calls.open::<()>().id;
        assert_eq!(id, CallId { slot: 0, generation: 1 });
        assert_eq!(CallId::from_number(id.to_number()), id);
    }

    #[test]
    fn a_late_answer_does_not_reach_the_next_user_of_the_slot() {
        let calls = Calls::default();
        let given_up = calls.open::<i32>().id;
        let next = calls.open::<i32>();
        assert_eq!(given_up.slot, next.id.slot, "the slot is used again");
        calls.complete(given_up, Box::new(1));
        calls.complete(next.id, Box::new(2));
        assert_eq!(future::block_on(next), 2);
    }
}
