//! The data set of the demo: pictures of digits, drawn here, and a program that learns to read them.
//!
//! Nothing is downloaded: each picture is a digit of a 5 × 7 font, at a random place, of random darkness, with noise. They are
//! the same on every machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file that says what this is.
pub(super) const README_NAME: &str = "README.txt";

const README: &str = "This is the demo drive of drivemount.

data/train/3/0007.png   pictures of digits (20 x 20, grey), one folder a digit: to learn from
data/test/...           the same, to be tested with
train.py                learns to read them; saves a checkpoint after each epoch and goes on from it,
                        on whatever machine this drive is mounted next

The pictures were drawn by `drivemount demo`; they are nobody's handwriting.
";

const TRAIN: &str = include_str!("../../../examples/train.py");

/// Pictures of each digit: to learn from, and to test with.
const SETS: [(&str, u32); 2] = [("train", 60), ("test", 20)];

/// Width and height of a picture.
const SIDE: usize = 20;

/// The digits, seven rows of five dots each, the leftmost dot in the highest bit.
const FONT: [[u8; 7]; 10] = [
    [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
    [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
    [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111],
    [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
    [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
    [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
    [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
    [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
    [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
    [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
];

/// What became of the files.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// Files that were written, or were there as they would have been written.
    pub(super) written: usize,
    /// Files that were there with another content, which is left to them.
    pub(super) kept: Vec<PathBuf>,
}

impl Sample {
    fn put(&mut self, path: PathBuf, content: &[u8]) -> io::Result<()> {
        match fs::read(&path) {
            Ok(there) if there != content => {
                self.kept.push(path);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::write(path, content)?,
            there => drop(there?),
        }
        self.written += 1;
        Ok(())
    }
}

/// Writes everything into a folder, and over nothing that is there.
pub(super) fn write(folder: &Path) -> io::Result<Sample> {
    let mut sample = Sample::default();
    let mut dice = Dice(2026);
    for (set, count) in SETS {
        for (digit, glyph) in FONT.iter().enumerate() {
            let place = folder.join("data").join(set).join(digit.to_string());
            fs::create_dir_all(&place)?;
            for number in 0..count {
                sample.put(place.join(format!("{number:04}.png")), &png(&draw(*glyph, &mut dice)))?;
            }
        }
    }
    sample.put(folder.join("train.py"), TRAIN.as_bytes())?;
    // Last: it says that the rest is there.
    sample.put(folder.join(README_NAME), README.as_bytes())?;
    Ok(sample)
}

/// Numbers that look random and are the same everywhere (`SplitMix64`, public domain).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u8) -> u8 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let byte = (mixed >> 56) as u16;
        // A byte times a byte, divided by 256, is below the latter.
        u8::try_from(byte * u16::from(bound) / 256).unwrap_or(0)
    }
}

fn draw(glyph: [u8; 7], dice: &mut Dice) -> Vec<u8> {
    let mut picture: Vec<u8> = (0..SIDE * SIDE).map(|_| dice.below(60)).collect();
    let (left, top, ink) = (usize::from(dice.below(11)), usize::from(dice.below(7)), 150 + dice.below(100));
    for (row, dots) in glyph.iter().enumerate() {
        for column in (0..5).filter(|column| dots >> (4 - column) & 1 == 1) {
            // Each dot is two by two.
            for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let at = (top + 2 * row + dy) * SIDE + left + 2 * column + dx;
                picture[at] = ink.saturating_sub(dice.below(40));
            }
        }
    }
    picture
}

/// A grey picture as PNG (RFC 2083), its data stored rather than compressed (RFC 1950, RFC 1951).
fn png(picture: &[u8]) -> Vec<u8> {
    let side = u32::try_from(SIDE).unwrap_or(0).to_be_bytes();
    let rows: Vec<u8> = picture.chunks(SIDE).flat_map(|row| [&[0], row].concat()).collect();
    let length = u16::try_from(rows.len()).unwrap_or(0);
    let stored = [&[0x78, 0x01, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &rows, &adler(&rows)].concat();
    let header = [&side[..], &side, &[8, 0, 0, 0, 0]].concat();
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [&kind[..], data].concat();
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &body);
        let length = u32::try_from(data.len()).unwrap_or(0).to_be_bytes();
        [&length[..], &body, &u32::try_from(crc).unwrap_or(0).to_be_bytes()].concat()
    };
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &stored), chunk(b"IEND", &[])].concat()
}

fn adler(bytes: &[u8]) -> [u8; 4] {
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65521;
        (a, (a + b) % 65521)
    });
    (b << 16 | a).to_be_bytes()
}
