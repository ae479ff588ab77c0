//! Extended attributes: those that users set (`user.*`), which are kept on the drive, and what a mount says of an entry, which is
//! read-only and must be asked for by name. It is not listed: programs that copy all attributes would set it elsewhere, or take it away
//! here because the source has none.
//!
//! | name | value |
//! | --- | --- |
//! | `user.drive.id` | identity on the drive, once it has one |
//! | `user.drive.md5` | checksum of the content that the drive has |
//! | `user.drivemount.state` | `clean`, `dirty`, `queued`, `uploading 37%`, `retrying: reason` |
//! | `user.drivemount.error` | why the last read or upload failed, if it did |
//! | `user.drivemount.control` | of the root only: where commands reach the mount |

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::{Answer, Fs, NodeId, Result, permits};
use crate::error::Kind;
use crate::remote::xattrs::{self, Put};
use crate::tree::{Ino, NodeKind};

/// What the names of attributes begin with that users set.
const USER: &[u8] = b"user.";

const ID: &str = "user.drive.id";
const MD5: &str = "user.drive.md5";
const STATE: &str = "user.drivemount.state";
const ERROR: &str = "user.drivemount.error";
/// The attribute of a mount's root that tells where commands reach it.
pub const CONTROL: &str = "user.drivemount.control";

impl Fs {
    /// The value of an attribute.
    pub fn getxattr(&self, id: NodeId, name: &[u8]) -> Result<Vec<u8>> {
        if name == CONTROL.as_bytes() && id == NodeId::ROOT {
            return Ok(self.options.control_socket.as_os_str().as_bytes().to_vec());
        }
        if !name.starts_with(USER) {
            // Before every write the kernel asks for capabilities, of which there are none.
            return Err(Kind::NoAttribute.into());
        }
        let node = self.node(id.ino())?;
        if !xattrs::is_reserved(name) {
            return Ok(node.xattrs.get(name).ok_or(Kind::NoAttribute)?);
        }
        let value = match std::str::from_utf8(name) {
            Ok(ID) => node.id.map(|id| id.0),
            // Of content that is newer here than there, the drive's checksum would mislead.
            Ok(MD5) if node.kind == NodeKind::File && !self.writeback.is_pending(node.ino)? => {
                node.md5.map(|md5| md5.to_string())
            }
            Ok(STATE) => Some(self.state_of(node.ino)?),
            Ok(ERROR) => self.failure_of(node.ino),
            _ => None,
        };
        Ok(value.ok_or(Kind::NoAttribute)?.into_bytes())
    }

    /// The names of the attributes that users set, each ended by a zero byte.
    pub fn listxattr(&self, id: NodeId) -> Result<Vec<u8>> {
        let mut names = Vec::new();
        for name in self.node(id.ino())?.xattrs.names() {
            names.extend(name);
            names.push(0);
        }
        Ok(names)
    }

    /// `setxattr` and `removexattr`.
    pub fn setxattr(self: &Arc<Self>, id: NodeId, name: &[u8], put: Put<'_>) -> Answer<()> {
        self.changed_attributes(id, self.setxattr_now(id, name, put))
    }

    fn setxattr_now(&self, id: NodeId, name: &[u8], put: Put<'_>) -> Result<()> {
        if !name.starts_with(USER) {
            return Err(Kind::Unsupported.into());
        }
        self.writable()?;
        let ino = id.ino();
        self.must_be_current(ino)?;
        let node = self.node(ino)?;
        if xattrs::is_reserved(name) {
            return Err(Kind::NotPermitted.into());
        }
        if !xattrs::is_settable(name) {
            return Err(Kind::Invalid.into());
        }
        if ino.is_top() {
            // The root of a drive keeps nothing for us.
            return Err(Kind::Unsupported.into());
        }
        if node.kind == NodeKind::Document || !permits::is_writable(&node) {
            return Err(Kind::Denied.into());
        }
        permits::may_set_attributes(&node)?;
        if node.is_linked() {
            self.writeback.set_xattr(ino, name, put)?;
        } else {
            self.files.set_unlinked_xattr(ino, name, put)?;
        }
        Ok(())
    }

    /// Why the last read or upload of an entry failed, if it did.
    pub fn failure_of(&self, ino: Ino) -> Option<String> {
        self.writeback.failure(ino).or_else(|| self.failures.get(ino))
    }

    /// How an entry fares, in one line.
    pub fn state_of(&self, ino: Ino) -> Result<String> {
        if self.files.get(ino).and_then(|file| file.staging()).is_some_and(|staging| staging.is_dirty()) {
            return Ok("dirty".to_owned());
        }
        Ok(self.writeback.state_of(ino)?)
    }
}
