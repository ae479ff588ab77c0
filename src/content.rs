//! Reading: the bytes of a revision, from wherever they are.
//!
//! [`Content::open`] gives the [`Reader`] of a revision, which all handles of that revision share. A read is answered at once
//! from the cache if all of it is there; else the absent blocks are fetched, joined with fetches already under way, and the
//! reader is answered as soon as *its* bytes have landed. Each handle has a [`Session`], which sees where it reads on and how far
//! ahead to fetch then; what all of them may have ahead together is shared between those who read on (`share`). A revision that is
//! read here and there until much of it was wanted is fetched to the end (`rest`).
//!
//! What a document is exported as is had as a whole ([`Content::export`]), once for each of its versions.
//!
//! Memory is bounded: a fetch holds 2 MiB and what the connection buffers; `downloads` says how many run at one time, and whose
//! turn it is.

mod downloads;
mod export;
mod fetch;
mod guess;
mod reader;
mod rest;
mod session;
mod share;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use self::downloads::Downloads;
use self::export::Exports;
pub use self::export::Version;
pub use self::reader::{REQUEST, Reader};
pub use self::session::Session;
use self::share::Census;
use crate::cache::{Cache, CacheError};
use crate::error::Kind;
use crate::remote::{Remote, RemoteError, Source};

/// Why bytes could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ContentError {
    /// The drive did not give them.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// They were fetched and evicted again before they could be read, several times in a row.
    #[error("the cache is too small for what is read at one time; give it more with --cache-size")]
    Thrashing,
}

impl ContentError {
    /// What it is to programs.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Remote(error) => error.kind,
            Self::Cache(error) => error.kind(),
            Self::Thrashing => Kind::DiskFull,
        }
    }
}

/// Result of reading.
pub type Result<T> = std::result::Result<T, ContentError>;

/// All reading of one mount.
pub struct Content {
    cache: Arc<Cache>,
    remote: Arc<dyn Remote>,
    runtime: Handle,
    downloads: Downloads,
    census: Census,
    exports: Exports,
    /// Readers in use, by the number of their cache entry.
    readers: Mutex<HashMap<u32, Weak<Reader>>>,
}

impl Content {
    /// Reads through `cache` from `remote`; fetches run on `runtime`, since readers come from threads of the kernel adapter too.
    pub fn new(cache: Arc<Cache>, remote: Arc<dyn Remote>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            cache,
            remote,
            runtime,
            downloads: Downloads::default(),
            census: Census::default(),
            exports: Exports::default(),
            readers: Mutex::default(),
        })
    }

    /// The reader of a revision. Touches neither disk nor network.
    pub fn open(self: &Arc<Self>, source: &Source) -> Arc<Reader> {
        let entry = self.cache.entry(source);
        let mut readers = self.readers.lock();
        if let Some(reader) = readers.get(&entry.number()).and_then(Weak::upgrade) {
            return reader;
        }
        if readers.len() >= 64 && readers.len().is_power_of_two() {
            readers.retain(|_, reader| reader.strong_count() > 0);
        }
        let reader = Arc::new(Reader::new(Arc::clone(self), source.clone(), entry));
        readers.insert(reader.entry().number(), Arc::downgrade(&reader));
        reader
    }

    /// Drops what is cached of a revision that nobody will open again; unless somebody has it open: for them the drive may not have it
    /// any more, and it goes when its turn comes.
    pub fn forget(&self, source: &Source) -> crate::cache::Result<()> {
        let Some(number) = self.cache.number(source) else { return Ok(()) };
        let is_read = self.readers.lock().get(&number).is_some_and(|reader| reader.strong_count() > 0);
        if is_read { Ok(()) } else { self.cache.forget(source) }
    }

    /// The cache behind it.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}
