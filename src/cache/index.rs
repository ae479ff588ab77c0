//! The index of the cache: which files there are, of which revisions, with which blocks.
//!
//! A SQLite database of its own (`blocks/index.db`), so that its many small writes never hold up the tree. All in it can be
//! fetched again: a damaged one is begun anew, whenever the damage shows, and so is one of an earlier version. Damage that does not
//! show to the database shows in the blocks: their checksums are of the revision too.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rusqlite::{Connection, OptionalExtension, params};

use super::entry::{Block, Map, Segment};
use super::{BlockIndex, CacheError, Result};
use crate::clock;

/// Version of the tables.
const FORMAT: i64 = 2;

const SCHEMA: &str = "
    CREATE TABLE file (
        number   INTEGER PRIMARY KEY,
        id       TEXT    NOT NULL,
        revision TEXT    NOT NULL,
        size     INTEGER NOT NULL,
        used     INTEGER NOT NULL,  -- milliseconds since 1970
        UNIQUE (id, revision)
    );
    -- Blocks that are present, five bytes each place up to the last one present: 1 and the checksum, or zeros.
    CREATE TABLE segment (
        number  INTEGER NOT NULL,
        segment INTEGER NOT NULL,
        blocks  BLOB    NOT NULL,
        PRIMARY KEY (number, segment)
    ) WITHOUT ROWID;
";

/// The open index.
#[derive(Debug)]
pub(super) struct Index {
    dir: PathBuf,
    db: Connection,
}

/// A file that the index knows.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) number: u32,
    pub(super) id: String,
    pub(super) revision: String,
    pub(super) size: u64,
}

/// What is to be written of a file.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) number: u32,
    pub(super) id: &'a str,
    pub(super) revision: &'a str,
    pub(super) size: u64,
    pub(super) segments: Vec<(u32, Segment)>,
}

/// Where the file of a number is: a folder for each 256 of them, since folders with very many entries are slow to list.
pub(super) fn file_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{:04x}", number >> 8)).join(format!("{number:08x}"))
}

impl Index {
    /// Opens the index in `dir`, or makes it.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("index.db");
        let db = match connect(&path) {
            Err(error) if is_damage(&error) => begin_anew(&path, &error)?,
            other => other?,
        };
        let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let mut index = Self { dir: dir.to_owned(), db };
        match found {
            FORMAT => {}
            ..FORMAT => index.begin_anew(&format!("it is of version {found}"))?,
            _ => return Err(CacheError::Newer { path }),
        }
        Ok(index)
    }

    /// Forgets all that it knows.
    pub(super) fn begin_anew(&mut self, why: &dyn fmt::Display) -> Result<()> {
        // Not later: a connection that ends removes the log of the database that has this name then.
        drop(std::mem::replace(&mut self.db, Connection::open_in_memory()?));
        self.db = begin_anew(&self.dir.join("index.db"), why)?;
        Ok(())
    }

    /// All files, least recently used first.
    pub(super) fn files(&self) -> rusqlite::Result<Vec<Stored>> {
        self.db
            .prepare("SELECT number, id, revision, size FROM file ORDER BY used")?
            .query_map([], |row| {
                Ok(Stored {
                    number: row.get(0)?,
                    id: row.get(1)?,
                    revision: row.get(2)?,
                    size: row.get::<_, i64>(3)?.unsigned_abs(),
                })
            })?
            .collect()
    }

    /// The blocks of a file.
    pub(super) fn map(&self, number: u32) -> rusqlite::Result<Map> {
        let segments = self
            .db
            .prepare_cached("SELECT segment, blocks FROM segment WHERE number = ?1")?
            .query_map([number], |row| Ok((row.get(0)?, decode(&row.get::<_, Vec<u8>>(1)?))))?
            .collect::<rusqlite::Result<BTreeMap<u32, Segment>>>()?;
        Ok(Map::of_segments(segments))
    }

    /// The blocks of a file that are present.
    pub(super) fn present(&self, number: u32) -> rusqlite::Result<Vec<BlockIndex>> {
        Ok(self.map(number)?.present())
    }

    /// Writes all records in one transaction.
    pub(super) fn write(&mut self, records: &[Record<'_>]) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        let now = clock::now().millis();
        for record in records {
            tx.prepare_cached(
                "INSERT INTO file (number, id, revision, size, used) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (number) DO UPDATE SET used = excluded.used
                 ON CONFLICT (id, revision) DO UPDATE SET number = excluded.number, used = excluded.used",
            )?
            .execute(params![
                record.number,
                record.id,
                record.revision,
                record.size.cast_signed(),
                now
            ])?;
            for (segment, blocks) in &record.segments {
                tx.prepare_cached("INSERT OR REPLACE INTO segment (number, segment, blocks) VALUES (?1, ?2, ?3)")?
                    .execute(params![record.number, segment, encode(blocks)])?;
            }
        }
        tx.commit()
    }

    /// Forgets files.
    pub(super) fn remove(&mut self, numbers: &[u32]) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        for number in numbers {
            tx.prepare_cached("DELETE FROM file WHERE number = ?1")?.execute([number])?;
            tx.prepare_cached("DELETE FROM segment WHERE number = ?1")?.execute([number])?;
        }
        tx.commit()
    }

    /// Removes files that nobody knows: what a crash left between making a file and writing the index. `known` says how many bytes
    /// a file may take on the disk; says which take more, since a crash came between storing a block and writing that down.
    pub(super) fn sweep(&self, known: impl Fn(u32) -> Option<u64>) -> Result<Vec<u32>> {
        let wrap = |error| CacheError::file(&self.dir, error);
        let mut swollen = Vec::new();
        for folder in std::fs::read_dir(&self.dir).map_err(wrap)? {
            let folder = folder.map_err(wrap)?;
            if !folder.file_type().map_err(wrap)?.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(folder.path()).map_err(wrap)? {
                let file = file.map_err(wrap)?;
                // Only what has a name of ours: whoever put something else here will know why.
                let number = file.file_name().to_str().and_then(|name| u32::from_str_radix(name, 16).ok());
                let Some(number) = number.filter(|&number| file.path() == file_path(&self.dir, number)) else {
                    continue;
                };
                match known(number) {
                    Some(bytes) if file.metadata().map_err(wrap)?.blocks() * 512 > bytes => swollen.push(number),
                    Some(_) => {}
                    None => std::fs::remove_file(file.path()).map_err(wrap)?,
                }
            }
        }
        Ok(swollen)
    }
}

