//! What was written and is in no table yet, for the next daemon: a log of changes a staging, in the book (`crate::book`).
//!
//! The bytes of a write are in a staging file, which outlives the daemon; which bytes of it count is in memory until the content is
//! sealed. So each change of a [pile](super::pile) is noted after it was made and before it is answered: if the daemon dies between the
//! two, the request is asked again, and the change made again. A write that goes on where the last one ended lengthens that one's
//! note, so who writes a file from its start to its end needs one.
//!
//! The log is relative to what the tables have. Made again over what was sealed in the meantime it changes nothing: for each byte the last note that
//! concerns it counts. So it is thrown away after a seal, if nothing was written since, and no moment matters.
//!
//! Its pages are slots of the book. The first one of a log holds, instead of notes, what the content began from; it names the *edition*
//! of the log. One that grows too long is written anew, as a new edition that says what there is; that counts as soon as its first page is
//! there.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::layers::{Layer, Layers, hollow};
use super::pile::Pile;
use super::staging::{Inner, Sealed, Staging};
use super::stagings::{Stagings, remove_file};
use super::table;
use super::{Result, Writeback};
use crate::book::{self, Book, UNSEALED};
use crate::remote::{Blob, FileId, Source};
use crate::tree::{Ino, Node};

/// Length of the head of a page: the entry, the edition, and which page of it this is.
const HEAD: usize = 32;

/// Length of a note.
const NOTE: usize = 32;

/// Notes on one page.
const NOTES: usize = (UNSEALED - HEAD) / NOTE;

/// A log of so many pages is written anew. It has room for twenty thousand places that were written one by one.
const LONG: usize = 160;

/// A change of a pile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A layer was put on top: its number, and how much shines through it.
    Layer(u64, u64),
    /// Bytes of a layer were written: its number, from, to.
    Write(u64, u64, u64),
    /// Bytes of a layer became zeros.
    Zero(u64, u64, u64),
    /// The size was set, and the top layer cut if it was longer.
    Size(u64),
    /// So much of the base, of such a size, shines through.
    Show(u64, u64),
}

impl Change {
    fn encode(self) -> [u8; NOTE] {
        let words = match self {
            Self::Layer(number, below) => [1, number, below, 0],
            Self::Write(layer, from, to) => [2, layer, from, to],
            Self::Zero(layer, from, to) => [3, layer, from, to],
            Self::Size(size) => [4, size, 0, 0],
            Self::Show(base, size) => [5, base, size, 0],
        };
        let mut bytes = [0; NOTE];
        for (at, word) in words.into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&u64::to_ne_bytes(word));
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| book::number(&bytes[at * 8..]);
        match word(0) {
            1 => Some(Self::Layer(word(1), word(2))),
            2 => Some(Self::Write(word(1), word(2), word(3))),
            3 => Some(Self::Zero(word(1), word(2), word(3))),
            4 => Some(Self::Size(word(1))),
            5 => Some(Self::Show(word(1), word(2))),
            _ => None,
        }
    }

    /// Both as one, if they are.
    fn joined(self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Write(layer, from, to), Self::Write(other, start, end)) if layer == other && start == to => {
                Some(Self::Write(layer, from, end))
            }
            (Self::Size(_), Self::Size(_)) if self == next => Some(next),
            _ => None,
        }
    }
}

/// What a content began from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Beginning {
    base: Option<(FileId, Blob)>,
    origin: Option<(FileId, Blob)>,
    /// Bytes of the base that shine through if nothing was written.
    shown: u64,
}

impl Beginning {
    fn of(inner: &Inner) -> Self {
        let pair = |source: &Source| (source.id.clone(), source.blob.clone());
        Self {
            base: inner.base.as_ref().map(|base| pair(base.source())),
            origin: inner.origin.as_ref().map(pair),
            shown: inner.pile.now.base_size,
        }
    }
}

fn source((id, blob): (FileId, Blob)) -> Source {
    Source { id, blob }
}

