//! The tables `staging` and `layer`: unsent content as it was sealed.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::journal::Seq;
use super::layers::Layers;
use crate::ranges::RangeSet;
use crate::remote::{Blob, FileId, Md5, RevisionId, Source};
use crate::tree::nodes::{from_sql, to_sql};
use crate::tree::{Ino, Node};

/// The content of a node that the drive has.
pub(super) fn source_of(node: &Node) -> Option<Source> {
    let (id, revision) = (node.id.clone()?, node.revision.clone()?);
    Some(Source { id, blob: Blob { size: node.size, md5: node.md5, revision } })
}

/// A staging as the tables have it.
pub(super) struct Stored {
    pub(super) size: u64,
    pub(super) seq: Seq,
    pub(super) base: Option<Source>,
    pub(super) origin: Option<Source>,
    pub(super) safety: Safety,
    /// Lowest first.
    pub(super) layers: Vec<StoredLayer>,
}

/// Whether content that is sealed survives the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Safety {
    /// It may be damaged by it.
    #[default]
    None,
    /// It is on stable storage.
    Synced,
    /// It is, and somebody was told so, or it took the place of what somebody was told so of. INVARIANT: only what is promised, too,
    /// takes its place, until the drive has it: what is left after a loss of power would else be older than what was promised.
    Promised,
}

impl Safety {
    fn of_sql(value: i64) -> Self {
        match value {
            0 => Self::None,
            1 => Self::Synced,
            _ => Self::Promised,
        }
    }

    const fn to_sql(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Synced => 1,
            Self::Promised => 2,
        }
    }
}

pub(super) struct StoredLayer {
    pub(super) number: u64,
    pub(super) below: u64,
    pub(super) written: RangeSet,
}

fn source(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Source>> {
    let Some(id) = row.get(first)? else { return Ok(None) };
    let md5: Option<[u8; 16]> = row.get(first + 3)?;
    let blob =
        Blob { revision: RevisionId(row.get(first + 1)?), size: from_sql(row.get(first + 2)?), md5: md5.map(Md5) };
    Ok(Some(Source { id: FileId(id), blob }))
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        size: from_sql(row.get(0)?),
        seq: Seq(from_sql(row.get(1)?)),
        base: source(row, 2)?,
        origin: source(row, 6)?,
        safety: Safety::of_sql(row.get(10)?),
        layers: Vec::new(),
    })
}

const SOURCES: &str =
    "base_id, base_revision, base_size, base_md5, origin_id, origin_revision, origin_size, origin_md5";

/// What is to be sent of an entry.
pub(super) fn stored(db: &Connection, ino: Ino) -> rusqlite::Result<Option<Stored>> {
    let staging = db
        .prepare_cached(&format!("SELECT size, seq, {SOURCES}, synced FROM staging WHERE ino = ?1 AND retired = 0"))?
        .query_row([ino], of_row)
        .optional()?;
    let Some(mut staging) = staging else { return Ok(None) };
    staging.layers = stored_layers(db, ino)?;
    Ok(Some(staging))
}

/// What the tables have of an entry, needed or not; and whether it is needed no more.
pub(super) fn stored_or_retired(db: &Connection, ino: Ino) -> rusqlite::Result<Option<(Stored, bool)>> {
    if let Some(stored) = stored(db, ino)? {
        return Ok(Some((stored, false)));
    }
    let layers = stored_retired_layers(db, ino)?;
    let staging = db
        .prepare_cached(&format!("SELECT size, seq, {SOURCES}, synced FROM staging WHERE ino = ?1"))?
        .query_row([ino], of_row)
        .optional()?;
    Ok(staging.map(|staging| (Stored { layers, ..staging }, true)))
}

/// Whether nothing is to be sent of any entry.
pub(super) fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM staging)")?.query_row([], |row| row.get(0))
}

fn stored_layers(db: &Connection, ino: Ino) -> rusqlite::Result<Vec<StoredLayer>> {
    db.prepare_cached("SELECT file, below, written FROM layer WHERE ino = ?1 ORDER BY level")?
        .query_map([ino], |row| {
            let written = RangeSet::decode(&row.get::<_, Vec<u8>>(2)?).ok_or(rusqlite::Error::InvalidQuery)?;
            Ok(StoredLayer { number: from_sql(row.get(0)?), below: from_sql(row.get(1)?), written })
        })?
        .collect()
}

/// The layers of staging that is needed no more.
pub(super) fn stored_retired_layers(db: &Connection, ino: Ino) -> rusqlite::Result<Vec<StoredLayer>> {
    let retired: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM staging WHERE ino = ?1 AND retired = 1)")?
        .query_row([ino], |row| row.get(0))?;
    if retired { stored_layers(db, ino) } else { Ok(Vec::new()) }
}

/// Stores what was sealed.
pub(super) fn store(
    db: &Connection,
    ino: Ino,
    layers: &Layers,
    base: Option<&Source>,
    origin: Option<&Source>,
    seq: Seq,
    safety: Safety,
) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO staging (ino, size, seq, retired, synced) VALUES (?1, ?2, ?3, 0, ?4)")?
        .execute(params![ino, to_sql(layers.size), to_sql(seq.0), safety.to_sql()])?;
    // What is new has neither, as the row just made.
    if base.is_some() {
        set_base(db, ino, base)?;
    }
    if origin.is_some() {
        set_origin(db, ino, origin)?;
    }
    db.prepare_cached("DELETE FROM layer WHERE ino = ?1")?.execute([ino])?;
    let mut insert =
        db.prepare_cached("INSERT INTO layer (ino, level, file, below, written) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (layer, level) in layers.stack.iter().zip(0_i64..) {
        insert.execute(params![ino, level, to_sql(layer.number), to_sql(layer.below), layer.written.encode()])?;
    }
    Ok(())
}

