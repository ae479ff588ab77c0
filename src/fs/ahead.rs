//! Fetching small files before a program asks for them.
//!
//! To read a small file costs a round trip, and programs read them one after the other. So who reads the files of a folder one by one
//! would wait for each. [`Scout`] is told of each first read of a small file that was not here, or came ahead, and recognises
//!
//! - *a walk*: reads that follow the order of names or of numbers, by one program or by several. The next files of the same sort are
//!   fetched, further ahead with each step, and those of the next folder when the end of this one comes near;
//! - *an epoch*: reads in no order in one folder, or in several folders that are in the same one. All small files of the same sort
//!   there are fetched, slowly first and faster with each read ([`epoch`]).
//!
//! What only looks at folders reads nothing, so nothing is fetched for it; nor for who reads a file or two.
//!
//! Nobody else pays for a guess: it waits behind whatever somebody waits for (`content::downloads`), takes no requests of a budget
//! that is half used up, gives way to a drive that asks for fewer, and stands back for a while after any error. It must fit into
//! the cache beside what is read again and again, all of an epoch at one time: to fetch a part of what does not fit would push out
//! what was fetched before. What came and was not read bounds what comes; if any of it had to go unread, that was a
//! guess too many, and it rests.
//!
//! All state is that of one task, and bounded. It is forgotten when nobody reads on.

mod epoch;
mod roster;
mod scout;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::roster::Suffix;
use self::scout::Scout;
use super::Fs;
use super::handle::OpenFile;
use crate::config::ReadAhead;
use crate::tree::Ino;

/// What counts as a small file: as much as the first read of any file fetches.
const SMALL: u64 = 1024 * 1024;

/// Reads that wait to be looked at. What comes when there are more is not looked at: it is only for guesses.
const NOTES: usize = 1024;

/// A read of a small file.
#[derive(Debug, Clone, Copy)]
struct Note {
    folder: Ino,
    ino: Ino,
    suffix: Suffix,
    /// It had been fetched ahead, and evicted before it was read.
    wasted: bool,
}

/// What was fetched ahead and nobody has read yet.
#[derive(Debug, Default)]
struct Unread {
    files: HashMap<Ino, Guess>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Guess {
    size: u64,
    /// All of it is here, or was.
    landed: bool,
}

impl Unread {
    fn begin(&mut self, ino: Ino, size: u64) {
        if self.files.insert(ino, Guess { size, landed: false }).is_none() {
            self.bytes += size;
        }
    }

    fn landed(&mut self, ino: Ino) {
        if let Some(guess) = self.files.get_mut(&ino) {
            guess.landed = true;
        }
    }

    fn take(&mut self, ino: Ino) -> Option<Guess> {
        let guess = self.files.remove(&ino)?;
        self.bytes -= guess.size;
        Some(guess)
    }
}

/// What readers tell of what they read.
#[derive(Debug)]
pub(super) struct Ahead {
    notes: mpsc::Sender<Note>,
    /// For who looks at the notes, once.
    inbox: Mutex<Option<mpsc::Receiver<Note>>>,
    unread: Arc<Mutex<Unread>>,
}

impl Default for Ahead {
    fn default() -> Self {
        let (notes, inbox) = mpsc::channel(NOTES);
        Self { notes, inbox: Mutex::new(Some(inbox)), unread: Arc::default() }
    }
}

impl Ahead {
    /// A file was read that nobody had read through this handle; `here`: its bytes were on this machine.
    pub(super) fn read(&self, file: &OpenFile, size: u64, here: bool) {
        if size == 0 || size > SMALL || self.notes.is_closed() {
            return;
        }
        let guess = self.unread.lock().take(file.ino);
        // What was here before says nothing of what is to be fetched; and to tell would cost each such read something.
        if !here || guess.is_some() {
            let wasted = !here && guess.is_some_and(|guess| guess.landed);
            let (folder, ino, suffix) = (file.folder, file.ino, Suffix::of(&file.name));
            let _full = self.notes.try_send(Note { folder, ino, suffix, wasted });
        }
    }
}

impl Fs {
    /// Fetches small files ahead of who reads them, as far as that is wanted, until `end`.
    pub async fn fetch_small_ahead(self: Arc<Self>, end: CancellationToken) {
        let Some(inbox) = self.ahead.inbox.lock().take() else { return };
        if self.options.read_ahead == ReadAhead::Folder {
            let scout = Scout::new(self);
            tokio::select! {
                () = scout.run(inbox) => {}
                () = end.cancelled() => {}
            }
        }
    }
}
