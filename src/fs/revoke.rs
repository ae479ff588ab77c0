//! Taking back what the kernel was told.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::NodeId;

/// Something that the kernel shall not believe any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outdated {
    /// What the name means.
    Entry(NodeId, String),
    /// The list of entries of a folder, and its attributes.
    Listing(NodeId),
    /// The attributes of an entry.
    Attributes(NodeId),
    /// The content of a file, and its attributes.
    Content(NodeId),
}

/// What the kernel has locked for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locks {
    /// These folders, or pages of these files.
    These(Vec<NodeId>),
    /// That of a folder in which a name is looked up, and perhaps of one more, which nobody tells: a rename locks the folders of
    /// both names before it looks them up.
    Lookup(NodeId),
}

/// The way to the kernel's caches. Calls return at once: the kernel takes locks to revoke, of folders for names and of pages for
/// content, which requests under way may hold. So a thread that serves requests must never wait for it, and what a request is
/// known to hold for long is [held back](Self::hold) until that was answered. What happens to be revoked in another order than
/// it was asked for is revoked all the same.
pub trait Revoke: Send + Sync {
    /// Revokes.
    fn revoke(&self, what: Outdated);

    /// Revokes, past everything that waits to be; completes when that is done, except for what is locked for certain. Whoever
    /// waits for it may hold a lock that others need, so it completes after a moment in any case, and goes on by itself.
    fn revoke_now(&self, what: Vec<Outdated>) -> BoxFuture<'static, ()>;

    /// Holds back what would, or might, wait for these. To be undone by [`Self::release`] with the number that this says.
    fn hold(&self, locks: &Locks) -> u64;

    /// Undoes one [`Self::hold`], and revokes what was held back by it.
    fn release(&self, locks: &Locks, number: u64);

    /// Whether everything was revoked that was asked for so far.
    fn is_idle(&self) -> bool;

    /// The name means something else now.
    fn entry(&self, folder: NodeId, name: String) {
        self.revoke(Outdated::Entry(folder, name));
    }

    /// The list of entries of a folder changed, and its attributes.
    fn listing(&self, folder: NodeId) {
        self.revoke(Outdated::Listing(folder));
    }

    /// The attributes of an entry changed.
    fn attributes(&self, id: NodeId) {
        self.revoke(Outdated::Attributes(id));
    }

    /// The content of a file changed, and its attributes.
    fn content(&self, id: NodeId) {
        self.revoke(Outdated::Content(id));
    }
}

/// While this lives, nothing is revoked for which the kernel would wait for the request that it belongs to.
#[expect(missing_debug_implementations, reason = "nothing to show")]
pub struct Hold {
    revoke: Arc<dyn Revoke>,
    locks: Locks,
    number: u64,
}

impl Hold {
    pub(super) fn new(revoke: Arc<dyn Revoke>, locks: Locks) -> Self {
        let number = revoke.hold(&locks);
        Self { revoke, locks, number }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.revoke.release(&self.locks, self.number);
    }
}
