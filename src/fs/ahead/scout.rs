//! The task that looks at what is read, and fetches what may be read next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::epoch::Epoch;
use super::roster::{MOST_AHEAD, Order, Roster, Suffix};
use super::{Note, SMALL};
use crate::clock::Instant;
use crate::content::{self, Reader};
use crate::error::Kind;
use crate::fs::Fs;
use crate::tree::{self, Ino, NodeKind};

/// Files that are fetched at one time; which of these have requests under way is up to `content::downloads`.
const JOBS: usize = 32;

/// Folders that were read lately.
const FOLDERS: usize = 4096;

/// Folders whose folders were read lately.
const PARENTS: usize = 256;

/// Epochs that are followed at one time.
const EPOCHS: usize = 8;

/// Files of all rosters together.
const ROSTERED: usize = 1 << 18;

/// A folder with more small files than this is not followed.
const MOST_FILES: usize = 1 << 17;

/// An epoch over several folders is none of more files than this.
const MOST_IN_EPOCH: usize = 1 << 18;

/// How many folders of one must be read, and files in them, until it is an epoch over all of these.
const READ_FOLDERS: usize = 6;
const READ_FILES: u64 = 12;

/// Files that wait to be fetched for walks.
const MOST_WAITING: usize = 8 * MOST_AHEAD;

/// How many folders on a walk looks for files.
const BEYOND: usize = 16;

/// How long a walk is going on without a further read.
const WALKING: Duration = Duration::from_secs(5);

/// How long guesses are made without a further read, and how long what they are made from is remembered.
const READING: Duration = Duration::from_secs(30);
const REMEMBERED: Duration = Duration::from_mins(5);

/// How long nothing is fetched ahead after an error, or after something had to go unread.
const REST: Duration = Duration::from_secs(30);

/// How often it looks whether it may go on.
const TICK: Duration = Duration::from_millis(250);

/// After so many files that were here it lets others have the thread.
const AT_ONCE: usize = 64;

/// A folder that is read.
#[derive(Debug)]
struct Folder {
    parent: Ino,
    last_read: Instant,
    /// What was read of it, until it is looked at more closely.
    first: Option<Ino>,
    /// Its files; `None` if it was not looked at, or has too many.
    roster: Option<Roster>,
    is_too_large: bool,
    /// So many files of the folders after it were asked for when the walk through it came near its end.
    beyond: usize,
    /// All of it was, or is, to be fetched.
    is_epoch: bool,
}

/// A folder in whose folders something is read.
#[derive(Debug)]
struct Parent {
    last_read: Instant,
    /// Which were read, the first few.
    folders: Vec<Ino>,
    reads: u64,
    like: Vec<Suffix>,
    /// Whether all of it was, or is, to be fetched; `None`: that was no question yet.
    is_epoch: Option<bool>,
}

/// Looks at what is read, and fetches what may be read next.
#[derive(Debug)]
pub(super) struct Scout {
    fs: Arc<Fs>,
    folders: LruCache<Ino, Folder>,
    parents: LruCache<Ino, Parent>,
    epochs: LruCache<Ino, Epoch>,
    /// Files of all rosters.
    rostered: usize,
    /// The last walk that went on: what it was and when.
    walk: Option<(Order, u32, Instant)>,
    /// Files to fetch for walks.
    next: VecDeque<Ino>,
    jobs: JoinSet<(Ino, content::Result<()>)>,
    last_read: Instant,
    rests_until: Option<Instant>,
}

/// Whether a file was begun to be fetched.
enum Begun {
    Yes,
    /// It is here, or nothing to be fetched.
    Needless,
    /// There is no room for more that nobody has read.
    NoRoom,
}

fn cache<T>(most: usize) -> LruCache<Ino, T> {
    LruCache::new(most.try_into().expect("not zero"))
}

