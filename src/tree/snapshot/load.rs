//! Taking a snapshot in.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use md5::{Digest, Md5 as Hash};

use super::format::{FORMAT, Header, Line, Reader, Unusable};
use super::{Loading, MOST_CHANGES, NAME};
use crate::clock::Instant;
use crate::error::Kind;
use crate::remote::{Change, Cursor, FileId, Item, ItemKind, Md5, RemoteError, Source};
use crate::tree::{Effects, Ino, Node, Tree, TreeError, nodes, unplaced};

/// Entries that are taken in at once.
const AT_ONCE: usize = 256;

/// Pages of the feed in a row that bring nothing.
const FRUITLESS: u32 = 100;

/// What an older snapshot does not know may not be told any more.
const OLDEST: std::time::Duration = std::time::Duration::from_hours(60 * 24);

/// Why there is nothing of a snapshot.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Unusable(#[from] Unusable),
    #[error("it is damaged: it is not what was written")]
    Checksum,
    #[error("it is of {0}")]
    Foreign(&'static str),
    #[error("it is too old: {0}")]
    Old(&'static str),
    #[error("{0}")]
    Remote(#[from] RemoteError),
    #[error("{0}")]
    Tree(#[from] TreeError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Tree(error.into())
    }
}

/// What changed since it was written, by identity; and by folder, what is there now.
struct News {
    changes: HashMap<FileId, Change>,
    by_folder: HashMap<FileId, Vec<Item>>,
}

/// On a machine that knows nothing of the drive: takes in what another one left there. `scratch` is a folder for a file of some MB. Ends
/// in any case; what it does not bring is listed.
pub async fn load(tree: &Arc<Tree>, scratch: &Path) {
    match tree.is_fresh() {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return tracing::warn!(%error, "it could not be read whether anything is known of the drive"),
    }
    let began = Instant::now();
    tree.loading.send_replace(Some(Loading { since: began, folders: 0 }));
    let outcome = take_in(tree, scratch).await;
    tree.loading.send_replace(None);
    match outcome {
        Ok(None) => tracing::debug!("no snapshot of the tree is on the drive"),
        Ok(Some((folders, changes))) => {
            tracing::info!(folders, changes, took = ?began.elapsed(), "the tree came from its snapshot on the drive");
            if let Err(error) = tree.set_debt(changes) {
                tracing::warn!(%error, "it could not be noted that a snapshot was taken in");
            }
        }
        Err(Refused::Remote(error)) if error.kind == Kind::Denied => {
            tracing::info!(
                "this sign-in does not allow to keep what is known of the drive on the drive (`drivemount login` asks for that): it is listed"
            );
        }
        Err(why) => tracing::warn!(%why, "the snapshot of the tree is of no use; the drive is listed"),
    }
}

async fn take_in(tree: &Arc<Tree>, scratch: &Path) -> Result<Option<(usize, usize)>, Refused> {
    // Two machines that wrote their first at the same time left two, of which the newer counts.
    let Some(item) = tree.remote.hidden(NAME).await?.into_iter().next() else { return Ok(None) };
    let id = item.id.clone();
    let file = fetch(tree, item, scratch).await?;
    let checked = tokio::task::spawn_blocking(move || check(file)).await.map_err(std::io::Error::other)?;
    if let Err(Unusable::OtherFormat(format)) = checked
        && format > FORMAT
    {
        // It is for those who know it.
        tree.leave_newer_snapshot()?;
    } else {
        tree.set_snapshot_id(&id)?;
    }
    let (file, header, asks) = checked?;
    let root = tree.node(Ino::ROOT)?.and_then(|root| root.id);
    if header.account != tree.account_id()? {
        return Err(Refused::Foreign("another account"));
    }
    if root.as_ref() != Some(&header.root) {
        return Err(Refused::Foreign("another folder"));
    }
    if header.at.after(OLDEST) < crate::clock::now() {
        return Err(Refused::Old("it was written months ago"));
    }
    // What is told from here on is in the tree, or kept until it can be; what was told before, and is not in the snapshot, is read here.
    let claim = tree.listings.claim(&[]);
    let mut news = hear(tree, Cursor(header.cursor)).await?;
    let changes = news.changes.len();
    for id in asks {
        let item = match tree.remote.get(&id).await {
            Ok(item) => Change::Present(item),
            Err(error) if error.kind == Kind::NotFound => Change::Removed(id.clone()),
            Err(error) => return Err(error.into()),
        };
        news.add(id, item);
    }
    let loader = Arc::clone(tree);
    let placed = tokio::task::spawn_blocking(move || place(&loader, file, news));
    let folders = placed.await.map_err(std::io::Error::other)??;
    drop(claim);
    Ok(Some((folders, changes)))
}

/// The content, in a file that is gone when it is closed.
async fn fetch(tree: &Tree, item: Item, scratch: &Path) -> Result<File, Refused> {
    let ItemKind::File(blob) = item.kind else { return Err(Refused::Checksum) };
    let path = scratch.join("tree-snapshot.part");
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(&path)?;
    let source = Source { id: item.id, blob };
    let mut hash = Hash::new();
    if source.blob.size > 0 {
        let mut bytes = tree.remote.read(&source, 0..source.blob.size).await?;
        while let Some(piece) = bytes.next().await {
            let piece = piece?;
            hash.update(&piece);
            tokio::task::block_in_place(|| file.write_all(&piece))?;
        }
    }
    if source.blob.md5.is_some_and(|md5| md5 != Md5(hash.finalize().into())) {
        return Err(Refused::Checksum);
    }
    Ok(file)
}

/// Goes through all of it; what it is of, and what it does not know.
fn check(mut file: File) -> Result<(File, Header, Vec<FileId>), Unusable> {
    file.rewind()?;
    let mut reader = Reader::new(&file)?;
    let mut asks = Vec::new();
    while let Some(line) = reader.next()? {
        if let Line::Ask(id) = line {
            asks.push(id);
        }
    }
    let header = reader.header;
    Ok((file, header, asks))
}

/// What changed since.
async fn hear(tree: &Tree, mut cursor: Cursor) -> Result<News, Refused> {
    let mut news = News { changes: HashMap::new(), by_folder: HashMap::new() };
    let mut fruitless = 0;
    loop {
        let page = match tree.remote.changes(None, &cursor).await {
            Err(error) if error.kind == Kind::Invalid => return Err(Refused::Old("the drive does not know its place")),
            page => page?,
        };
        fruitless = if page.changes.is_empty() { fruitless + 1 } else { 0 };
        for change in page.changes {
            let id = match &change {
                Change::Present(item) => item.id.clone(),
                Change::Removed(id) => id.clone(),
                Change::Drive(_) => continue,
            };
            news.add(id, change);
        }
        if news.changes.len() > MOST_CHANGES || fruitless > FRUITLESS {
            return Err(Refused::Old("too much has changed since"));
        }
        if !page.more {
            return Ok(news);
        }
        cursor = page.next;
    }
}

impl News {
    fn add(&mut self, id: FileId, change: Change) {
        self.forget(&id);
        if let Change::Present(item) = &change
            && let (Some(parent), false) = (&item.parent, item.trashed)
        {
            self.by_folder.entry(parent.clone()).or_default().push(item.clone());
        }
        self.changes.insert(id, change);
    }

    /// An item was told of before: it is where it was last.
    fn forget(&mut self, id: &FileId) {
        if let Some(Change::Present(Item { parent: Some(parent), .. })) = self.changes.get(id)
            && let Some(items) = self.by_folder.get_mut(parent)
        {
            items.retain(|item| item.id != *id);
        }
    }
}

/// Puts all of it into the tree. Says how many folders are listed by it. Blocks on the disk.
fn place(tree: &Arc<Tree>, mut file: File, mut news: News) -> Result<usize, Refused> {
    file.rewind()?;
    let mut reader = Reader::new(&file)?;
    let mut group: Option<(FileId, Vec<Item>)> = None;
    let (mut folders, mut orphans) = (0, Vec::new());
    loop {
        let line = reader.next()?;
        match line {
            Some(Line::Item(item)) => {
                if let Some((folder, items)) = &mut group
                    && !news.changes.contains_key(&item.id)
                {
                    items.push(Item { parent: Some(folder.clone()), ..*item });
                }
            }
            Some(Line::Ask(_) | Line::End(_)) => {}
            Some(Line::Folder(_)) | None => {
                if let Some((folder, mut items)) = group.take() {
                    items.extend(news.by_folder.remove(&folder).unwrap_or_default());
                    folders += usize::from(tree.place_group(&folder, &items, &mut orphans)?);
                    tree.loading.send_modify(|loading| {
                        if let Some(loading) = loading {
                            loading.folders += 1;
                        }
                    });
                }
                let Some(Line::Folder(folder)) = line else { break };
                group = Some((folder, Vec::new()));
            }
        }
    }
    // What went where the tree does not reach.
    tree.state.write::<_, TreeError>(|tx| {
        for folder in &orphans {
            if nodes::by_id(tx, folder)?.is_none() {
                unplaced::gone(tx, folder)?;
            }
        }
        Ok(())
    })?;
    Ok(folders)
}

impl Tree {
    /// Nothing is known of the drive yet.
    fn is_fresh(&self) -> super::Result<bool> {
        Ok(self.node(Ino::ROOT)?.is_some_and(|root| !root.listed)
            && !self.state.read(|db| nodes::has_children(db, Ino::ROOT))?)
    }

    /// Puts all entries of a folder into the tree, unless they are there. Says whether they are known by that. A folder that is not in the
    /// tree may still come into it, by having moved: then its entries wait, and it is noted in `orphans`.
    fn place_group(
        self: &Arc<Self>,
        folder: &FileId,
        items: &[Item],
        orphans: &mut Vec<FileId>,
    ) -> Result<bool, Refused> {
        let Some(node) = self.by_id(folder)?.filter(Node::is_linked) else {
            orphans.push(folder.clone());
            self.state.write::<_, TreeError>(|tx| {
                for item in items {
                    let is_listed = unplaced::is_listed(tx, &item.id)?.unwrap_or(false);
                    unplaced::put(tx, item, is_listed)?;
                }
                Ok(unplaced::set_listed(tx, folder)?)
            })?;
            return Ok(false);
        };
        if node.listed {
            return Ok(false);
        }
        let claimed = [(node.ino, folder.clone())];
        let claim = self.listings.claim(&claimed);
        let mut chunks = items.chunks(AT_ONCE).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let is_last = chunks.peek().is_none();
            let effects = self.place_some(node.ino, chunk, is_last)?;
            self.tell(effects);
            if is_last {
                break;
            }
        }
        drop(claim);
        Ok(true)
    }

    fn place_some(&self, folder: Ino, items: &[Item], is_last: bool) -> Result<Effects, Refused> {
        Ok(self.merge_whole(items.len(), |tx, merge| {
            let seen = self.listings.seen(items.iter().map(|item| &item.id));
            let Some(node) = nodes::by_ino(tx, folder)?.filter(Node::is_linked) else { return Ok(()) };
            for item in items {
                merge.listed(&node, item, &seen)?;
            }
            if is_last {
                nodes::set_listed(tx, folder, true)?;
                merge.adopt(&Node { listed: true, ..node })?;
            }
            Ok(())
        })?)
    }
}
