//! Writing a snapshot to the drive, when it is worth it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use md5::{Digest, Md5 as Hash};
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use super::format::{FORMAT, Header, Line, Writer};
use super::{NAME, Result};
use crate::clock::{self, Instant};
use crate::error::Kind;
use crate::remote::{
    Body, Cursor, Item, ItemKind, Md5, NewItem, NewKind, Patch, Posix, Progress, RemoteError, Write as Upload,
};
use crate::tree::{Ino, Tree, TreeError, feeds, merge, nodes};

/// How often it is looked whether one is to be written.
const LOOK: Duration = Duration::from_secs(5);

/// At least so much time is between two, and so many times what the last one took.
const SELDOM: Duration = Duration::from_mins(10);
const SHARE: u32 = 100;

/// A listing of fewer pages than this costs not much more than to fetch a snapshot.
const LEAST_PAGES: u64 = 10;

/// Entries of which it is not known what the drive has, because something is to be sent for them. With more of them it waits.
const MOST_UNSURE: u64 = 100;

/// More folders than these that are not listed are no exceptions.
const MOST_UNLISTED: u64 = 20;

/// Pieces of an upload; a multiple of what the drive wants.
const PIECE: usize = 8 << 20;

/// Attempts to send a piece.
const ATTEMPTS: u32 = 5;