/// The log of one staging.
#[derive(Debug, Default)]
pub(super) struct Log {
    book: Option<Arc<Book>>,
    pages: Vec<u64>,
    edition: u64,
    /// Notes on the last page, and the last of them.
    count: usize,
    last: Option<Change>,
}

impl Log {
    pub(super) fn new(book: Option<Arc<Book>>) -> Self {
        Self { book, ..Self::default() }
    }

    /// Notes a change. `beginning` and `all` say what there is, for a new log.
    fn note(
        &mut self,
        ino: Ino,
        change: Change,
        beginning: impl Fn() -> Beginning,
        all: impl Fn() -> Vec<Change>,
    ) -> io::Result<()> {
        let Some(book) = self.book.clone() else { return Ok(()) };
        if let Some(joined) = self.last.and_then(|last| last.joined(change)).filter(|_| self.count > 0) {
            self.last = Some(joined);
            let page = self.pages.last().copied().ok_or(io::ErrorKind::NotFound)?;
            return book.unsealed.set(page, HEAD + (self.count - 1) * NOTE, &joined.encode());
        }
        if self.pages.is_empty() {
            self.edition = 1;
            let first = book.unsealed.put(&first_page(ino, self.edition, &beginning())?)?;
            (self.pages, self.count) = (vec![first], NOTES);
        }
        if self.count == NOTES && self.pages.len() > LONG {
            return self.write_anew(&book, ino, &beginning(), &all());
        }
        self.add(&book, ino, change)
    }

    fn add(&mut self, book: &Book, ino: Ino, change: Change) -> io::Result<()> {
        if self.count == NOTES {
            let head = page(ino, self.edition, self.pages.len() as u64);
            self.pages.push(book.unsealed.put(&[&head[..], &change.encode()].concat())?);
            self.count = 1;
        } else {
            let page = self.pages.last().copied().ok_or(io::ErrorKind::NotFound)?;
            book.unsealed.set(page, HEAD + self.count * NOTE, &change.encode())?;
            self.count += 1;
        }
        self.last = Some(change);
        Ok(())
    }

    /// A new edition: what there is by now.
    fn write_anew(&mut self, book: &Book, ino: Ino, beginning: &Beginning, all: &[Change]) -> io::Result<()> {
        let edition = self.edition + 1;
        // The first page comes last: until then the old edition counts.
        let mut new = Self { edition, pages: vec![u64::MAX], count: NOTES, ..Self::default() };
        for change in all {
            new.add(book, ino, *change)?;
        }
        new.pages[0] = book.unsealed.put(&first_page(ino, edition, beginning)?)?;
        new.book.clone_from(&self.book);
        self.clear();
        *self = new;
        Ok(())
    }

    /// All is sealed, or not wanted any more.
    pub(super) fn clear(&mut self) {
        if let Some(book) = &self.book {
            // The first page first: without it there is no log.
            self.pages.drain(..).for_each(|page| book.unsealed.clear(page));
        }
        (self.count, self.last) = (0, None);
    }
}

fn page(ino: Ino, edition: u64, number: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&ino.0.to_ne_bytes());
    head[8..16].copy_from_slice(&edition.to_ne_bytes());
    head[16..24].copy_from_slice(&number.to_ne_bytes());
    head
}

fn first_page(ino: Ino, edition: u64, beginning: &Beginning) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(beginning)?;
    let mut bytes = page(ino, edition, 0).to_vec();
    bytes[24..32].copy_from_slice(&(text.len() as u64).to_ne_bytes());
    bytes.extend(text);
    Ok(bytes)
}

impl Inner {
    /// Notes a change that was just made.
    pub(super) fn note(&mut self, ino: Ino, change: Change) -> Result<()> {
        let mut log = std::mem::take(&mut self.log);
        let noted = log.note(ino, change, || Beginning::of(self), || all(&self.pile.now));
        self.log = log;
        Ok(noted?)
    }

