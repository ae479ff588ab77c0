//! Taking back what the kernel was told.

use futures_util::future::BoxFuture;

use super::NodeId;

/// The way to the kernel's caches. Calls return at once; what is revoked is revoked in order, by a thread of its own: the kernel
/// takes locks for it that a request under way may hold, so a thread that serves requests must never wait for it.
pub trait Revoke: Send + Sync {
    /// The name means something else now.
    fn entry(&self, folder: NodeId, name: String);
    /// The list of entries of a folder changed, and its attributes.
    fn listing(&self, folder: NodeId);
    /// The attributes of an entry changed.
    fn attributes(&self, id: NodeId);
    /// The content of a file changed, and its attributes.
    fn content(&self, id: NodeId);
    /// Completes when everything revoked so far has been.
    fn done(&self) -> BoxFuture<'static, ()>;
}
