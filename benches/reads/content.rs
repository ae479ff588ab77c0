//! What the files hold: bytes that do not repeat, made anew wherever they are needed.

use bytes::Bytes;

use crate::machine::bytes;

/// Large contents are made, checked and asked for in such pieces.
pub(crate) const PIECE: usize = 8 << 20;
pub(crate) const PAGE: usize = 4096;

/// The content of the large files. Each page begins with its number.
pub(crate) struct Large {
    block: Vec<u8>,
}

impl Large {
    pub(crate) fn new() -> Self {
        Self { block: bytes(5, PIECE) }
    }

    pub(crate) fn piece(&mut self, index: usize) -> &[u8] {
        for (page, bytes) in self.block.chunks_exact_mut(PAGE).enumerate() {
            bytes[..8].copy_from_slice(&number_of(index * (PIECE / PAGE) + page));
        }
        &self.block
    }

    /// The sums of the pieces of a file of so many bytes.
    pub(crate) fn sums(size: usize) -> Vec<u64> {
        let mut large = Self::new();
        (0..size / PIECE).map(|index| sum(large.piece(index))).collect()
    }
}

/// Whether these bytes begin as that page does.
pub(crate) fn is_page(bytes: &[u8], page: usize) -> bool {
    bytes[..8] == number_of(page)
}

fn number_of(page: usize) -> [u8; 8] {
    (page as u64).to_le_bytes()
}

/// The content of a small file.
pub(crate) fn small(number: usize, size: usize) -> Vec<u8> {
    bytes(number as u64 + 1, size)
}

/// The start of a model: the length of its header, and that header, as long as those of models with some hundred tensors.
pub(crate) fn header() -> Bytes {
    const LENGTH: usize = 64 * 1024;
    let tensors = (0..400).map(|layer| {
        let tensor = serde_json::json!({ "dtype": "BF16", "shape": [1024, 1024], "data_offsets": [layer << 21, (layer + 1) << 21] });
        (format!("model.layers.{layer}.weight"), tensor)
    });
    let mut json = serde_json::Value::Object(tensors.collect()).to_string();
    assert!(json.len() <= LENGTH - 8, "a header of {} bytes", json.len());
    json.extend(std::iter::repeat_n(' ', LENGTH - 8 - json.len()));
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat().into()
}

/// A checksum that costs next to nothing.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(ALGORITHM, bytes)
}

/// The same of bytes that come one after the other.
pub(crate) fn digest() -> crc_fast::Digest {
    crc_fast::Digest::new(ALGORITHM)
}

const ALGORITHM: crc_fast::CrcAlgorithm = crc_fast::CrcAlgorithm::Crc32Iscsi;