    /// Notes all that there is, in the place of what was noted before.
    pub(super) fn note_all(&mut self, ino: Ino) -> Result<()> {
        let (beginning, all) = (Beginning::of(self), all(&self.pile.now));
        let Some(book) = self.log.book.clone() else { return Ok(()) };
        Ok(self.log.write_anew(&book, ino, &beginning, &all)?)
    }

    /// The number of the top layer.
    pub(super) fn top(&self) -> u64 {
        self.pile.now.stack.last().map_or(0, |layer| layer.number)
    }
}

/// All that there is, as changes of nothing.
fn all(layers: &Layers) -> Vec<Change> {
    let mut changes = Vec::new();
    for layer in &layers.stack {
        changes.push(Change::Layer(layer.number, layer.below));
        for range in layer.written.iter() {
            for (piece, zero) in layer.zeros.pieces(range) {
                let change = if zero { Change::Zero } else { Change::Write };
                changes.push(change(layer.number, piece.start, piece.end));
            }
        }
    }
    changes.push(Change::Size(layers.size));
    changes
}

/// A page: which of its log, its slot, its bytes.
type Page = (u64, u64, Vec<u8>);

/// What a daemon left that died.
#[derive(Debug, Default)]
pub(super) struct Found {
    edition: u64,
    /// Where it stands.
    slots: Vec<u64>,
    beginning: Beginning,
    changes: Vec<Change>,
}

impl Found {
    fn of(edition: u64, pages: &[Page], slots: Vec<u64>) -> Option<Self> {
        let (_, _, first) = pages.first().filter(|(number, ..)| *number == 0)?;
        let length = usize::try_from(book::number(&first[24..])).ok()?;
        let beginning = serde_json::from_slice(first.get(HEAD..HEAD.saturating_add(length))?).ok()?;
        let notes = pages[1..].iter().flat_map(|(_, _, page)| page[HEAD..].chunks_exact(NOTE));
        let changes = notes.map_while(Change::decode).collect();
        Some(Self { edition, slots, beginning, changes })
    }
}

/// The logs that a daemon left, by their entries.
#[derive(Debug, Default)]
pub(super) struct Unsealed {
    pub(super) book: Option<Arc<Book>>,
    found: Mutex<HashMap<Ino, Found>>,
}

impl Unsealed {
    /// Reads what there is of them. They stay where they are until somebody goes on with them.
    pub(super) fn open(book: Option<Arc<Book>>) -> Self {
        let Some(book) = book else { return Self::default() };
        let mut pages: HashMap<(u64, u64), Vec<Page>> = HashMap::new();
        for (slot, bytes) in book.unsealed.take_found() {
            let (ino, edition, number) = (book::number(&bytes), book::number(&bytes[8..]), book::number(&bytes[16..]));
            pages.entry((ino, edition)).or_default().push((number, slot, bytes));
        }
        let mut found: HashMap<Ino, Found> = HashMap::new();
        for ((ino, edition), mut pages) in pages {
            pages.sort_by_key(|(number, ..)| *number);
            let slots: Vec<u64> = pages.iter().map(|(_, slot, _)| *slot).collect();
            let one = Found::of(edition, &pages, slots.clone());
            let older = found.get(&Ino(ino)).is_none_or(|other| other.edition < edition);
            let gone = match one.filter(|_| older) {
                Some(one) => found.insert(Ino(ino), one).map(|other| other.slots),
                // Of an edition that was not finished, or not wanted any more.
                None => Some(slots),
            };
            gone.into_iter().flatten().for_each(|slot| book.unsealed.clear(slot));
        }
        Self { book: Some(book), found: Mutex::new(found) }
    }

    /// Entries that there is one of.
    pub(super) fn entries(&self) -> Vec<Ino> {
        self.found.lock().keys().copied().collect()
    }
}

impl Writeback {
    /// The staging of a file that another daemon was writing, or had open.
    pub fn resume(&self, node: &Node) -> Result<Arc<Staging>> {
        self.stagings.resume(node)
    }

