//! Documents that are shown as what they are exported as.
//!
//! Nobody knows how long an export is before it is made, and `stat` does not wait for that. So until a document is opened for the
//! first time it has [a length that is none](crate::tree::documents::UNKNOWN_SIZE), which the kernel may not keep. `open` waits for the
//! export, and then the kernel must have the true length before any program reads: it cuts `read`, `sendfile` and maps off at the
//! length that it knows. An open cannot tell it one; but if it is answered that the number is stale, the kernel looks the name up
//! anew, hears of the length with that, and opens again. It does so once. Who comes a second time, and finds the document
//! changed by somebody else in that moment, gets it opened all the same, and the kernel asks for the length when somebody wants it.

use std::sync::Arc;

use super::handle::{Caching, OpenFlags};
use super::io::Opening;
use super::{Answer, Fs, NodeId, Outdated, Result};
use crate::cache::Whole;
use crate::content::Version;
use crate::error::Kind;
use crate::tree::{Ino, Node};

/// How often an opening is tried again because the document was changed elsewhere while it was exported.
const TRIES: usize = 10;

impl Fs {
    /// The version of a document that an export of it is to be of, if it is shown so.
    fn version(node: &Node) -> Option<Version> {
        let media_type = node.export_format()?.media_type;
        Some(Version {
            id: node.id.clone()?,
            revision: node.revision.clone()?,
            media_type,
            known: node.md5.map(|md5| (node.size, md5)),
        })
    }

    /// The export of a document as it is now, if it is here and of the length that is told of it.
    pub(super) fn export_at_hand(&self, node: &Node) -> Option<Arc<Whole>> {
        let version = Self::version(node)?;
        self.content.exported(&version).filter(|whole| version.known == Some((whole.size(), whole.md5())))
    }

    /// Opens a document of which there is no export at hand. `again`: who opens it has looked its name up anew.
    pub(super) fn open_document(
        self: &Arc<Self>,
        id: NodeId,
        node: Box<Node>,
        flags: OpenFlags,
        again: bool,
    ) -> Answer<(u64, Caching)> {
        let fs = Arc::clone(self);
        // As long as bytes come it goes on.
        Answer::in_its_time(async move {
            let opened = fs.export_and_open(id, *node, flags, again).await;
            if opened.as_ref().is_err_and(|error| error.kind() == Kind::Stale) {
                fs.sent_away.told(flags.thread);
            }
            opened
        })
    }

    /// Has a document exported. Says whether it is of a length that was not known, which the kernel has been told then.
    async fn export_now(&self, id: NodeId, node: &Node) -> Result<bool> {
        let version = Self::version(node).ok_or(Kind::Stale)?;
        let exported = self.content.export(&version, self.patience()).await;
        let whole = exported.inspect_err(|error| self.failures.note(node.ino, &error.to_string()))?;
        if version.known == Some((whole.size(), whole.md5())) {
            return Ok(false);
        }
        // Whatever pages the kernel has are of an earlier export of the same version, which was evicted.
        let noted = self.changing.begin(vec![node.ino]);
        let is_told = self.tree.exported(node.ino, &version.revision, whole.size(), whole.md5())?;
        if is_told {
            self.revoke.revoke_now(vec![Outdated::Content(id)]).await;
            self.changing.end(&noted);
        }
        Ok(is_told)
    }

    /// Has the export of a document here before anybody opens it.
    pub async fn have_export(&self, ino: Ino) -> Result<()> {
        for _ in 0..TRIES {
            let node = self.node(ino)?;
            if self.export_at_hand(&node).is_some() {
                return Ok(());
            }
            self.export_now(ino.into(), &node).await?;
        }
        Err(Kind::Busy.into())
    }

    async fn export_and_open(
        self: &Arc<Self>,
        mut id: NodeId,
        mut node: Node,
        flags: OpenFlags,
        again: bool,
    ) -> Result<(u64, Caching)> {
        for _ in 0..TRIES {
            if self.export_now(id, &node).await? && !again {
                // It is found when the kernel comes again: of all that nobody has open it is the last to be evicted.
                return Err(Kind::Stale.into());
            }
            match self.open_now(id, flags, again, None)? {
                Opening::Open(number, _, caching) => return Ok((number, caching)),
                Opening::Unexported(now) => (id, node) = (now.ino.into(), *now),
            }
        }
        Err(Kind::Busy.into())
    }
}
