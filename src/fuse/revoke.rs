//! Taking back what the kernel was told, by its notification interface.
//!
//! A name is not torn out but *expired*: the kernel asks again before it believes it the next time. To tear it out would take
//! the working folder away from under a program, even if it turns out to be the same as before. `fuser` offers only the
//! latter, so this writes the message itself (`FUSE_NOTIFY_INVAL_ENTRY` with `FUSE_EXPIRE_ONLY`, linux/fuse.h, Linux 6.2; older
//! kernels do not look at the flag and tear the name out).
//!
//! Threads of their own do it, one for names and one for the rest: the kernel takes the lock of a folder for a name, and those of
//! pages for content, and waits for them in a way that not even a kill ends. A request under way may hold them, which must be
//! answered by somebody else meanwhile. If that takes the network, the folder or file is *held*, and what is to be revoked of
//! it waits here and not in the kernel: a daemon that is killed while a thread of it waits there would leave a mount that
//! nobody can use or remove. The threads end when the mount does.
//!
//! Where the mount outlives this process, these threads have nothing open but the device. One that waits in the kernel when the
//! process is killed goes on waiting, until the next daemon has answered who holds the lock; all that the process had open is closed
//! meanwhile, and the locks of its database are free. So they must not let go of what the process has open, nor wake a task: who waits
//! for them is told by one more thread.
//!
//! A lookup may be part of a rename, and then another folder is locked too. So no name at all is revoked before the lookups are
//! answered that were under way when it changed; those that come later are not waited for, since there may be no end of them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::kept::KeptDevice;
use crate::fs::{Locks, NodeId, Outdated, Revoke};
use crate::sys;

/// How long an answer waits for what it made outdated. That takes microseconds, unless somebody else holds the folder.
const MOMENT: Duration = Duration::from_millis(100);

/// The caches of the kernel for one mount.
#[derive(Debug, Clone)]
pub struct KernelCaches {
    names: Sender<Order>,
    rest: Sender<Order>,
    now: Sender<(Vec<Outdated>, oneshot::Sender<()>)>,
    caches: Arc<Caches>,
}

/// Something to be revoked.
#[derive(Debug)]
struct Order {
    what: Outdated,
    /// Lookups with smaller numbers were under way when it was given.
    after: u64,
}

#[derive(Debug, Default)]
struct Caches {
    /// There is a kernel to tell: by this, or by the device that a thread has for itself.
    kernel: OnceLock<Kernel>,
    /// Orders that were given and not carried out yet.
    open: AtomicUsize,
    held: Mutex<Held>,
}

/// What the kernel holds locks of for requests under way, and what waits for that.
#[derive(Debug, Default)]
struct Held {
    /// Folders, and files: for how many requests, and what is to be revoked when they were answered.
    locks: HashMap<NodeId, (usize, Vec<Order>)>,
    /// Lookups.
    lookups: BTreeSet<u64>,
    /// Names that are to be revoked after some of them.
    after_lookups: VecDeque<Order>,
    /// The number of the next lookup.
    next: u64,
}

impl Held {
    /// Keeps an order that has to wait; gives back one that need not.
    fn keep(&mut self, order: Order) -> Option<Order> {
        let is_name = matches!(order.what, Outdated::Entry(..));
        if is_name && self.lookups.first().is_some_and(|&first| first < order.after) {
            self.after_lookups.push_back(order);
            return None;
        }
        match waits_for(&order.what).and_then(|id| self.locks.get_mut(&id)) {
            Some((_, waiting)) => {
                waiting.push(order);
                None
            }
            None => Some(order),
        }
    }

    fn hold(&mut self, locks: &Locks) -> u64 {
        let number = self.next;
        self.next += 1;
        let ids = match locks {
            Locks::These(ids) => ids,
            Locks::Lookup(folder) => {
                self.lookups.insert(number);
                std::slice::from_ref(folder)
            }
        };
        for &id in ids {
            self.locks.entry(id).or_default().0 += 1;
        }
        number
    }

    /// Says what need not wait any longer for this.
    fn release(&mut self, locks: &Locks, number: u64) -> Vec<Order> {
        let mut free = Vec::new();
        let ids = match locks {
            Locks::These(ids) => ids,
            Locks::Lookup(folder) => {
                self.lookups.remove(&number);
                let first = self.lookups.first().copied().unwrap_or(u64::MAX);
                while let Some(order) = self.after_lookups.pop_front_if(|order| order.after <= first) {
                    free.push(order);
                }
                std::slice::from_ref(folder)
            }
        };
        for &id in ids {
            if let Entry::Occupied(mut lock) = self.locks.entry(id) {
                lock.get_mut().0 -= 1;
                if lock.get().0 == 0 {
                    free.extend(lock.remove().1);
                }
            }
        }
        free
    }
}