    /// Forgets what another daemon was writing.
    pub fn abandon(&self, ino: Ino) -> Result<()> {
        self.stagings.abandon(ino)
    }

    /// Files of which something was written that is not sealed, and that nobody has resumed.
    pub fn left_unsealed(&self) -> Vec<Ino> {
        self.stagings.unsealed.entries()
    }
}

impl Stagings {
    fn abandon(&self, ino: Ino) -> Result<()> {
        let Some(found) = self.unsealed.found.lock().remove(&ino) else { return Ok(()) };
        let layers = found.changes.iter().filter_map(|change| match change {
            Change::Layer(number, _) => Some(*number),
            _ => None,
        });
        for number in layers {
            remove_file(&self.path(ino, number))?;
        }
        let Some(book) = &self.unsealed.book else { return Ok(()) };
        // The first page first: without it there is no log.
        found.slots.into_iter().for_each(|slot| book.unsealed.clear(slot));
        Ok(())
    }

    fn resume(self: &Arc<Self>, node: &Node) -> Result<Arc<Staging>> {
        let ino = node.ino;
        if let Some(staging) = self.in_use(ino) {
            return Ok(staging);
        }
        let found = self.unsealed.found.lock().remove(&ino);
        let stored = self.state.read(|db| table::stored_or_retired(db, ino))?;
        let is_new = found.is_none() && stored.is_none() && node.revision.is_none();
        let mut inner = Inner::default();
        let mut held_before = 0;
        if let Some((stored, is_retired)) = stored {
            let mut layers = Vec::new();
            for layer in stored.layers {
                layers.push(Layer::reopen(layer.number, self.path(ino, layer.number), layer.below, layer.written)?);
            }
            // The drive has it, and what shines through stands in that.
            let sent = table::source_of(node).filter(|_| is_retired && node.is_linked());
            let base = sent.clone().or(stored.base);
            let base_size = base.as_ref().map_or(0, |base| base.blob.size);
            inner.pile = Pile::sealed(Layers { size: stored.size, stack: layers, base_size });
            held_before = inner.pile.held();
            inner.stored =
                inner.pile.sealed.clone().map(|layers| Sealed { seq: stored.seq, layers, safety: stored.safety });
            inner.base = base.as_ref().map(|base| self.content.open(base));
            inner.origin = sent.clone().or(stored.origin);
            inner.on_drive = sent;
            inner.discarded = is_retired && !node.is_linked();
        } else if is_new {
            inner.pile = Pile::new();
        } else {
            let beginning = found.as_ref().map(|found| found.beginning.clone());
            let beginning = beginning.unwrap_or_else(|| {
                let origin = table::source_of(node).map(|Source { id, blob }| (id, blob));
                let shown = origin.as_ref().map_or(0, |(_, blob)| blob.size);
                Beginning { base: origin.clone(), origin, shown }
            });
            inner.base = beginning.base.map(|base| self.content.open(&source(base)));
            inner.origin = beginning.origin.map(source);
            (inner.pile.now.base_size, inner.pile.now.size) = (beginning.shown, beginning.shown);
            // One that was made new and has nothing in it yet is content, too.
            inner.pile.dirty = inner.base.is_none();
        }
        let Found { edition, slots, changes, .. } = found.unwrap_or_default();
        if !changes.is_empty() {
            inner.on_drive = None;
            inner.pile.dirty = true;
            for change in &changes {
                self.make_again(ino, &mut inner.pile, *change)?;
            }
            inner.pile.count_anew()?;
        }
        // What was sent of it while it was written is gone on with when it is sealed.
        inner.growth.end();
        inner.log = Log { book: self.unsealed.book.clone(), pages: slots, edition, count: NOTES, last: None };
        let more = inner.pile.held().saturating_sub(held_before);
        if inner.pile.dirty {
            inner.note_all(ino)?;
        } else {
            inner.log.clear();
        }
        let staging = self.keep_resumed(ino, inner);
        self.account(ino, more);
        Ok(staging)
    }