impl Scout {
    pub(super) fn new(fs: Arc<Fs>) -> Self {
        Self {
            fs,
            folders: cache(FOLDERS),
            parents: cache(PARENTS),
            epochs: cache(EPOCHS),
            rostered: 0,
            walk: None,
            next: VecDeque::new(),
            jobs: JoinSet::new(),
            last_read: Instant::now(),
            rests_until: None,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Note>) {
        loop {
            self.fill().await;
            let pause = if self.has_more() { TICK } else { REMEMBERED };
            tokio::select! {
                note = inbox.recv() => {
                    let Some(note) = note else { return };
                    self.heard(note).await;
                    while let Ok(note) = inbox.try_recv() {
                        self.heard(note).await;
                    }
                }
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => match done {
                    Ok((ino, result)) => self.fetched(ino, result),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => tracing::error!(%error, "fetching ahead panicked"),
                },
                () = tokio::time::sleep(pause) => {}
            }
            if self.last_read.elapsed() > REMEMBERED {
                self.forget();
            }
        }
    }

    /// Whether there is something to fetch, now or later.
    fn has_more(&self) -> bool {
        !self.next.is_empty() || self.epochs.iter().any(|(_, epoch)| epoch.has_credit() && !epoch.is_done())
    }

    /// Forgets all that was read and all that is to be fetched.
    fn forget(&mut self) {
        self.folders.clear();
        self.parents.clear();
        self.epochs.clear();
        self.rostered = 0;
        self.walk = None;
        self.next.clear();
        *self.fs.ahead.unread.lock() = super::Unread::default();
    }

    fn rest(&mut self, why: &str) {
        tracing::debug!(why, "nothing is fetched ahead for a while");
        self.forget();
        self.jobs.abort_all();
        self.rests_until = Some(Instant::now() + REST);
    }

    fn is_resting(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    fn fetched(&mut self, ino: Ino, result: content::Result<()>) {
        let Err(error) = result else { return self.fs.ahead.unread.lock().landed(ino) };
        self.fs.ahead.unread.lock().take(ino);
        match error.kind() {
            // Of that one file: who reads it will hear of it.
            Kind::NotFound | Kind::Stale | Kind::Denied | Kind::NotPermitted | Kind::Corrupt | Kind::Unsupported => {}
            _ => self.rest(&error.to_string()),
        }
    }

    async fn heard(&mut self, note: Note) {
        self.last_read = Instant::now();
        if note.wasted {
            self.rest("what was fetched ahead had to go before it was read");
        }
        if self.is_resting() {
            return;
        }
        if let Err(error) = self.look_at(note).await {
            tracing::debug!(%error, "not known what may be read next");
        }
    }

    async fn look_at(&mut self, note: Note) -> tree::Result<()> {
        let Note { folder: ino, .. } = note;
        // What was read of it long before says nothing of what comes next.
        if self.folders.peek(&ino).is_none_or(|folder| folder.last_read.elapsed() > READING) {
            let Some(node) = self.fs.tree.node(ino)? else { return Ok(()) };
            self.follow(ino, node.parent);
        }
        let Some(folder) = self.folders.get_mut(&ino) else { return Ok(()) };
        folder.last_read = Instant::now();
        let parent = folder.parent;
        for of in [parent, ino] {
            if let Some(epoch) = self.epochs.get_mut(&of) {
                epoch.read();
                return Ok(());
            }
        }
        if self.is_epoch_over_folders(note, parent).await? {
            return Ok(());
        }
        let walk = self.walk.filter(|(.., at)| at.elapsed() < WALKING).map(|(order, steps, _)| (order, steps));
        let Some(folder) = self.folders.get_mut(&ino) else { return Ok(()) };
        if folder.is_epoch {
            return Ok(());
        }
        if folder.is_too_large || walk.is_none() && folder.roster.is_none() && folder.first.is_none() {
            folder.first = Some(note.ino);
            return Ok(());
        }
        let first = folder.first.take();
        self.roster_of(ino).await?;
        let Some(folder) = self.folders.get_mut(&ino) else { return Ok(()) };
        let Some(roster) = &mut folder.roster else { return Ok(()) };
        if let Some(first) = first {
            roster.read(first, None);
        }
        let ahead = roster.read(note.ino, walk);
        self.next.extend(ahead.files);
        if let Some((order, steps)) = ahead.walk {
            self.walk = Some((order, steps, Instant::now()));
        }
        let like = roster.suffixes().to_vec();
        let scattered = roster.is_scattered().then_some(roster.bytes);
        // Not with each read a few more.
        let beyond = ahead.beyond.filter(|&(.., most)| most >= 2 * folder.beyond);
        folder.beyond = beyond.map_or(folder.beyond, |(.., most)| most);
        if scattered.is_some_and(|bytes| self.fits(bytes)) {
            self.begin_epoch(ino, like);
        } else if let Some((order, _, most)) = beyond {
            self.go_on(ino, parent, order, most, &like).await?;
        }
        Ok(())
    }

    /// All of a folder is to be fetched.
    fn begin_epoch(&mut self, ino: Ino, like: Vec<Suffix>) {
        let Some(folder) = self.folders.get_mut(&ino) else { return };
        let Some(roster) = &mut folder.roster else { return };
        folder.is_epoch = true;
        let files = roster.take_rest(&like);
        let mut epoch = Epoch::new(roster.bytes, u64::from(roster.reads()), like);
        epoch.files.extend(files);
        self.epochs.put(ino, epoch);
    }

    fn follow(&mut self, ino: Ino, parent: Ino) {
        let folder = Folder {
            parent,
            last_read: Instant::now(),
            first: None,
            roster: None,
            is_too_large: false,
            beyond: 0,
            is_epoch: false,
        };
        if let Some((_, Folder { roster: Some(roster), .. })) = self.folders.push(ino, folder) {
            self.rostered -= roster.len();
        }
    }

    /// Sees to it that the files of a folder are known, unless there are too many.
    async fn roster_of(&mut self, ino: Ino) -> tree::Result<()> {
        let Some(folder) = self.folders.get(&ino) else { return Ok(()) };
        if folder.roster.is_some() || folder.is_too_large {
            return Ok(());
        }
        let files = self.ask(move |fs| fs.tree.files(ino, SMALL, MOST_FILES)).await?;
        let Some(folder) = self.folders.get_mut(&ino) else { return Ok(()) };
        folder.is_too_large = files.len() == MOST_FILES;
        if folder.is_too_large {
            return Ok(());
        }
        self.rostered += files.len();
        folder.roster = Some(Roster::new(files));
        while self.rostered > ROSTERED {
            match self.folders.pop_lru() {
                Some((_, Folder { roster: Some(roster), .. })) => self.rostered -= roster.len(),
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Asks the tree for what may take it more than microseconds.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Fs) -> tree::Result<T> + Send + 'static,
    ) -> tree::Result<T> {
        let fs = Arc::clone(&self.fs);
        let answer = tokio::task::spawn_blocking(move || question(&fs)).await;
        answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Whether so many bytes can be in the cache at one time, beside all that is to be there already.
    fn fits(&self, bytes: u64) -> bool {
        let others: u64 = self.epochs.iter().map(|(_, epoch)| epoch.bytes).sum();
        bytes.saturating_add(others) <= self.fs.content.cache().reach_of_guesses() / 4 * 3
    }

    /// Notes a read of a file in a folder of this one; says whether it makes it an epoch over all of these.
    async fn is_epoch_over_folders(&mut self, note: Note, parent: Ino) -> tree::Result<bool> {
        if self.parents.peek(&parent).is_none_or(|seen| seen.last_read.elapsed() > READING) {
            let seen =
                Parent { last_read: Instant::now(), folders: Vec::new(), reads: 0, like: Vec::new(), is_epoch: None };
            self.parents.put(parent, seen);
        }
        let Some(seen) = self.parents.get_mut(&parent) else { return Ok(false) };
        seen.last_read = Instant::now();
        if let Some(is_epoch) = seen.is_epoch {
            return Ok(is_epoch);
        }
        seen.reads += 1;
        if !seen.like.contains(&note.suffix) {
            seen.like.push(note.suffix);
        }
        if seen.folders.len() < READ_FOLDERS && !seen.folders.contains(&note.folder) {
            seen.folders.push(note.folder);
        }
        if seen.folders.len() < READ_FOLDERS || seen.reads < READ_FILES {
            return Ok(false);
        }
        let (reads, like) = (seen.reads, seen.like.clone());
        let bytes = self.ask(move |fs| fs.tree.bytes_of_files(parent, SMALL, MOST_IN_EPOCH)).await?;
        let bytes = bytes.filter(|&bytes| self.fits(bytes));
        if let Some(seen) = self.parents.get_mut(&parent) {
            seen.is_epoch = Some(bytes.is_some());
        }
        let Some(bytes) = bytes else { return Ok(false) };
        let mut epoch = Epoch::new(bytes, reads, like);
        let folders = self.ask(move |fs| fs.tree.folders(parent, MOST_IN_EPOCH)).await?;
        // From here on: it may be a walk through many small folders.
        let here = folders.iter().position(|&folder| folder == note.folder).unwrap_or(0);
        epoch.folders.extend(folders[here..].iter().chain(&folders[..here]));
        self.epochs.put(parent, epoch);
        Ok(true)
    }

    /// Goes on with a walk in the folders after the one that it is in, until so many files are found.
    async fn go_on(&mut self, from: Ino, parent: Ino, order: Order, most: usize, like: &[Suffix]) -> tree::Result<()> {
        let mut folders = self.ask(move |fs| fs.tree.folders(parent, MOST_FILES)).await?;
        if order == Order::Number {
            folders.sort_unstable();
        }
        let after = folders.iter().position(|&folder| folder == from).map_or(folders.len(), |place| place + 1);
        let mut most = most.min(MOST_AHEAD);
        for &ino in folders[after..].iter().take(BEYOND) {
            if most == 0 {
                break;
            }
            if !self.folders.contains(&ino) {
                self.follow(ino, parent);
            }
            self.roster_of(ino).await?;
            let roster = self.folders.get_mut(&ino).and_then(|folder| folder.roster.as_mut());
            let (files, found) = roster.map_or_else(Default::default, |roster| roster.first(order, most, like));
            most -= found;
            self.next.extend(files);
        }
        Ok(())
    }

    /// Begins to fetch what is next, as far as it is a moment for that.
    async fn fill(&mut self) {
        let mut skipped = 0;
        let done: Vec<Ino> = self.epochs.iter().filter(|(_, epoch)| epoch.is_done()).map(|(&key, _)| key).collect();
        for key in done {
            self.epochs.pop(&key);
        }
        // The readers have got to what had to wait for so long.
        while self.next.len() > MOST_WAITING {
            self.next.pop_front();
        }
        while self.jobs.len() < JOBS && self.has_more() {
            let is_moment = !self.is_resting() && self.last_read.elapsed() < READING && !self.fs.is_closing();
            if !is_moment || !self.fs.content.has_spare() {
                return;
            }
            let Some((ino, epoch)) = self.take().await else { return };
            match self.begin(ino) {
                Ok(Begun::Yes) => {}
                Ok(Begun::Needless) => {
                    if let Some(epoch) = epoch.and_then(|epoch| self.epochs.peek_mut(&epoch)) {
                        epoch.was_here();
                    }
                    skipped += 1;
                    if skipped % AT_ONCE == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Ok(Begun::NoRoom) => return self.next.push_front(ino),
                Err(error) => tracing::debug!(%error, "a file could not be fetched ahead"),
            }
        }
    }

    /// The next file to fetch, and the epoch that it is of.
    async fn take(&mut self) -> Option<(Ino, Option<Ino>)> {
        if let Some(ino) = self.next.pop_front() {
            return Some((ino, None));
        }
        let has_more = |epoch: &Epoch| epoch.has_credit() && !epoch.is_done();
        let key = self.epochs.iter().find(|(_, epoch)| has_more(epoch)).map(|(&key, _)| key)?;
        loop {
            let epoch = self.epochs.peek_mut(&key)?;
            if let Some(ino) = epoch.take() {
                return Some((ino, Some(key)));
            }
            let folder = epoch.folders.pop_front()?;
            let files = self.ask(move |fs| fs.tree.files(folder, SMALL, MOST_FILES)).await.unwrap_or_default();
            let epoch = self.epochs.peek_mut(&key)?;
            let like = &epoch.like;
            let files = files.into_iter().filter(|(name, ..)| like.contains(&Suffix::of(name)));
            epoch.files = files.map(|(_, ino, _)| ino).collect();
        }
    }

    /// Begins to fetch a file, if that is of use.
    fn begin(&mut self, ino: Ino) -> crate::fs::Result<Begun> {
        let Some(node) = self.fs.tree.node(ino)? else { return Ok(Begun::Needless) };
        let is_content = node.is_linked() && node.kind == NodeKind::File && (1..=SMALL).contains(&node.size);
        if !is_content || self.fs.writeback.unsent(ino)?.is_some() {
            return Ok(Begun::Needless);
        }
        let Some(reader) = self.fs.reader(&node) else { return Ok(Begun::Needless) };
        let size = reader.source().blob.size;
        if reader.is_here(0..size).map_err(crate::fs::FsError::Content)? {
            return Ok(Begun::Needless);
        }
        let mut unread = self.fs.ahead.unread.lock();
        if unread.bytes + size > self.fs.content.cache().reach_of_guesses() / 2 {
            return Ok(Begun::NoRoom);
        }
        unread.begin(ino, size);
        drop(unread);
        self.jobs.spawn(fetch(ino, reader));
        Ok(Begun::Yes)
    }
}

async fn fetch(ino: Ino, reader: Arc<Reader>) -> (Ino, content::Result<()>) {
    let fetched = reader.fetch_whole_ahead().await;
    (ino, fetched)
}