/// The way to the kernel.
#[derive(Debug)]
struct Kernel {
    device: File,
}

/// `FUSE_NOTIFY_INVAL_INODE`, `FUSE_NOTIFY_INVAL_ENTRY`, `FUSE_EXPIRE_ONLY`.
const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
const EXPIRE_ONLY: u32 = 1;

impl Kernel {
    fn revoke(&self, what: &Outdated) -> io::Result<()> {
        match what {
            // Lets the kernel ask again what a name means.
            Outdated::Entry(folder, name) => self.send(&expire_message(*folder, name)),
            // The pages of a folder are its cached listing.
            Outdated::Listing(id) | Outdated::Content(id) => self.send(&inode_message(*id, 0)),
            // A negative offset spares the pages, which a read under way may have locked.
            Outdated::Attributes(id) => self.send(&inode_message(*id, -1)),
        }
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        match (&self.device).write(message) {
            // It does not know it (any more).
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// `fuse_out_header`, `fuse_notify_inval_inode_out`, as linux/fuse.h has them.
fn inode_message(id: NodeId, offset: i64) -> Vec<u8> {
    let mut message = Vec::with_capacity(40);
    message.extend(40_u32.to_ne_bytes());
    message.extend(INVAL_INODE.to_ne_bytes());
    message.extend(0_u64.to_ne_bytes());
    message.extend(id.0.to_ne_bytes());
    message.extend(offset.to_ne_bytes());
    message.extend(0_i64.to_ne_bytes());
    message
}

/// `fuse_out_header`, `fuse_notify_inval_entry_out`, the name and a zero byte, as linux/fuse.h has them.
fn expire_message(folder: NodeId, name: &str) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(33 + name.len());
    message.extend(length(33 + name.len()).to_ne_bytes());
    message.extend(INVAL_ENTRY.to_ne_bytes());
    message.extend(0_u64.to_ne_bytes());
    message.extend(folder.0.to_ne_bytes());
    message.extend(length(name.len()).to_ne_bytes());
    message.extend(EXPIRE_ONLY.to_ne_bytes());
    message.extend(name.as_bytes());
    message.push(0);
    message
}

impl Caches {
    /// Revokes, unless that has to wait.
    fn revoke(&self, order: Order, own: Option<&Kernel>) {
        // What is revoked before there is a mount needs no revoking.
        let Some(kernel) = self.kernel.get() else { return self.done() };
        let kernel = own.unwrap_or(kernel);
        let Some(Order { what, .. }) = self.held.lock().keep(order) else { return };
        if let Err(error) = kernel.revoke(&what) {
            tracing::debug!(?what, %error, "not revoked");
        }
        self.done();
    }

    fn done(&self) {
        let _more = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| open.checked_sub(1));
    }
}

/// Whose locks the kernel takes for it.
fn waits_for(what: &Outdated) -> Option<NodeId> {
    match what {
        Outdated::Entry(id, _) | Outdated::Content(id) => Some(*id),
        Outdated::Listing(_) | Outdated::Attributes(_) => None,
    }
}

/// Starts a thread that carries out what it is sent.
fn start<T: Send + 'static>(
    name: &str,
    caches: &Arc<Caches>,
    device: Option<&KeptDevice>,
    carry_out: impl Fn(&Caches, T, Option<&Kernel>) + Send + 'static,
) -> io::Result<Sender<T>> {
    let (sender, orders) = channel();
    let caches = Arc::clone(caches);
    // Its number stays taken in the rest of the process: a thread that has files of its own closes its own.
    let own = device.map(KeptDevice::try_clone).transpose()?;
    let run = move || {
        // The device in it is not ours to close.
        let caches = ManuallyDrop::new(caches);
        let own = own.filter(|device| {
            sys::keep_only(device).inspect_err(|error| tracing::warn!(%error, "no files of its own")).is_ok()
        });
        let own = own.map(|device| Kernel { device });
        for order in orders {
            carry_out(&caches, order, own.as_ref());
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(sender)
}

impl KernelCaches {
    /// Starts the threads. `device`: that of a mount which outlives this process.
    pub fn new(device: Option<&KeptDevice>) -> io::Result<Self> {
        let caches = Arc::<Caches>::default();
        let one = |caches: &Caches, order, own: Option<&Kernel>| caches.revoke(order, own);
        let names = start("revoke names", &caches, device, one)?;
        let rest = start("revoke", &caches, device, one)?;
        let told = start("revoked", &caches, None, |_, done: oneshot::Sender<()>, _| {
            let _nobody_waits = done.send(());
        })?;
        let now = start("revoke now", &caches, device, move |caches, (what, done), own| {
            let (what, done): (Vec<Outdated>, oneshot::Sender<()>) = (what, done);
            // After no lookup: that one is a rename out of the very folder is not to be expected.
            for what in what {
                caches.revoke(Order { what, after: 0 }, own);
            }
            let _gone = told.send(done);
        })?;
        Ok(Self { names, rest, now, caches })
    }

    /// From now on there is a kernel to tell.
    pub(super) fn connect(&self, device: OwnedFd) {
        let _already = self.caches.kernel.set(Kernel { device: device.into() });
    }

    fn order(&self, order: Order) {
        let thread = if matches!(order.what, Outdated::Entry(..)) { &self.names } else { &self.rest };
        // The threads live as long as somebody can ask them; if one died, the kernel's memory times out by itself.
        let _gone = thread.send(order);
    }
}

impl Revoke for KernelCaches {
    fn revoke(&self, what: Outdated) {
        let after = self.caches.held.lock().next;
        self.caches.open.fetch_add(1, Ordering::Relaxed);
        self.order(Order { what, after });
    }

    fn revoke_now(&self, what: Vec<Outdated>) -> BoxFuture<'static, ()> {
        self.caches.open.fetch_add(what.len(), Ordering::Relaxed);
        let (done, is_done) = oneshot::channel();
        let _gone = self.now.send((what, done));
        async move {
            if tokio::time::timeout(MOMENT, is_done).await.is_err() {
                tracing::debug!("the kernel takes its time to forget");
            }
        }
        .boxed()
    }

    fn is_idle(&self) -> bool {
        self.caches.open.load(Ordering::Relaxed) == 0
    }

    fn hold(&self, locks: &Locks) -> u64 {
        self.caches.held.lock().hold(locks)
    }

    fn release(&self, locks: &Locks, number: u64) {
        let free = self.caches.held.lock().release(locks, number);
        for order in free {
            self.order(order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_an_inode_is_as_the_kernel_has_it() {
        let message = inode_message(NodeId(7), -1);
        assert_eq!(message[..4], 40_u32.to_ne_bytes());
        assert_eq!(message[4..8], 2_i32.to_ne_bytes());
        assert_eq!(message[16..24], 7_u64.to_ne_bytes());
        assert_eq!(message[24..32], (-1_i64).to_ne_bytes());
        assert_eq!(message[32..], [0; 8]);
    }

    #[test]
    fn the_message_is_as_the_kernel_has_it() {
        let message = expire_message(NodeId(7), "ab");
        assert_eq!(message.len(), 35);
        assert_eq!(message[..4], 35_u32.to_ne_bytes());
        assert_eq!(message[4..8], 3_i32.to_ne_bytes());
        assert_eq!(message[16..24], 7_u64.to_ne_bytes());
        assert_eq!(message[24..28], 2_u32.to_ne_bytes());
        assert_eq!(message[28..32], 1_u32.to_ne_bytes());
        assert_eq!(&message[32..], b"ab\0");
    }

    #[test]
    fn what_is_locked_waits_and_nothing_else() {
        let mut held = Held::default();
        let entry = |folder: u64, after| Order { what: Outdated::Entry(NodeId(folder), String::new()), after };
        let locks = Locks::These(vec![NodeId(7), NodeId(8)]);
        let numbers = [held.hold(&locks), held.hold(&locks)];
        assert!(held.keep(entry(7, 2)).is_none() && held.keep(entry(9, 2)).is_some());
        assert!(held.keep(Order { what: Outdated::Listing(NodeId(7)), after: 2 }).is_some());
        assert!(held.release(&locks, numbers[0]).is_empty(), "one more has it");
        assert_eq!(held.release(&locks, numbers[1]).len(), 1);
        assert!(held.keep(entry(7, 2)).is_some());
    }

    #[test]
    fn names_wait_for_the_lookups_that_were_under_way() {
        let mut held = Held::default();
        let entry = |after| Order { what: Outdated::Entry(NodeId(9), String::new()), after };
        let lookup = Locks::Lookup(NodeId(7));
        let first = held.hold(&lookup);
        let after = held.next;
        assert!(held.keep(entry(after)).is_none());
        assert!(held.keep(Order { what: Outdated::Attributes(NodeId(9)), after }).is_some());
        let second = held.hold(&lookup);
        let freed = held.release(&lookup, first).pop().expect("one order");
        assert!(held.keep(freed).is_some(), "and not for later ones");
        assert!(held.keep(entry(held.next)).is_none());
        assert_eq!(held.release(&lookup, second).len(), 1);
    }
}