    /// Makes a change again in memory, which the files have already.
    fn make_again(&self, ino: Ino, pile: &mut Pile, change: Change) -> Result<()> {
        match change {
            Change::Layer(number, below) => {
                if pile.now.stack.iter().all(|layer| layer.number != number) {
                    pile.push(Layer::reopen(number, self.path(ino, number), below, crate::ranges::RangeSet::new())?);
                }
            }
            Change::Write(number, from, to) | Change::Zero(number, from, to) => {
                if let Some(layer) = pile.now.stack.iter_mut().find(|layer| layer.number == number) {
                    layer.written.insert(from..to);
                }
                pile.now.size = pile.now.size.max(to);
            }
            Change::Size(size) => {
                if size < pile.now.size
                    && let Some(top) = pile.now.stack.last_mut()
                {
                    top.written.truncate(size);
                    top.below = top.below.min(size);
                }
                pile.now.size = size;
            }
            Change::Show(base_size, size) => {
                (pile.now.base_size, pile.now.size) = (base_size, size);
                if let Some(lowest) = pile.now.stack.first_mut() {
                    lowest.below = size;
                }
            }
        }
        Ok(())
    }
}

impl Pile {
    /// Finds out what its layers hold, after changes that were made in memory alone.
    fn count_anew(&mut self) -> io::Result<()> {
        for layer in &mut self.now.stack {
            // What was answered is there; what was not may be missing, and is asked again.
            let needed = layer.written.iter().last().map_or(0, |range| range.end);
            if layer.file.metadata()?.len() < needed {
                layer.file.set_len(needed)?;
            }
            layer.zeros = hollow(&layer.file, &layer.written)?;
        }
        self.set_held(self.now.stack.iter().map(Layer::held).sum());
        Ok(())
    }
}

impl Layer {
    /// A layer whose file an earlier daemon made.
    fn reopen(number: u64, path: std::path::PathBuf, below: u64, written: crate::ranges::RangeSet) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        let zeros = hollow(&file, &written)?;
        Ok(Self { number, path, file: Arc::new(file), below, written, zeros })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn a_log_is_found_as_it_was_written() {
        let memory = sys::memory_file("book").expect("made");
        let open = || Arc::new(Book::open(memory.try_clone().expect("clones")).expect("opens"));
        let mut log = Log::new(Some(open()));
        let beginning = Beginning { shown: 7, ..Beginning::default() };
        let note = |log: &mut Log, change| {
            log.note(Ino(5), change, || beginning.clone(), || vec![Change::Size(1)]).expect("notes");
        };
        note(&mut log, Change::Layer(3, 7));
        for at in 0..1000 {
            note(&mut log, Change::Write(3, at * 10, at * 10 + 10));
        }
        for at in 0..1000 {
            note(&mut log, Change::Write(3, at * 100, at * 100 + 1));
        }
        note(&mut log, Change::Size(12));
        let unsealed = Unsealed::open(Some(open()));
        let found = unsealed.found.lock().remove(&Ino(5)).expect("is found");
        assert_eq!(found.beginning, beginning);
        assert_eq!(found.changes[..2], [Change::Layer(3, 7), Change::Write(3, 0, 10_000)]);
        assert_eq!(found.changes.len(), 1003);
        assert_eq!(found.changes.last(), Some(&Change::Size(12)));
        // So long that it is written anew.
        for at in 0..30_000 {
            note(&mut log, Change::Write(3, at * 100, at * 100 + 2));
        }
        let unsealed = Unsealed::open(Some(open()));
        let found = unsealed.found.lock().remove(&Ino(5)).expect("is found");
        assert_eq!(found.changes[0], Change::Size(1));
        assert!(found.changes.len() < 30_000);
        log.clear();
        assert!(Unsealed::open(Some(open())).entries().is_empty());
    }
}
