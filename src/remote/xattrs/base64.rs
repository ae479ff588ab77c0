//! Base64 for addresses, without padding (RFC 4648, section 5).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, &byte| bits << 8 | usize::from(byte)) << (8 * (3 - three.len()));
        let digits = (0..=three.len()).map(|digit| bits >> (18 - 6 * digit) & 63);
        text.extend(digits.map(|digit| char::from(ALPHABET[digit])));
    }
    text
}

/// `None` if it is none.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for character in four {
            let digit = ALPHABET.iter().position(|digit| digit == character)?;
            bits = bits << 6 | u32::try_from(digit).ok()?;
        }
        bits <<= 6 * (4 - four.len());
        bytes.extend(bits.to_be_bytes().get(1..four.len()).filter(|bytes| !bytes.is_empty())?);
    }
    Some(bytes)
}
