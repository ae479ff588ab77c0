//! Taking back what the kernel was told, by its notification interface.
//!
//! A thread of its own does it: the kernel takes the lock of a folder for it, which a request under way may hold, and that
//! request must be answered by somebody else meanwhile. It ends when the mount does.

use std::ffi::OsStr;
use std::io;
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
    notifier: Arc<OnceLock<Notifier>>,
}

impl KernelCaches {
    /// Starts the thread. What is revoked before there is a mount needs no revoking.
    pub fn new() -> io::Result<Self> {
        let (orders, received) = channel();
        let notifier = Arc::new(OnceLock::new());
        let connected = Arc::clone(&notifier);
        std::thread::Builder::new().name("revoke".to_owned()).spawn(move || run(&received, &connected))?;
        Ok(Self { orders, notifier })
    }

    pub(super) fn connect(&self, notifier: Notifier) {
        let _already = self.notifier.set(notifier);
    }

    fn order(&self, order: Order) {
        // The thread lives as long as somebody can give orders; if it died, the kernel's memory times out by itself.
        let _gone = self.orders.send(order);
    }
}

fn run(orders: &Receiver<Order>, notifier: &OnceLock<Notifier>) {
    for order in orders {
        let Some(notifier) = notifier.get() else {
            if let Order::Done(tell) = order {
                let _nobody = tell.send(());
            }
            continue;
        };
        let result = match &order {
            Order::Entry(folder, name) => notifier.inval_entry(INodeNo(folder.0), OsStr::new(name)),
            // The pages of a folder are its cached listing.
            Order::Listing(folder) => notifier.inval_inode(INodeNo(folder.0), 0, 0),
            // A negative offset spares the pages, which a read under way may have locked.
            Order::Attributes(id) => notifier.inval_inode(INodeNo(id.0), -1, 0),
            Order::Content(id) => notifier.inval_inode(INodeNo(id.0), 0, 0),
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
