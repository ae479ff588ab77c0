//! Taking back what the kernel was told, by its notification interface.
//!
//! A name is not torn out but *expired*: the kernel asks again before it believes it the next time. To tear it out would take
//! the working folder away from under a program, even if it turns out to be the same as before. `fuser` offers only the
//! latter, so this writes the message itself (`FUSE_NOTIFY_INVAL_ENTRY` with `FUSE_EXPIRE_ONLY`, linux/fuse.h, Linux 6.2; older
//! kernels do not look at the flag and tear the name out).
//!
//! A thread of its own does it: the kernel takes the lock of a folder for it, which a request under way may hold, and that
//! request must be answered by somebody else meanwhile. It ends when the mount does.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};

use fuser::{INodeNo, Notifier};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::fs::{NodeId, Revoke};

#[derive(Debug)]
enum Order {
    Entry(NodeId, String),
    Listing(NodeId),
    Attributes(NodeId),
    Content(NodeId),
    Done(oneshot::Sender<()>),
}

/// The caches of the kernel for one mount.
#[derive(Debug, Clone)]
pub struct KernelCaches {
    orders: Sender<Order>,
    kernel: Arc<OnceLock<Kernel>>,
}

/// The way to the kernel.
#[derive(Debug)]
struct Kernel {
    notifier: Notifier,
    /// The device, for the message that `fuser` does not know.
    device: File,
}

/// `FUSE_NOTIFY_INVAL_ENTRY`, `FUSE_EXPIRE_ONLY`.
const INVAL_ENTRY: i32 = 3;
const EXPIRE_ONLY: u32 = 1;

impl Kernel {
    /// Lets the kernel ask again what a name means.
    fn expire_entry(&self, folder: NodeId, name: &str) -> io::Result<()> {
        match (&self.device).write(&expire_message(folder, name)) {
            // It does not know the name (any more).
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }
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

impl KernelCaches {
    /// Starts the thread. What is revoked before there is a mount needs no revoking.
    pub fn new() -> io::Result<Self> {
        let (orders, received) = channel();
        let kernel = Arc::new(OnceLock::new());
        let connected = Arc::clone(&kernel);
        std::thread::Builder::new().name("revoke".to_owned()).spawn(move || run(&received, &connected))?;
        Ok(Self { orders, kernel })
    }

    /// From now on there is a kernel to tell.
    pub(super) fn connect(&self, notifier: Notifier, device: OwnedFd) {
        let _already = self.kernel.set(Kernel { notifier, device: device.into() });
    }

    fn order(&self, order: Order) {
        // The thread lives as long as somebody can give orders; if it died, the kernel's memory times out by itself.
        let _gone = self.orders.send(order);
    }
}

fn run(orders: &Receiver<Order>, kernel: &OnceLock<Kernel>) {
    for order in orders {
        let Some(kernel) = kernel.get() else {
            if let Order::Done(tell) = order {
                let _nobody = tell.send(());
            }
            continue;
        };
        let result = match &order {
            Order::Entry(folder, name) => kernel.expire_entry(*folder, name),
            // The pages of a folder are its cached listing.
            Order::Listing(folder) => kernel.notifier.inval_inode(INodeNo(folder.0), 0, 0),
            // A negative offset spares the pages, which a read under way may have locked.
            Order::Attributes(id) => kernel.notifier.inval_inode(INodeNo(id.0), -1, 0),
            Order::Content(id) => kernel.notifier.inval_inode(INodeNo(id.0), 0, 0),
            Order::Done(_) => Ok(()),
        };
        if let Err(error) = result {
            tracing::debug!(?order, %error, "not revoked");
        }
        if let Order::Done(tell) = order {
            let _nobody = tell.send(());
        }
    }
}

impl Revoke for KernelCaches {
    fn entry(&self, folder: NodeId, name: String) {
        self.order(Order::Entry(folder, name));
    }

    fn listing(&self, folder: NodeId) {
        self.order(Order::Listing(folder));
    }

    fn attributes(&self, id: NodeId) {
        self.order(Order::Attributes(id));
    }

    fn content(&self, id: NodeId) {
        self.order(Order::Content(id));
    }

    fn done(&self) -> BoxFuture<'static, ()> {
        let (tell, told) = oneshot::channel();
        self.order(Order::Done(tell));
        told.map(|_| ()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
