//! Files that the kernel reads by itself.
//!
//! The kernel can be given the local file that holds the content of an open file; it reads from there then, and asks nobody. That
//! is as fast as the local disk, also where its own pages do not help: the first time, at random places, in mapped memory.
//!
//! # When
//!
//! All of the content is here and known to be sound, it is large enough for that to matter ([`LEAST`]), nobody has the file open
//! in another way, and who opens it only reads. What the kernel reads by itself cannot be changed: so for as long as somebody has
//! it open, it is pinned in the cache, and who opens it to write gets another number ([`Fs::give_way_to_writer`]). They and all who
//! come after them see what is written; who had it open keeps what they opened. So that nobody meets this who follows a file that
//! grows, what was changed a short while ago is not given away ([`SETTLED`]).
//!
//! # What the kernel demands
//!
//! All who have one file open at one time have it open in the same way, with the same registration. So it is decided when the
//! first of them opens it, and holds until the last has closed it (see [`super::handle`]). It takes `CAP_SYS_ADMIN`, and Linux 6.9.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::handle::Bytes;
use super::{Fs, Result};
use crate::cache::Pinned;
use crate::clock;
use crate::content::Reader;
use crate::error::Kind;
use crate::tree::{Ino, Node};

/// To register a file costs two calls of the system more each time it is opened; below this the kernel's pages are as good.
const LEAST: u64 = 4 << 20;

/// What was changed in the last hour may be about to be changed again, and somebody may watch it grow.
const SETTLED: Duration = Duration::from_hours(1);

/// A file that the kernel knows, for as long as somebody holds it.
#[derive(Clone)]
pub struct Backing {
    /// The number that the kernel knows it by.
    pub number: u32,
    /// What is held.
    pub held: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backing")
    }
}

/// How the kernel is told of a file.
pub type Register<'a> = &'a dyn Fn(&File) -> io::Result<Backing>;

/// A content that the kernel reads by itself. First the kernel lets go of the file, then it may be evicted again.
#[derive(Debug, Clone)]
pub(super) struct Passed {
    pub(super) backing: Backing,
    _pinned: Option<Arc<Pinned>>,
    _counted: Arc<()>,
}

/// Whether files may be given to the kernel.
#[derive(Debug)]
pub(super) struct Passthrough {
    /// Why not, if not.
    refused: Mutex<Option<String>>,
    counted: Arc<()>,
}

/// How it is with passthrough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassthroughState {
    /// Why no file is given to the kernel; `None` if files are.
    pub refused: Option<String>,
    /// How many files the kernel reads by itself now.
    pub files: usize,
}

impl Passthrough {
    pub(super) fn new(is_wanted: bool) -> Self {
        let refused = (!is_wanted).then(|| "the mount was told not to, with --passthrough never".to_owned());
        Self { refused: Mutex::new(refused), counted: Arc::new(()) }
    }

    fn is_on(&self) -> bool {
        self.refused.lock().is_none()
    }

    fn refuse(&self, why: String) {
        self.refused.lock().get_or_insert(why);
    }
}

impl Fs {
    /// Whether the kernel may be asked to read files by itself.
    pub fn wants_passthrough(&self) -> bool {
        self.passthrough.is_on()
    }

    /// How many file systems stand on each other where the kernel reads files by itself, this one included. Two are the most that it
    /// knows; with one, others can stand on this one.
    pub fn stack_depth(&self) -> u32 {
        if self.options.is_stacked { 2 } else { 1 }
    }

    /// From now on no file is given to the kernel.
    pub fn refuse_passthrough(&self, why: String) {
        self.passthrough.refuse(why);
    }

    /// How it is with passthrough.
    pub fn passthrough(&self) -> PassthroughState {
        let refused = self.passthrough.refused.lock().clone();
        PassthroughState { refused, files: Arc::strong_count(&self.passthrough.counted) - 1 }
    }

    /// Gives the content of a file that is about to be opened for reading to the kernel, if that can be done.
    pub(super) fn pass(&self, node: &Node, bytes: &Bytes, register: Register<'_>) -> Option<Passed> {
        let Bytes::Revision(reader) = bytes else { return None };
        let is_settled = node.mtime.after(SETTLED) <= clock::now();
        // Who has it open already has it so in another way, or it will be found passed.
        if reader.source().blob.size < LEAST
            || !is_settled
            || !self.passthrough.is_on()
            || self.files.get(node.ino).is_some()
        {
            return None;
        }
        let pinned = Reader::pin(reader).unwrap_or_else(|error| {
            tracing::debug!(%error, "not pinned");
            None
        })?;
        let registered = pinned.file().map_err(io::Error::other).and_then(register);
        match registered {
            Ok(backing) => Some(self.passed(backing, Some(pinned))),
            Err(error) => {
                // It reads through us instead, and nobody notices but by the clock.
                if let Some(why) = lasting(&error) {
                    tracing::info!(%error, "files are not given to the kernel");
                    self.passthrough.refuse(why.to_owned());
                }
                None
            }
        }
    }

    pub(super) fn passed(&self, backing: Backing, pinned: Option<Pinned>) -> Passed {
        Passed { backing, _pinned: pinned.map(Arc::new), _counted: Arc::clone(&self.passthrough.counted) }
    }

    /// Gives a file that the kernel reads by itself a new number, for who opens it to write: the kernel looks its name up again when
    /// it is told that the old number is stale, and finds that.
    pub(super) fn give_way_to_writer(&self, ino: Ino) -> Result<()> {
        let file = self.files.get(ino).filter(|file| file.passed().is_some());
        if file.is_some_and(|file| file.staging().is_some()) {
            // It was renamed over another while it was open, and waits to be sent under this number.
            return Err(Kind::Busy.into());
        }
        let Some((ino, folder, name)) = self.replace_open(ino)? else { return Err(Kind::Stale.into()) };
        for (folder, name) in self.tree.further_names(ino)?.into_iter().chain([(folder, name)]) {
            for id in self.ways.to(folder) {
                self.revoke.entry(id, name.clone());
                self.revoke.listing(id);
            }
        }
        Err(Kind::Stale.into())
    }
}

/// Why no other file will be taken either, if that is so.
fn lasting(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EPERM => Some("the kernel allows it only to a superuser (CAP_SYS_ADMIN)"),
        libc::ELOOP => {
            Some("the cache folder is on a file system that stands on others; give another with --cache-dir")
        }
        libc::EOPNOTSUPP | libc::EINVAL | libc::ENOTTY | libc::ENOSYS => {
            Some("the kernel does not take files of the file system of the cache folder")
        }
        _ => None,
    }
}
