//! The file: lines of JSON, compressed with gzip.
//!
//! First a [`Header`], then folders from the top down, each a line followed by a line for each entry, and a last line that says how many
//! lines there were. Whoever reads it goes through it once before believing any of it: that finds what is cut short or damaged
//! (gzip has a checksum).

use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::remote::{FileId, Item};

/// The version of this format.
pub(super) const FORMAT: u32 = 1;

/// The longest line: names are of any length, but not of that.
const LONGEST: u64 = 1 << 20;

/// Which drive it is of, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Version of the format.
    pub(super) drivemount_tree: u32,
    /// Whose drive.
    pub(super) account: String,
    /// The folder at the top.
    pub(super) root: FileId,
    /// The feed of changes tells of what happened since from here on.
    pub(super) cursor: String,
    /// When it was written, by the clock of the machine that did.
    pub(super) at: Timestamp,
}

/// A line after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Line {
    /// A folder, whose entries follow; all of them.
    #[serde(rename = "folder")]
    Folder(FileId),
    /// An entry of that folder; it does not say which that is.
    #[serde(rename = "item")]
    Item(Box<Item>),
    /// An entry of that folder of which it was not known what the drive has.
    #[serde(rename = "ask")]
    Ask(FileId),
    /// The end, after so many lines.
    #[serde(rename = "end")]
    End(u64),
}

/// Why a file is not taken for a snapshot.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// It cannot be read, or is damaged.
    #[error("it is damaged: {0}")]
    Damaged(#[from] io::Error),
    /// Its lines are none of ours.
    #[error("it is damaged: line {0} makes no sense")]
    Senseless(u64),
    /// It ends too early.
    #[error("it is damaged: its end is missing")]
    Short,
    /// Another version of the program wrote it.
    #[error("it has format {0}, and this drivemount knows {FORMAT}")]
    OtherFormat(u32),
}

/// Writes a snapshot.
pub(super) struct Writer<W: Write> {
    out: GzEncoder<W>,
    lines: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self { out: GzEncoder::new(out, Compression::fast()), lines: 0 };
        writer.put(header)?;
        writer.lines = 0;
        Ok(writer)
    }

    pub(super) fn line(&mut self, line: &Line) -> io::Result<()> {
        self.put(line)
    }

    fn put(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")?;
        self.lines += 1;
        Ok(())
    }

    /// Writes the end; what it was written to.
    pub(super) fn end(mut self) -> io::Result<W> {
        let end = Line::End(self.lines);
        self.put(&end)?;
        self.out.finish()
    }
}

/// Reads a snapshot.
pub(super) struct Reader<R: Read> {
    source: BufReader<GzDecoder<R>>,
    pub(super) header: Header,
    lines: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(source: R) -> Result<Self, Unusable> {
        #[derive(Deserialize)]
        struct Version {
            drivemount_tree: u32,
        }
        let mut source = BufReader::with_capacity(1 << 16, GzDecoder::new(source));
        let mut buffer = Vec::new();
        read_line(&mut source, &mut buffer)?;
        let Version { drivemount_tree } = serde_json::from_slice(&buffer).map_err(|_| Unusable::Senseless(0))?;
        if drivemount_tree != FORMAT {
            return Err(Unusable::OtherFormat(drivemount_tree));
        }
        let header = serde_json::from_slice(&buffer).map_err(|_| Unusable::Senseless(0))?;
        Ok(Self { source, header, lines: 0, buffer })
    }

    /// The next line; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Unusable> {
        read_line(&mut self.source, &mut self.buffer)?;
        match serde_json::from_slice(&self.buffer).map_err(|_| Unusable::Senseless(self.lines + 1))? {
            Line::End(lines) if lines == self.lines => {
                // Only at its very end is the checksum looked at.
                let more = self.source.fill_buf()?;
                if more.is_empty() { Ok(None) } else { Err(Unusable::Senseless(self.lines + 2)) }
            }
            Line::End(_) => Err(Unusable::Short),
            line => {
                self.lines += 1;
                Ok(Some(line))
            }
        }
    }
}

fn read_line(source: &mut impl BufRead, line: &mut Vec<u8>) -> Result<(), Unusable> {
    line.clear();
    source.take(LONGEST).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') { Ok(()) } else { Err(Unusable::Short) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{ItemKind, Posix};

    fn header() -> Header {
        Header {
            drivemount_tree: FORMAT,
            account: "me".to_owned(),
            root: FileId("top".to_owned()),
            cursor: "17".to_owned(),
            at: Timestamp::from_millis(5),
        }
    }

    fn lines() -> Vec<Line> {
        let item = Item {
            id: FileId("f".to_owned()),
            name: "a\nb".to_owned(),
            parent: None,
            kind: ItemKind::Folder,
            version: 3,
            modified: Timestamp::from_millis(1),
            created: Timestamp::from_millis(2),
            trashed: false,
            trashed_itself: false,
            owned: true,
            shared: false,
            drive: None,
            access: crate::remote::Access::UNKNOWN,
            posix: Posix::default(),
        };
        vec![Line::Folder(FileId("top".to_owned())), Line::Item(Box::new(item)), Line::Ask(FileId("g".to_owned()))]
    }

    fn written() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &header()).expect("writes");
        for line in lines() {
            writer.line(&line).expect("writes");
        }
        writer.end().expect("writes")
    }

    fn read(bytes: &[u8]) -> Result<Vec<Line>, Unusable> {
        let mut reader = Reader::new(bytes)?;
        let mut lines = Vec::new();
        while let Some(line) = reader.next()? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Reader::new(&*written()).expect("reads").header, header());
        assert_eq!(read(&written()).expect("reads"), lines());
    }

    #[test]
    fn what_is_cut_short_or_damaged_is_refused_wherever_that_is() {
        let whole = written();
        for length in 0..whole.len() {
            read(&whole[..length]).expect_err("cut short");
        }
        let mut refused = 0;
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            // In the head of gzip are bytes that mean nothing.
            match read(&damaged) {
                Err(_) => refused += 1,
                Ok(read) => assert_eq!(read, lines(), "byte {place}"),
            }
        }
        assert!(refused > whole.len() - 10, "{refused} of {}", whole.len());
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let newer = Header { drivemount_tree: FORMAT + 1, ..header() };
        let bytes = Writer::new(Vec::new(), &newer).and_then(Writer::end).expect("writes");
        assert!(matches!(read(&bytes), Err(Unusable::OtherFormat(format)) if format == FORMAT + 1));
    }
}
