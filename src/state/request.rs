//! Which request of the kernel a change is made for.
//!
//! A mount that outlives its daemon is asked again what the last one did not answer. Most requests may be done twice; those that
//! make or remove a name may not: the second time they find it done, and would fail. So their transaction takes down the number of the
//! request: then a number that stands there says that all of it is done, and none of it if not.
//!
//! The number goes with the thread that works for the request, past all that lies between: [`within`] sets it, [`note`] is called in
//! the transactions of such changes.

use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};

/// So many are remembered: more than can be done and not answered at one time, which is about one a thread.
const REMEMBERED: u64 = 1024;

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

static TURN: AtomicU64 = AtomicU64::new(0);

/// Does something for a request; 0: for none.
pub fn within<T>(request: u64, work: impl FnOnce() -> T) -> T {
    let _back = Back(CURRENT.replace(request));
    work()
}

struct Back(u64);

impl Drop for Back {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The same for what has to be waited for.
pub fn within_future<T>(request: u64, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| within(request, || future.as_mut().poll(context)))
}

/// The request that this thread works for; 0: none.
pub fn current() -> u64 {
    CURRENT.get()
}

/// Takes down that the request that this thread works for is done, if the transaction that this is in is.
pub fn note(db: &Connection) -> rusqlite::Result<()> {
    let request = current();
    if request == 0 {
        return Ok(());
    }
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % REMEMBERED;
    db.prepare_cached("INSERT OR REPLACE INTO done (turn, request) VALUES (?1, ?2)")?
        .execute(params![turn.cast_signed(), request.cast_signed()])
        .map(|_| ())
}

/// Whether a request is done.
pub fn is_done(db: &Connection, request: u64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM done WHERE request = ?1)")?
        .query_row([request.cast_signed()], |row| row.get(0))
}

/// Forgets all: the numbers of another mount mean nothing.
pub fn forget_all(db: &Connection) -> rusqlite::Result<()> {
    db.execute("DELETE FROM done", []).map(|_| ())
}
