//! All staging of a mount: the files that are the only copy of unsent bytes.
//!
//! [`Stagings`] owns the folder `staging/`; what is in it stands in the tables of [`super::table`]. There is at most one
//! [`Staging`] an entry in memory; what is sealed is also in the tables, so that it can be dropped from memory while it waits to
//! be sent, and is found again after a crash. Nothing here is ever evicted: a file goes only when the drive has its content, or
//! when the entry was removed, and then when its last user lets go of it.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::copies::Copies;
use super::layers::{Layer, Layers, held_by};
use super::leavings::{Known, Leaving, Leavings};
use super::pile::Pile;
pub(super) use super::recall::Recalled;
use super::space::Space;
use super::staging::{Inner, Sealed, Staging};
use super::unsealed::{Log, Unsealed};
use super::{Result, WritebackError, table};
use crate::book::Book;
use crate::content::Content;
use crate::crash;
use crate::ranges::RangeSet;
use crate::state::State;
use crate::tree::nodes::{self, from_sql};
use crate::tree::{Ino, Node};

/// How long a file that is being put away is waited for.
const PUTTING_AWAY: Duration = Duration::from_secs(10);

/// All staging of one mount.
#[derive(Debug)]
pub(super) struct Stagings {
    pub(super) dir: PathBuf,
    pub(super) state: Arc<State>,
    pub(super) content: Arc<Content>,
    pub(super) runtime: Handle,
    pub(super) next_number: AtomicU64,
    /// Bytes that the staging files hold.
    pub(super) space: Space,
    /// Bytes that may be written before the disk is looked at again.
    pub(super) claimable: AtomicU64,
    in_use: Mutex<InUse>,
    /// A version of the tables, doubled, and one more if they had no staging then: with every open of a file it is asked whether
    /// they have, and mostly nothing was written in between.
    looked: AtomicU64,
    /// Files that are worth an upload before they are closed.
    pub(super) growing: mpsc::UnboundedSender<Ino>,
    /// One was put away.
    left: Condvar,
    /// The largest file that the drive takes.
    pub(super) largest: u64,
    pub(super) copies: Copies,
    pub(super) leavings: Leavings,
    pub(super) unsealed: Unsealed,
}

/// The stagings in memory. INVARIANT: no more than one an entry is alive.
#[derive(Debug, Default)]
struct InUse {
    stagings: HashMap<Ino, Weak<Staging>>,
    /// How many there ever were. Who finds it unchanged knows that none came and went meanwhile.
    made: u64,
    /// Those that are being put away, and how many of an entry.
    leaving: HashMap<Ino, u32>,
}

impl InUse {
    fn get(&self, ino: Ino) -> Option<Arc<Staging>> {
        self.stagings.get(&ino).and_then(Weak::upgrade)
    }

    /// Whether nobody uses the staging of an entry any more, and its content is not in the cache yet.
    fn is_leaving(&self, ino: Ino) -> bool {
        self.leaving.contains_key(&ino) || self.stagings.get(&ino).is_some_and(|staging| staging.strong_count() == 0)
    }
}