/// Notes that what was sealed at `seq` survives the loss of power.
pub(super) fn set_safety(db: &Connection, ino: Ino, seq: Seq, safety: Safety) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE staging SET synced = max(synced, ?3) WHERE ino = ?1 AND seq = ?2")?
        .execute(params![ino, to_sql(seq.0), safety.to_sql()])
        .map(|_| ())
}

/// Whether somebody was told that what is to be sent of an entry survives the loss of power.
pub(super) fn is_promised(db: &Connection, ino: Ino) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM staging WHERE ino = ?1 AND synced = ?2 AND retired = 0)")?
        .query_row(params![ino, Safety::Promised.to_sql()], |row| row.get(0))
}

/// Notes that what survives the loss of power of an entry must not be given up for what may not.
pub(super) fn promise(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE staging SET synced = ?2 WHERE ino = ?1 AND synced = ?3 AND retired = 0")?
        .execute(params![ino, Safety::Promised.to_sql(), Safety::Synced.to_sql()])
        .map(|_| ())
}

/// What is to be sent and may be damaged by a loss of power, with the seqs at which it was sealed.
pub(super) fn unsafe_ones(db: &Connection) -> rusqlite::Result<Vec<(Ino, Seq)>> {
    db.prepare_cached("SELECT ino, seq FROM staging WHERE synced = 0 AND retired = 0")?
        .query_map([], |row| Ok((row.get(0)?, Seq(from_sql(row.get(1)?)))))?
        .collect()
}

/// All that is to be sent.
pub(super) fn unsent(db: &Connection) -> rusqlite::Result<Vec<Ino>> {
    db.prepare("SELECT ino FROM staging WHERE retired = 0")?.query_map([], |row| row.get(0))?.collect()
}

/// Forgets what was sealed of an entry.
pub(super) fn forget(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM layer WHERE ino = ?1")?.execute([ino])?;
    db.prepare_cached("DELETE FROM staging WHERE ino = ?1")?.execute([ino]).map(|_| ())
}

/// Notes what a layer holds by now.
pub(super) fn set_written(db: &Connection, ino: Ino, number: u64, written: &RangeSet) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE layer SET written = ?3 WHERE ino = ?1 AND file = ?2")?
        .execute(params![ino, to_sql(number), written.encode()])
        .map(|_| ())
}

/// Notes that nobody wants the staging of an entry any more.
pub(super) fn retire(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE staging SET retired = 1 WHERE ino = ?1")?.execute([ino]).map(|_| ())
}

/// Notes that the drive has what was sealed at `seq`. Says whether that is the newest; then the staging is needed no more.
pub(super) fn retire_if_newest(db: &Connection, ino: Ino, seq: Seq) -> rusqlite::Result<bool> {
    let retired = db
        .prepare_cached("UPDATE staging SET retired = 1 WHERE ino = ?1 AND seq = ?2")?
        .execute(params![ino, to_sql(seq.0)])?;
    Ok(retired > 0)
}

/// Notes what shines through beneath the layers of an entry.
pub(super) fn set_base(db: &Connection, ino: Ino, base: Option<&Source>) -> rusqlite::Result<()> {
    let sql = "UPDATE staging SET base_id = ?2, base_revision = ?3, base_size = ?4, base_md5 = ?5 WHERE ino = ?1";
    set_source(db, sql, ino, base)
}

/// Notes what the drive has of an entry whose content is to be sent.
pub(super) fn set_origin(db: &Connection, ino: Ino, origin: Option<&Source>) -> rusqlite::Result<()> {
    let sql =
        "UPDATE staging SET origin_id = ?2, origin_revision = ?3, origin_size = ?4, origin_md5 = ?5 WHERE ino = ?1";
    set_source(db, sql, ino, origin)
}

fn set_source(db: &Connection, sql: &str, ino: Ino, source: Option<&Source>) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?
        .execute(params![
            ino,
            source.map(|source| &source.id.0),
            source.map(|source| &source.blob.revision.0),
            source.map(|source| to_sql(source.blob.size)),
            source.and_then(|source| source.blob.md5).map(|md5| md5.0)
        ])
        .map(|_| ())
}

/// Whether something shines through beneath the layers of an entry.
pub(super) fn has_base(db: &Connection, ino: Ino) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM staging WHERE ino = ?1 AND retired = 0 AND base_id IS NOT NULL)")?
        .query_row([ino], |row| row.get(0))
}

/// Whether what was sealed at `seq` is the newest that is to be sent of an entry.
pub(super) fn is_newest(db: &Connection, ino: Ino, seq: Seq) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM staging WHERE ino = ?1 AND seq = ?2 AND retired = 0)")?
        .query_row(params![ino, to_sql(seq.0)], |row| row.get(0))
}

/// Whether files of a staging belong to content that is not on the drive.
pub(super) fn are_needed(db: &Connection, ino: Ino, files: &[u64]) -> rusqlite::Result<bool> {
    let mut needed = db.prepare_cached(
        "SELECT layer.file FROM layer JOIN staging ON staging.ino = layer.ino WHERE layer.ino = ?1 AND retired = 0",
    )?;
    let needed = needed.query_map([ino], |row| row.get(0).map(from_sql))?.collect::<rusqlite::Result<Vec<u64>>>()?;
    Ok(needed.iter().any(|file| files.contains(file)))
}

/// Forgets staging that is needed no more and whose files are gone.
pub(super) fn retired_is_gone(db: &Connection, ino: Ino) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM layer WHERE ino = ?1 AND ino IN (SELECT ino FROM staging WHERE retired = 1)")?
        .execute([ino])?;
    db.prepare_cached("DELETE FROM staging WHERE ino = ?1 AND retired = 1")?.execute([ino]).map(|_| ())
}