fn begin_anew(path: &Path, why: &dyn fmt::Display) -> Result<Connection> {
    tracing::warn!(%why, "the index of the cache cannot be used: the cache begins empty");
    for ending in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{ending}", path.display()));
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(CacheError::file(&file, error)),
            _ => {}
        }
    }
    Ok(connect(path)?)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut db = Connection::open(path)?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == 0 {
        let tx = db.transaction()?;
        tx.execute_batch(SCHEMA)?;
        tx.pragma_update(None, "user_version", FORMAT)?;
        tx.commit()?;
    }
    // A read of the schema and of a row: damage shows here rather than in the middle of work.
    db.query_row("SELECT number FROM file LIMIT 1", [], |_| Ok(())).optional()?;
    Ok(db)
}

/// Whether an error means that the file is not what was written: the database says so, or what we ask for, which is always the same, is
/// not there, or contradicts itself.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::{Error, ErrorCode};
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::SqlInputError { .. }
        | Error::Utf8Error(..) => true,
        error => matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::ConstraintViolation
                    | ErrorCode::TypeMismatch
                    | ErrorCode::Unknown
            )
        ),
    }
}

fn encode(blocks: &Segment) -> Vec<u8> {
    let length = blocks.last_key_value().map_or(0, |(&place, _)| usize::from(place) + 1);
    let mut bytes = vec![0; length * 5];
    for (&place, block) in blocks {
        let at = usize::from(place) * 5;
        bytes[at] = 1;
        bytes[at + 1..at + 5].copy_from_slice(&block.crc.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Segment {
    let (blocks, _) = bytes.as_chunks::<5>();
    let present = blocks.iter().zip(0..).filter(|(block, _)| block[0] == 1);
    let block =
        |block: &[u8; 5]| Block { crc: u32::from_le_bytes([block[1], block[2], block[3], block[4]]), verified: false };
    present.map(|(bytes, place)| (place, block(bytes))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_survive_storing() {
        let block = |crc| Block { crc, verified: false };
        for blocks in
            [Segment::new(), Segment::from([(0, block(0))]), Segment::from([(3, block(7)), (1023, block(u32::MAX))])]
        {
            assert_eq!(decode(&encode(&blocks)), blocks);
        }
        assert_eq!(encode(&Segment::from([(0, block(0x0403_0201))])), [1, 1, 2, 3, 4], "the format on disk");
    }

    #[test]
    fn a_damaged_index_begins_anew_and_a_newer_one_is_refused() {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join("index.db"), b"this is not a database, whatever its name says").expect("writes");
        let index = Index::open(dir.path()).expect("opens");
        assert!(index.files().expect("reads").is_empty());
        index.db.pragma_update(None, "user_version", FORMAT + 1).expect("raises the version");
        drop(index);
        assert!(matches!(Index::open(dir.path()), Err(CacheError::Newer { .. })));
    }
}