/// Writes what is known of the drive to the drive, whenever that is much and all is known, until `end`.
pub async fn keep(tree: Arc<Tree>, scratch: PathBuf, end: CancellationToken) {
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = end.cancelled() => return,
        }
        if Instant::now() < next {
            continue;
        }
        match tree.is_snapshot_due() {
            Ok(Due::Now) => {}
            // To know takes a look at all of the tree.
            Ok(Due::NotSoon) => {
                next = Instant::now() + SELDOM / 10;
                continue;
            }
            Ok(Due::NotYet) => continue,
            Err(error) => {
                tracing::warn!(%error, "it could not be read whether the tree is to be kept on the drive");
                continue;
            }
        }
        let began = Instant::now();
        let written = tokio::select! {
            written = write(&tree, &scratch) => written,
            () = end.cancelled() => return,
        };
        next = Instant::now() + SELDOM.max(began.elapsed() * SHARE);
        match written {
            Ok(Some(bytes)) => {
                tracing::info!(bytes, took = ?began.elapsed(), "what is known of the drive is kept there");
            }
            // Something is to be sent first.
            Ok(None) => next = Instant::now() + LOOK,
            Err(Failed::Remote(error)) if error.kind == Kind::Denied => {
                tracing::info!(
                    "this sign-in does not allow to keep what is known of the drive on the drive; `drivemount login` asks for that"
                );
                return;
            }
            Err(error) => tracing::info!(%error, "what is known of the drive could not be kept there"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Remote(#[from] RemoteError),
    #[error("{0}")]
    Tree(#[from] TreeError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Whether a snapshot is to be written.
enum Due {
    Now,
    NotYet,
    NotSoon,
}

impl Tree {
    /// Whether nearly all is known, that is worth keeping, and what is kept does not have much of it. May block for a moment.
    fn is_snapshot_due(&self) -> Result<Due> {
        let (debt, unlisted) = (self.debt()?, self.unlisted()?);
        if self.is_newer_snapshot()? || debt.is_some_and(|debt| debt < 1000) {
            return Ok(Due::NotYet);
        }
        // A folder that cannot be listed is left out, and keeps nothing else from being kept.
        if unlisted > MOST_UNLISTED {
            return Ok(Due::NotYet);
        }
        let (entries, folders) = tokio::task::block_in_place(|| self.state.read(nodes::count))?;
        if unlisted * 100 > folders {
            return Ok(Due::NotYet);
        }
        let pages = entries / 1000 + folders / 50;
        let is_due = pages >= LEAST_PAGES && debt.is_none_or(|debt| debt as u64 > entries / 50);
        Ok(if is_due { Due::Now } else { Due::NotSoon })
    }
}

/// Writes one, and sends it. Says how long it is; `None`: not now.
async fn write(tree: &Arc<Tree>, scratch: &Path) -> std::result::Result<Option<u64>, Failed> {
    let owed = tree.debt()?.unwrap_or(0);
    let (builder, path) = (Arc::clone(tree), scratch.join("tree-snapshot.new"));
    let built = tokio::task::spawn_blocking(move || build(&builder, &path)).await.map_err(io::Error::other)??;
    let Some((file, size, md5)) = built else { return Ok(None) };
    let replaced = match tree.snapshot_id()? {
        Some(id) => {
            let patch = Patch { modified: Some(clock::now()), ..Patch::default() };
            match send(tree, &Upload::Update { id, patch }, &file, size).await {
                // Somebody removed it.
                Err(Failed::Remote(error)) if error.kind == Kind::NotFound => None,
                sent => Some(sent?),
            }
        }
        None => None,
    };
    let item = if let Some(item) = replaced {
        item
    } else {
        let (id, parent) = tree.remote.reserve_hidden().await?;
        let (kind, name) = (NewKind::File, NAME.to_owned());
        let new = NewItem { id, parent, name, kind, modified: clock::now(), posix: Posix::default() };
        send(tree, &Upload::Create(new), &file, size).await?
    };
    tree.set_snapshot_id(&item.id)?;
    // What the feed told since is not in it.
    tree.set_debt(tree.debt()?.unwrap_or(0).saturating_sub(owed))?;
    if let ItemKind::File(blob) = &item.kind
        && blob.md5.is_some_and(|there| there != md5)
    {
        return Err(RemoteError::new(Kind::Corrupt, "upload", "the drive has something else than was sent").into());
    }
    Ok(Some(size))
}

async fn send(tree: &Tree, upload: &Upload, mut file: &File, size: u64) -> std::result::Result<Item, Failed> {
    let mut read = move |from: u64, most: usize| -> io::Result<Bytes> {
        tokio::task::block_in_place(|| {
            file.seek(io::SeekFrom::Start(from))?;
            let mut piece = Vec::new();
            file.take(most as u64).read_to_end(&mut piece)?;
            Ok(piece.into())
        })
    };
    if size <= tree.remote.small() {
        return Ok(tree.remote.put(upload, read(0, usize::try_from(size).unwrap_or(usize::MAX))?).await?);
    }
    let mut session = tree.remote.begin(upload, Some(size)).await?;
    let (mut sent, mut attempts) = (0, 0);
    loop {
        let piece = read(sent, PIECE)?;
        let body = Body { length: piece.len() as u64, stream: stream::iter([Ok(piece)]).boxed() };
        let progress = match tree.remote.send(&session, sent, Some(size), body).await {
            Err(error) if attempts < ATTEMPTS && error.kind != Kind::NotFound => {
                attempts += 1;
                tracing::debug!(%error, attempts, "sending what is known of the drive");
                tokio::time::sleep(Duration::from_secs(1 << attempts)).await;
                tree.remote.progress(&session, Some(size)).await?
            }
            progress => progress?,
        };
        match progress {
            Progress::Stored(stored) => sent = stored,
            Progress::Moved(stored, moved) => (sent, session) = (stored, moved),
            Progress::Done(item) => return Ok(*item),
        }
    }
}

/// Counts and hashes what goes through.
struct Measured {
    file: BufWriter<File>,
    hash: Hash,
    size: u64,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The snapshot, in a file that is gone when it is closed; its length and checksum. `None`: too much is to be sent. Blocks.
fn build(tree: &Tree, path: &Path) -> std::result::Result<Option<(File, u64, Md5)>, Failed> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    std::fs::remove_file(path)?;
    let account = tree.account_id()?;
    let out = Measured { file: BufWriter::new(file), hash: Hash::new(), size: 0 };
    let written = tree.state.snapshot(|db| {
        let Some(unsure) = unsure(db)? else { return Ok(None) };
        if unsure > MOST_UNSURE {
            return Ok(None);
        }
        let header = header(db, account)?;
        Ok(header.map(|header| write_lines(db, &header, out)))
    });
    let Some(written) = written.map_err(TreeError::from)? else { return Ok(None) };
    let mut out = written?;
    out.flush()?;
    let Measured { file, hash, size } = out;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(Some((file, size, Md5(hash.finalize().into()))))
}

/// How many entries have content here that the drive does not have, of which it does not matter what it is; `None` if something has
/// another place here than there.
fn unsure(db: &Connection) -> rusqlite::Result<Option<u64>> {
    let (count, elsewhere): (i64, bool) = db.query_row(
        "SELECT count(*), coalesce(max(folder.id IS NULL OR folder.id IS NOT base.parent), 0)
         FROM base JOIN node ON node.ino = base.ino LEFT JOIN node AS folder ON folder.ino = node.parent
         WHERE base.on_drive",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok((!elsewhere).then_some(nodes::from_sql(count)))
}

fn header(db: &Connection, account: String) -> rusqlite::Result<Option<Header>> {
    let root = nodes::by_ino(db, Ino::ROOT)?.and_then(|root| root.id);
    let cursor = feeds::cursor(db, None)?;
    let (Some(root), Some(Cursor(cursor))) = (root, cursor) else { return Ok(None) };
    Ok(Some(Header { drivemount_tree: FORMAT, account, root, cursor, at: clock::now() }))
}

fn write_lines(db: &Connection, header: &Header, out: Measured) -> std::result::Result<Measured, Failed> {
    let mut writer = Writer::new(out, header)?;
    let mut folders = VecDeque::from([(Ino::ROOT, header.root.clone())]);
    let wrap = |error: rusqlite::Error| Failed::Tree(error.into());
    while let Some((folder, id)) = folders.pop_front() {
        writer.line(&Line::Folder(id.clone()))?;
        for node in nodes::children(db, folder).map_err(wrap)? {
            let item = merge::item_of(db, &node, Some(id.clone())).map_err(wrap)?;
            match (item, &node.id) {
                (Some(item), _) => writer.line(&Line::Item(Box::new(Item { parent: None, ..item })))?,
                (None, Some(id)) if node.version > 0 => writer.line(&Line::Ask(id.clone()))?,
                // The drive does not have it.
                (None, _) => continue,
            }
            if let (true, Some(id)) = (node.listed, node.id) {
                folders.push_back((node.ino, id));
            }
        }
    }
    Ok(writer.end()?)
}
