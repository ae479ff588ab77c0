//! [`Arriving`]: what of a folder is here while it is being listed.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::{Kind, Listed, RemoteError, Result, TreeError};

/// Names of one folder that the drive is asked for at one time, and in all, while it is being listed.
const ASKED_AT_ONCE: usize = 4;
const ASKED: u32 = 32;

/// So many pages are very many.
const VERY_LONG: u32 = 5;

/// The entries of a folder in the order in which they arrived. Each name stands there once, and keeps its place.
#[derive(Debug)]
pub struct Arriving {
    stage: watch::Sender<Stage>,
    here: Mutex<Here>,
    asking: Semaphore,
}

#[derive(Debug, Clone, Default)]
struct Stage {
    /// Pages that arrived.
    pages: u32,
    /// How it ended.
    end: Option<Result<()>>,
    /// Names that the drive may still be asked for.
    asked: u32,
}

#[derive(Debug, Default)]
struct Here {
    names: HashSet<String>,
    entries: Vec<Listed>,
}

impl Default for Arriving {
    fn default() -> Self {
        Self { stage: watch::Sender::default(), here: Mutex::default(), asking: Semaphore::new(ASKED_AT_ONCE) }
    }
}

impl Arriving {
    /// More is here. What has a name that was here before is not more.
    pub(super) fn add(&self, entries: Vec<Listed>) {
        let mut here = self.here.lock();
        let Here { names, entries: all } = &mut *here;
        all.extend(entries.into_iter().filter(|entry| names.insert(entry.name.clone())));
    }

    /// A page arrived; if it is the last, the end is told next.
    pub(super) fn page(&self, more: bool) {
        if more {
            self.stage.send_modify(|stage| stage.pages += 1);
        }
    }

    /// Whether it has many pages.
    pub(super) fn is_long(&self) -> bool {
        self.stage.borrow().pages > 1
    }

    /// Whether it has very many, and more to come.
    pub(super) fn is_very_long(&self) -> bool {
        let stage = self.stage.borrow();
        stage.pages >= VERY_LONG && stage.end.is_none()
    }

    /// All of it is here, or will never be.
    pub(super) fn end(&self, result: Result<()>) {
        self.stage.send_modify(|stage| stage.end = Some(result));
    }

    /// Whether it did.
    pub(super) fn has_ended(&self) -> bool {
        self.stage.borrow().end.is_some()
    }

    /// Waits until it ended.
    pub async fn ended(&self) -> Result<()> {
        let mut stage = self.stage.subscribe();
        let stage = stage.wait_for(|stage| stage.end.is_some()).await.map(|stage| stage.end.clone());
        stage.ok().flatten().unwrap_or_else(|| Err(given_up()))
    }

    /// Waits until more pages than these arrived; says how many. `None`: it ended.
    pub(super) async fn page_after(&self, pages: u32) -> Option<u32> {
        let mut stage = self.stage.subscribe();
        let stage = stage.wait_for(|stage| stage.end.is_some() || stage.pages > pages).await.ok()?;
        stage.end.is_none().then_some(stage.pages)
    }

    /// Waits until a first part is here. Says whether more is to come; an error if it failed already.
    pub async fn begun(&self) -> Result<bool> {
        match self.page_after(0).await {
            Some(_) => Ok(true),
            None => self.ended().await.map(|()| false),
        }
    }

    /// Up to `most` entries from a place on, without waiting. `None`: there are none yet, or it ended.
    pub fn now(&self, from: usize, most: usize) -> Option<Vec<Listed>> {
        let here = self.here.lock();
        let entries = here.entries.get(from..).filter(|entries| !entries.is_empty())?;
        Some(entries[..entries.len().min(most)].to_vec())
    }

    /// As [`Self::now`], and waits for them. None at the end; an error if it failed.
    pub async fn entries(&self, from: usize, most: usize) -> Result<Vec<Listed>> {
        let mut pages = 0;
        loop {
            if let Some(entries) = self.now(from, most) {
                return Ok(entries);
            }
            match self.page_after(pages).await {
                Some(page) => pages = page,
                // What arrived with the end is here.
                None => return self.ended().await.map(|()| self.now(from, most).unwrap_or_default()),
            }
        }
    }

    /// Whether the drive may be asked for one more name.
    pub(super) fn may_ask(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.asking.try_acquire().ok()?;
        let mut granted = false;
        self.stage.send_if_modified(|stage| {
            granted = stage.asked < ASKED;
            stage.asked += u32::from(granted);
            false
        });
        granted.then_some(turn)
    }
}

/// It will never end by itself.
pub(super) fn given_up() -> TreeError {
    RemoteError::new(Kind::TimedOut, "files.list", "the listing of the folder was given up; try again").into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tree::{Ino, NodeKind};

    fn some(names: &[&str]) -> Vec<Listed> {
        names
            .iter()
            .map(|&name| Listed { name: name.to_owned(), ino: Ino(7), place: Ino(7), kind: NodeKind::File })
            .collect()
    }

    fn names(entries: &[Listed]) -> Vec<&str> {
        entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[tokio::test]
    async fn entries_are_given_as_they_arrive_and_each_once() {
        let arriving = Arc::new(Arriving::default());
        let reader = tokio::spawn({
            let arriving = Arc::clone(&arriving);
            async move { arriving.entries(0, 10).await }
        });
        arriving.add(some(&["b", "a"]));
        arriving.page(true);
        assert_eq!(names(&reader.await.expect("ends").expect("entries")), ["b", "a"]);
        assert!(arriving.begun().await.expect("begun"));
        arriving.add(some(&["a", "c"]));
        arriving.page(true);
        assert_eq!(names(&arriving.entries(1, 1).await.expect("entries")), ["a"]);
        assert_eq!(names(&arriving.entries(2, 10).await.expect("entries")), ["c"]);
        arriving.add(some(&["d"]));
        arriving.page(false);
        arriving.end(Ok(()));
        assert_eq!(names(&arriving.entries(3, 10).await.expect("the last")), ["d"]);
        assert!(arriving.entries(4, 10).await.expect("the end").is_empty());
    }

    #[tokio::test]
    async fn a_listing_that_fails_ends_in_its_error_for_whoever_reads_on() {
        let arriving = Arriving::default();
        arriving.add(some(&["a"]));
        arriving.page(true);
        arriving.end(Err(RemoteError::new(Kind::Server, "files.list", "no").into()));
        assert_eq!(names(&arriving.entries(0, 10).await.expect("what is here")), ["a"]);
        assert_eq!(arriving.entries(1, 10).await.expect_err("never short").kind(), Kind::Server);
        assert!(arriving.ended().await.is_err() && arriving.begun().await.is_err());
    }

    #[test]
    fn others_give_way_from_its_fifth_page_on_to_its_end() {
        let arriving = Arriving::default();
        let very_long: Vec<bool> = (0..6)
            .map(|_| {
                arriving.page(true);
                arriving.is_very_long()
            })
            .collect();
        assert_eq!(very_long, [false, false, false, false, true, true]);
        arriving.end(Ok(()));
        assert!(!arriving.is_very_long());
    }

    #[test]
    fn the_drive_is_asked_for_some_names_and_not_for_all() {
        let arriving = Arriving::default();
        let turns: Vec<_> = (0..ASKED_AT_ONCE).map(|_| arriving.may_ask().expect("a turn")).collect();
        assert!(arriving.may_ask().is_none(), "no more at one time");
        drop(turns);
        let granted = (0..100).filter(|_| arriving.may_ask().is_some()).count();
        assert_eq!(granted + ASKED_AT_ONCE, ASKED as usize);
    }
}
