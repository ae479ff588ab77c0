//! Extended attributes: what the drive knows of an entry, and how it fares. All of them are read-only.
//!
//! | name | value |
//! | --- | --- |
//! | `user.drive.id` | identity on the drive, once it has one |
//! | `user.drive.md5` | checksum of the content that the drive has |
//! | `user.drivemount.state` | `clean`, `dirty`, `queued`, `uploading 37%`, `retrying: reason` |
//! | `user.drivemount.error` | why the last read or upload failed, if it did |
//! | `user.drivemount.control` | of the root only, and not listed: where commands reach the mount |

use std::os::unix::ffi::OsStrExt;

use super::{Fs, NodeId, Result};
use crate::error::Kind;
use crate::tree::{Ino, NodeKind};

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
        if ![ID, MD5, STATE, ERROR].iter().any(|known| known.as_bytes() == name) {
            // Before every write the kernel asks for capabilities, of which there are none.
            return Err(Kind::NoAttribute.into());
        }
        let node = self.node(id.ino())?;
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

    /// The names of the attributes, each ended by a zero byte.
    pub fn listxattr(&self, id: NodeId) -> Result<Vec<u8>> {
        let mut names = Vec::new();
        for name in [ID, MD5, STATE, ERROR] {
            if self.getxattr(id, name.as_bytes()).is_ok() {
                names.extend_from_slice(name.as_bytes());
                names.push(0);
            }
        }
        // A missing entry is an error, not an empty list.
        self.node(id.ino())?;
        Ok(names)
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
