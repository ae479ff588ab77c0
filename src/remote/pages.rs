//! [`Pages`]: the children of a folder, or of several, page after page, to their end.
//!
//! A listing can lose its place: the drive forgets the token of the next page after some hours, or sooner. Then it begins
//! again, and what it gives comes a second time, so whoever takes it in goes by identity. It can also lead nowhere: a drive
//! (or what stands in for it) that always has a next page and never anything on it. Both are borne a number of times and no
//! longer, for somebody waits for the end.

use std::collections::{HashMap, HashSet};

use super::{DrivePage, FileId, Item, Page, PageToken, Remote, RemoteError, Result, SharedDrive, TrashPage, Trashed};
use crate::error::Kind;

/// How often a listing begins again.
const RESTARTS: u32 = 10;
/// Pages in a row that bring nothing new. One is no sign of anything.
const FRUITLESS: u32 = 100;

/// The children of some folders, the trashed left out, in no order.
#[derive(Debug)]
pub struct Pages<'a> {
    remote: &'a dyn Remote,
    folders: &'a [FileId],
    next: Next,
    /// What was given out.
    ids: HashSet<FileId>,
    restarts: u32,
    /// Pages in a row that brought nothing new, and how many there may be: after a new beginning, those that came before too.
    fruitless: u32,
    patience: u32,
    given: u32,
}

#[derive(Debug)]
enum Next {
    First,
    At(PageToken),
    End,
}

impl<'a> Pages<'a> {
    /// Asks nothing yet.
    pub fn new(remote: &'a dyn Remote, folders: &'a [FileId]) -> Self {
        Self {
            remote,
            folders,
            next: Next::First,
            ids: HashSet::new(),
            restarts: 0,
            fruitless: 0,
            patience: FRUITLESS,
            given: 0,
        }
    }

    /// The items of the next page, maybe none, maybe some that came before; `None` at the end. [`Kind::Protocol`]: the drive
    /// does not come to an end.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>> {
        loop {
            let token = match &self.next {
                Next::First => None,
                Next::At(token) => Some(token),
                Next::End => return Ok(None),
            };
            let Page { items, next } = match self.remote.list(self.folders, token).await {
                Err(error) if error.kind == Kind::Invalid && token.is_some() => {
                    self.restarts += 1;
                    if self.restarts > RESTARTS {
                        return Err(RemoteError {
                            kind: Kind::Protocol,
                            message: "the drive refuses the page tokens that it gives".to_owned(),
                            ..error
                        });
                    }
                    tracing::debug!(folders = ?self.folders, "a listing begins again: its page token is refused");
                    self.next = Next::First;
                    (self.fruitless, self.patience) = (0, FRUITLESS + self.given);
                    self.given = 0;
                    continue;
                }
                page => page?,
            };
            self.given += 1;
            let before = self.ids.len();
            self.ids.extend(items.iter().map(|item| item.id.clone()));
            self.fruitless = if self.ids.len() > before { 0 } else { self.fruitless + 1 };
            self.next = next.map_or(Next::End, Next::At);
            if self.fruitless > self.patience && matches!(self.next, Next::At(_)) {
                return Err(RemoteError::new(Kind::Protocol, "files.list", "the pages of the drive do not end"));
            }
            return Ok(Some(items));
        }
    }

    /// Whether all that there is was given out.
    pub const fn is_at_end(&self) -> bool {
        matches!(self.next, Next::End)
    }

    /// The identities of all that was given out.
    pub fn into_ids(self) -> HashSet<FileId> {
        self.ids
    }
}

/// All that is in the trash, by identity. Bounded as [`Pages`].
pub async fn all_trashed(remote: &dyn Remote) -> Result<HashMap<FileId, Trashed>> {
    let (mut all, mut page) = (HashMap::new(), None::<PageToken>);
    let (mut restarts, mut fruitless) = (0, 0);
    loop {
        let TrashPage { items, next } = match remote.trashed(page.as_ref()).await {
            Err(error) if error.kind == Kind::Invalid && page.is_some() && restarts < RESTARTS => {
                restarts += 1;
                page = None;
                continue;
            }
            found => found?,
        };
        let before = all.len();
        all.extend(items.into_iter().map(|trashed| (trashed.item.id.clone(), trashed)));
        fruitless = if all.len() > before { 0 } else { fruitless + 1 };
        page = next;
        if page.is_none() {
            return Ok(all);
        }
        if fruitless > FRUITLESS {
            return Err(RemoteError::new(Kind::Protocol, "files.list", "the pages of the drive do not end"));
        }
    }
}

/// All shared drives of the account, by identity. Bounded as [`Pages`].
pub async fn all_drives(remote: &dyn Remote) -> Result<HashMap<FileId, SharedDrive>> {
    let (mut all, mut page) = (HashMap::new(), None::<PageToken>);
    let (mut restarts, mut fruitless) = (0, 0);
    loop {
        let DrivePage { drives, next } = match remote.drives(page.as_ref()).await {
            Err(error) if error.kind == Kind::Invalid && page.is_some() && restarts < RESTARTS => {
                restarts += 1;
                all.clear();
                page = None;
                continue;
            }
            found => found?,
        };
        let before = all.len();
        all.extend(drives.into_iter().map(|drive| (drive.id.clone(), drive)));
        fruitless = if all.len() > before { 0 } else { fruitless + 1 };
        page = next;
        if page.is_none() {
            return Ok(all);
        }
        if fruitless > FRUITLESS {
            return Err(RemoteError::new(Kind::Protocol, "drives.list", "the pages of the drive do not end"));
        }
    }
}
