//! Whose turn it is to upload.
//!
//! So many at a time, in the order in which they came; under a deadline those first that have the least left to send. Who has a
//! place keeps it; to make them give way is up to who knows how far they are.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::tree::Ino;

/// Places for so many at a time.
#[derive(Debug)]
pub(in crate::writeback) struct Turns(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    places: usize,
    /// Places while somebody presses.
    pressed_places: usize,
    pressed: bool,
    /// Who has a place.
    holders: Vec<Holder>,
    waiting: Vec<Waiter>,
}

/// An entry, and the bytes of the content that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::writeback) struct Holder {
    pub(in crate::writeback) ino: Ino,
    pub(in crate::writeback) size: u64,
}

struct Waiter {
    holder: Holder,
    left: u64,
    call: oneshot::Sender<Turn>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.left.fmt(f)
    }
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(in crate::writeback) struct Turn(Option<(Arc<Turns>, Holder)>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((turns, holder)) = self.0.take() {
            turns.0.lock().release(holder);
            turns.call_next();
        }
    }
}

impl Inner {
    fn has_place(&self) -> bool {
        let places = if self.pressed { self.pressed_places } else { self.places };
        self.holders.len() < places
    }

    fn release(&mut self, holder: Holder) {
        if let Some(at) = self.holders.iter().position(|other| *other == holder) {
            self.holders.swap_remove(at);
        }
    }

    fn is_full(&self) -> bool {
        !self.waiting.is_empty() || !self.has_place()
    }

    fn next(&mut self) -> Option<Waiter> {
        if self.waiting.is_empty() || !self.has_place() {
            return None;
        }
        let least = |inner: &Self| (0..inner.waiting.len()).min_by_key(|&at| inner.waiting[at].left);
        let at = if self.pressed { least(self)? } else { 0 };
        let waiter = self.waiting.remove(at);
        self.holders.push(waiter.holder);
        Some(waiter)
    }
}

impl Turns {
    pub(in crate::writeback) fn new(places: usize, pressed_places: usize) -> Arc<Self> {
        let pressed_places = pressed_places.min(places);
        Arc::new(Self(Mutex::new(Inner {
            places,
            pressed_places,
            pressed: false,
            holders: Vec::new(),
            waiting: Vec::new(),
        })))
    }

    /// Whether who comes now has to wait.
    pub(in crate::writeback) fn is_full(&self) -> bool {
        self.0.lock().is_full()
    }

    /// A place, if one is free and nobody waits for it.
    pub(in crate::writeback) fn try_take(self: &Arc<Self>, holder: Holder) -> Option<Turn> {
        let mut inner = self.0.lock();
        if inner.is_full() {
            return None;
        }
        inner.holders.push(holder);
        Some(Turn(Some((Arc::clone(self), holder))))
    }

    /// Waits for a place, for who has `left` bytes to send.
    pub(in crate::writeback) async fn take(self: &Arc<Self>, holder: Holder, left: u64) -> Option<Turn> {
        let (call, called) = oneshot::channel();
        self.0.lock().waiting.push(Waiter { holder, left, call });
        self.call_next();
        called.await.ok()
    }

    /// From now on, or no more, those go first who have the least left.
    pub(in crate::writeback) fn press(self: &Arc<Self>, pressed: bool) {
        self.0.lock().pressed = pressed;
        self.call_next();
    }

    /// Who is in the way of who comes under a deadline: all that have a place, if none is free.
    pub(in crate::writeback) fn in_the_way(&self) -> Vec<Holder> {
        let inner = self.0.lock();
        if inner.pressed && !inner.has_place() { inner.holders.clone() } else { Vec::new() }
    }

    fn call_next(self: &Arc<Self>) {
        loop {
            let Some(waiter) = self.0.lock().next() else { return };
            if let Err(mut turn) = waiter.call.send(Turn(Some((Arc::clone(self), waiter.holder)))) {
                // Nobody waits there any more. Given back here, for its drop would come back here.
                turn.0 = None;
                self.0.lock().release(waiter.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn holder(number: u64) -> Holder {
        Holder { ino: Ino(number), size: number }
    }

    #[tokio::test]
    async fn turns_go_by_arrival_and_under_a_deadline_by_what_is_left() {
        let turns = Turns::new(1, 1);
        let first = turns.try_take(holder(0)).expect("is free");
        assert!(turns.try_take(holder(0)).is_none());
        let mut waiting: Vec<_> =
            [30, 10, 20].map(|left| Box::pin(turns.take(holder(left), left))).into_iter().collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        drop(first);
        let oldest = waiting[0].as_mut().now_or_never().expect("its turn");
        assert!(waiting[1].as_mut().now_or_never().is_none());
        turns.press(true);
        drop(waiting.swap_remove(1));
        drop(oldest);
        // Who had the least left went away while it waited.
        let left = waiting[1].as_mut().now_or_never().expect("the next of them");
        drop(left);
        assert!(turns.try_take(holder(0)).is_some());
    }

    #[tokio::test]
    async fn under_a_deadline_fewer_go_at_a_time() {
        let turns = Turns::new(3, 1);
        turns.press(true);
        let first = turns.try_take(holder(0)).expect("is free");
        let mut second = Box::pin(turns.take(holder(1), 1));
        assert!(second.as_mut().now_or_never().is_none());
        turns.press(false);
        assert!(second.as_mut().now_or_never().is_some());
        drop(first);
    }
}
