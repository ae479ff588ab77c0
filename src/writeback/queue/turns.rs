//! Whose turn it is to upload.
//!
//! So many at a time, in the order in which they came; under a deadline those first that have the least left to send.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Places for so many at a time.
#[derive(Debug)]
pub(in crate::writeback) struct Turns(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    places: usize,
    /// Places while somebody presses.
    pressed_places: usize,
    pressed: bool,
    taken: usize,
    waiting: Vec<Waiter>,
}

struct Waiter {
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
pub(in crate::writeback) struct Turn(Option<Arc<Turns>>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.0.lock().taken -= 1;
            turns.call_next();
        }
    }
}

impl Inner {
    fn has_place(&self) -> bool {
        let places = if self.pressed { self.pressed_places } else { self.places };
        self.taken < places
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
        self.taken += 1;
        Some(self.waiting.remove(at))
    }
}

impl Turns {
    pub(in crate::writeback) fn new(places: usize, pressed_places: usize) -> Arc<Self> {
        let pressed_places = pressed_places.min(places);
        Arc::new(Self(Mutex::new(Inner { places, pressed_places, pressed: false, taken: 0, waiting: Vec::new() })))
    }

    /// Whether who comes now has to wait.
    pub(in crate::writeback) fn is_full(&self) -> bool {
        self.0.lock().is_full()
    }

    /// A place, if one is free and nobody waits for it.
    pub(in crate::writeback) fn try_take(self: &Arc<Self>) -> Option<Turn> {
        let mut inner = self.0.lock();
        if inner.is_full() {
            return None;
        }
        inner.taken += 1;
        Some(Turn(Some(Arc::clone(self))))
    }

    /// Waits for a place, for who has `left` bytes to send.
    pub(in crate::writeback) async fn take(self: &Arc<Self>, left: u64) -> Option<Turn> {
        let (call, called) = oneshot::channel();
        self.0.lock().waiting.push(Waiter { left, call });
        self.call_next();
        called.await.ok()
    }

    /// From now on, or no more, those go first who have the least left.
    pub(in crate::writeback) fn press(self: &Arc<Self>, pressed: bool) {
        self.0.lock().pressed = pressed;
        self.call_next();
    }

    fn call_next(self: &Arc<Self>) {
        loop {
            let Some(waiter) = self.0.lock().next() else { return };
            if let Err(mut turn) = waiter.call.send(Turn(Some(Arc::clone(self)))) {
                // Nobody waits there any more. Given back here, for its drop would come back here.
                turn.0 = None;
                self.0.lock().taken -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn turns_go_by_arrival_and_under_a_deadline_by_what_is_left() {
        let turns = Turns::new(1, 1);
        let first = turns.try_take().expect("is free");
        assert!(turns.try_take().is_none());
        let mut waiting: Vec<_> = [30, 10, 20].map(|left| Box::pin(turns.take(left))).into_iter().collect();
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
        assert!(turns.try_take().is_some());
    }

    #[tokio::test]
    async fn under_a_deadline_fewer_go_at_a_time() {
        let turns = Turns::new(3, 1);
        turns.press(true);
        let first = turns.try_take().expect("is free");
        let mut second = Box::pin(turns.take(1));
        assert!(second.as_mut().now_or_never().is_none());
        turns.press(false);
        assert!(second.as_mut().now_or_never().is_some());
        drop(first);
    }
}