impl Stagings {
    /// Opens the folder.
    pub(super) fn open(
        dir: &Path,
        state: Arc<State>,
        content: Arc<Content>,
        runtime: Handle,
        largest: u64,
        growing: mpsc::UnboundedSender<Ino>,
        book: Option<Arc<Book>>,
    ) -> Result<Arc<Self>> {
        std::fs::create_dir_all(dir)?;
        let mut last = 0;
        for file in std::fs::read_dir(dir)? {
            last = last.max(parse_name(&file?.file_name().to_string_lossy()).map_or(0, |(_, number)| number));
        }
        let layers: Vec<(Ino, u64, Vec<u8>)> = state.read(|db| {
            db.prepare("SELECT ino, file, written FROM layer")?
                .query_map([], |row| Ok((row.get(0)?, from_sql(row.get(1)?), row.get(2)?)))?
                .collect()
        })?;
        let mut held: HashMap<Ino, u64> = HashMap::new();
        for (ino, number, written) in layers {
            let bytes = held_by(&dir.join(file_name(ino, number)), &RangeSet::decode(&written).unwrap_or_default());
            if bytes > 0 {
                *held.entry(ino).or_default() += bytes;
            }
        }
        let cache = content.cache();
        let space = Space::new(held, cache.most_room(), cache.cap(), cache.pinned_counter());
        cache.leave_room(space.room(0));
        let copies = Copies::open(&state)?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            state,
            content,
            runtime,
            next_number: AtomicU64::new(last + 1),
            space,
            claimable: AtomicU64::new(0),
            in_use: Mutex::default(),
            looked: AtomicU64::new(u64::MAX),
            growing,
            left: Condvar::new(),
            largest,
            copies,
            leavings: Leavings::default(),
            unsealed: Unsealed::open(book),
        }))
    }

    /// The staging of an entry that was created just now.
    pub(super) fn create(self: &Arc<Self>, ino: Ino) -> Arc<Staging> {
        // An empty file is content too.
        self.keep(ino, Inner { pile: Pile::new(), ..Inner::default() }, &mut self.in_use.lock())
    }

    /// The staging of an entry that has content which the drive has not, or that is open for writing; `None` if there is none.
    pub(super) fn get(self: &Arc<Self>, ino: Ino) -> Result<Option<Arc<Staging>>> {
        let (stored, layers, mut in_use) = loop {
            let made = {
                let in_use = self.in_use.lock();
                if let Some(staging) = in_use.get(ino) {
                    return Ok(Some(staging));
                }
                in_use.made
            };
            if self.tables_are_empty()? {
                return Ok(None);
            }
            let Some((stored, layers)) = self.load(ino)? else { return Ok(None) };
            let in_use = self.in_use.lock();
            // Somebody else may have loaded it meanwhile.
            if let Some(staging) = in_use.get(ino) {
                return Ok(Some(staging));
            }
            // And sent it, and let go of it: then what was read here is of the past, and its files are not ours to write into.
            if in_use.made == made {
                break (stored, layers, in_use);
            }
        };
        let base_size = stored.base.as_ref().map_or(0, |base| base.blob.size);
        let base = stored.base.map(|source| self.content.open(&source));
        let pile = Pile::sealed(Layers { size: stored.size, stack: layers, base_size });
        let seal = pile.sealed.clone().map(|layers| Sealed { seq: stored.seq, layers, safety: stored.safety });
        let inner = Inner { pile, base, origin: stored.origin, stored: seal, ..Inner::default() };
        Ok(Some(self.keep(ino, inner, &mut in_use)))
    }

    /// Whether the tables have no staging of any entry.
    fn tables_are_empty(&self) -> Result<bool> {
        let Some(version) = self.state.version() else { return Ok(false) };
        let looked = self.looked.load(Ordering::Relaxed);
        if looked >> 1 == version.0 {
            return Ok(looked & 1 == 1);
        }
        let are_empty = self.state.peek(table::is_empty)?;
        if self.state.version() == Some(version) {
            self.looked.store(version.0 << 1 | u64::from(are_empty), Ordering::Relaxed);
        }
        Ok(are_empty)
    }

    /// What the tables have of an entry, its files opened.
    fn load(&self, ino: Ino) -> Result<Option<(table::Stored, Vec<Layer>)>> {
        loop {
            let Some(mut stored) = self.state.read(|db| table::stored(db, ino))? else { return Ok(None) };
            let mut layers = Vec::new();
            let mut missing = None;
            for layer in std::mem::take(&mut stored.layers) {
                let path = self.path(ino, layer.number);
                match Layer::open(layer.number, path.clone(), layer.below, layer.written) {
                    Ok(layer) => layers.push(layer),
                    Err(error) => {
                        missing = Some(format!("{}: {error}", path.display()));
                        break;
                    }
                }
            }
            let Some(why) = missing else { return Ok(Some((stored, layers))) };
            // Sent, or sealed again, at this very moment?
            if self.state.read(|db| table::is_newest(db, ino, stored.seq))? {
                return Err(WritebackError::Damaged { ino, why });
            }
        }
    }

    /// The staging to write into an existing file.
    pub(super) fn edit(self: &Arc<Self>, node: &Node) -> Result<Arc<Staging>> {
        if let Some(staging) = self.get(node.ino)? {
            return Ok(staging);
        }
        let mut in_use = self.in_use.lock();
        if let Some(staging) = in_use.get(node.ino) {
            return Ok(staging);
        }
        let origin = table::source_of(node);
        let size = origin.as_ref().map_or(0, |origin| origin.blob.size);
        let base = origin.as_ref().map(|origin| self.content.open(origin));
        let mut pile = Pile::default();
        (pile.now.size, pile.now.base_size) = (size, size);
        Ok(self.keep(node.ino, Inner { pile, base, origin, ..Inner::default() }, &mut in_use))
    }

    /// As [`Self::edit`], for who must know where the content of a file is: if it is being put away, this waits until it is in
    /// the cache. `None`: it is gone. Waits for the local disk only, and not for ever.
    pub(super) fn settled(self: &Arc<Self>, ino: Ino) -> Result<Option<Arc<Staging>>> {
        {
            let mut in_use = self.in_use.lock();
            while in_use.is_leaving(ino) && !self.left.wait_for(&mut in_use, PUTTING_AWAY).timed_out() {}
        }
        if let Some(staging) = self.get(ino)? {
            return Ok(Some(staging));
        }
        // Looked up after it is known that nothing is unsent: what was known of it before may be from when it was not sent, and had
        // no revision. That would be an edit of nothing.
        let node = self.state.read(|db| nodes::by_ino(db, ino))?;
        node.map(|node| self.edit(&node)).transpose()
    }

    pub(super) fn keep_resumed(self: &Arc<Self>, ino: Ino, inner: Inner) -> Arc<Staging> {
        self.keep_as_it_is(ino, inner, &mut self.in_use.lock())
    }

    fn keep(self: &Arc<Self>, ino: Ino, inner: Inner, in_use: &mut InUse) -> Arc<Staging> {
        let log = Log::new(self.unsealed.book.clone());
        self.keep_as_it_is(ino, Inner { log, ..inner }, in_use)
    }

    fn keep_as_it_is(self: &Arc<Self>, ino: Ino, inner: Inner, in_use: &mut InUse) -> Arc<Staging> {
        let staging = Staging::new(ino, Arc::clone(self), inner);
        in_use.made += 1;
        in_use.stagings.insert(ino, Arc::downgrade(&staging));
        staging
    }

    /// The last user of a staging let go of it.
    pub(super) fn let_go(self: &Arc<Self>, ino: Ino, mut inner: Inner) {
        inner.log.clear();
        // If neither: it waits to be sent, and the tables know where it is; or it was opened for writing and not written.
        let leaves = inner.on_drive.is_some() || inner.discarded;
        {
            let mut in_use = self.in_use.lock();
            // Somebody may have begun a new one for the same entry already.
            if in_use.stagings.get(&ino).is_some_and(|staging| staging.strong_count() == 0) {
                in_use.stagings.remove(&ino);
            }
            if leaves {
                *in_use.leaving.entry(ino).or_default() += 1;
            }
        }
        if !leaves {
            self.left.notify_all();
            // Who uses it next takes them in again.
            self.account_gone(ino, inner.taken_in);
            return;
        }
        self.copies.end(ino);
        self.leave(Leaving::Used(ino, Box::new(inner)));
    }

    /// What somebody let go of is where it belongs now.
    pub(super) fn is_put_away(&self, ino: Ino) {
        let mut in_use = self.in_use.lock();
        if let Some(leaving) = in_use.leaving.get_mut(&ino) {
            *leaving -= 1;
            if *leaving == 0 {
                in_use.leaving.remove(&ino);
            }
        }
        drop(in_use);
        self.left.notify_all();
    }

    /// The staging of an entry, if it is in memory.
    pub(super) fn in_use(&self, ino: Ino) -> Option<Arc<Staging>> {
        self.in_use.lock().get(ino)
    }

    /// Makes the names of all files survive the loss of power.
    pub(super) fn sync_names(&self) -> Result<()> {
        Ok(File::open(&self.dir)?.sync_all()?)
    }

    pub(super) fn path(&self, ino: Ino, number: u64) -> PathBuf {
        self.dir.join(file_name(ino, number))
    }

    /// Entries whose content somebody has open: it stays here for as long as they do.
    pub(super) fn opened(&self) -> HashSet<Ino> {
        let in_use: Vec<Arc<Staging>> = self.in_use.lock().stagings.values().filter_map(Weak::upgrade).collect();
        // Not under the lock, which is taken when the last user lets go of one: that may be us.
        in_use.into_iter().filter(|staging| staging.is_open()).map(|staging| staging.ino()).collect()
    }

    /// Removes the staging of an entry that was removed; its rows are retired already. If somebody has it open, the last of
    /// them does it.
    pub(super) fn discard(self: &Arc<Self>, ino: Ino) {
        match self.in_use(ino) {
            Some(staging) => staging.discard(),
            None => self.leave(Leaving::Stored(ino)),
        }
    }

    /// Removes what a crash left behind: the files of retired staging. Says which files nobody knows: content that was never
    /// sealed.
    pub(super) fn sweep(&self, kept: &HashSet<Ino>) -> Result<Vec<(Ino, PathBuf)>> {
        let mut newest: HashMap<Ino, u64> = HashMap::new();
        for (ino, number) in self.known_files()? {
            let newest = newest.entry(ino).or_default();
            *newest = number.max(*newest);
        }
        let retired: Vec<Ino> = self.state.read(|db| {
            db.prepare("SELECT ino FROM staging WHERE retired = 1")?.query_map([], |row| row.get(0))?.collect()
        })?;
        if !retired.is_empty() {
            let known = Known::now(self)?;
            for ino in retired.into_iter().filter(|ino| !kept.contains(ino)) {
                known.remove_retired(ino)?;
                crash::point("swept-one");
            }
        }
        let known = self.known_files()?;
        let (mut unknown, mut folded) = (Vec::new(), Vec::new());
        for file in std::fs::read_dir(&self.dir)? {
            let file = file?;
            match parse_name(&file.file_name().to_string_lossy()) {
                // Of what another daemon was writing, that goes on.
                Some(name) if known.contains(&name) || kept.contains(&name.0) => {}
                // What was never sealed is newer than what was: the bytes of this one are in another.
                Some((ino, number)) if newest.get(&ino).is_some_and(|&newest| number < newest) => {
                    folded.push(file.path());
                }
                Some((ino, _)) => unknown.push((ino, file.path())),
                None => {}
            }
        }
        if !folded.is_empty() {
            let _known = Known::now(self)?;
            folded.iter().try_for_each(|path| remove_file(path))?;
        }
        Ok(unknown)
    }

    /// The files that the tables know of.
    fn known_files(&self) -> Result<HashSet<(Ino, u64)>> {
        Ok(self.state.read(|db| {
            db.prepare("SELECT ino, file FROM layer")?
                .query_map([], |row| Ok((row.get(0)?, from_sql(row.get(1)?))))?
                .collect()
        })?)
    }
}

fn file_name(ino: Ino, number: u64) -> String {
    format!("{:x}-{number:x}", ino.0)
}

fn parse_name(name: &str) -> Option<(Ino, u64)> {
    let (ino, number) = name.split_once('-')?;
    Some((Ino(u64::from_str_radix(ino, 16).ok()?), u64::from_str_radix(number, 16).ok()?))
}

pub(super) fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
