//! One attribute in properties.
//!
//! Most are a property of their own, for everybody to read. What that has no room for, or a service might not give back as it was
//! (what is no text, nothing at all, characters that control something, space at an end), goes into pieces:
//!
//! ```text
//! drivemount.xattr.x7YB2kQ0.0 = t2:5d1a90c3:user.xdg.origin.url=https://…
//! drivemount.xattr.x7YB2kQ0.1 = …
//! ```
//!
//! The tag in the key is made from the name. The first piece begins with how it is written (`t`: `NAME=VALUE` as it is; `b`: name, a zero
//! byte and value in Base64), the number of pieces, and the checksum of name and value. So pieces of two values are never taken for
//! one, and what is left of an earlier one that had more of them does no harm.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};

use super::MAX_PROPERTY;

/// What the keys of pieces begin with.
pub(super) const PIECE: &str = "drivemount.xattr.";

/// Length of a tag: 48 bits.
const TAG: usize = 8;

/// What is left for the value of a piece.
const PIECE_VALUE: usize = MAX_PROPERTY - PIECE.len() - TAG - ".0".len();

/// Length of what the first piece begins with: `t2:5d1a90c3:`.
const HEAD: usize = 12;

/// What keys number pieces by.
const RADIX: u32 = 36;

/// The tag of an attribute.
pub(super) fn tag(name: &[u8]) -> String {
    use md5::Digest as _;
    let digest = md5::Md5::digest(name);
    BASE64.encode(&digest[..TAG / 4 * 3])
}

/// The tag in the key of a piece.
pub(super) fn tag_of(key: &str) -> Option<&str> {
    let (tag, number) = key.strip_prefix(PIECE)?.split_once('.')?;
    (tag.len() == TAG && number.len() == 1).then_some(tag)
}

fn key(tag: &str, number: u32) -> Option<String> {
    Some(format!("{PIECE}{tag}.{}", char::from_digit(number, RADIX)?))
}

fn checksum(name: &[u8], value: &[u8]) -> u64 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    for part in [name, &[0], value] {
        digest.update(part);
    }
    digest.finalize()
}

/// Whether a service that keeps texts has no reason to change this one.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control)
}

/// An attribute as at most `most` properties; `None` if that are too few.
pub(super) fn write(name: &[u8], value: &[u8], most: usize) -> Option<Vec<(String, String)>> {
    let texts = std::str::from_utf8(name).ok().zip(std::str::from_utf8(value).ok());
    let texts = texts.filter(|(name, value)| is_plain(name) && is_plain(value));
    if let Some((name, value)) = texts.filter(|(name, value)| name.len() + value.len() <= MAX_PROPERTY) {
        return (most > 0).then(|| vec![(name.to_owned(), value.to_owned())]);
    }
    if name.len() + value.len() > MAX_PROPERTY * most {
        return None;
    }
    let text = texts.filter(|(name, _)| !name.contains('=')).map(|(name, value)| format!("{name}={value}"));
    let readable = text.as_deref().map(split).filter(|parts| parts.iter().all(|part| is_plain(part)));
    let binary = BASE64.encode([name, &[0], value].concat());
    let (form, parts) = readable.map_or_else(|| ('b', split(&binary)), |parts| ('t', parts));
    if parts.len() > most {
        return None;
    }
    let tag = tag(name);
    let count = char::from_digit(u32::try_from(parts.len()).ok()?, RADIX)?;
    let head = format!("{form}{count}:{:08x}:", checksum(name, value));
    let piece = |(number, part): (u32, &str)| {
        let head = if number == 0 { head.as_str() } else { "" };
        Some((key(&tag, number)?, format!("{head}{part}")))
    };
    (0..).zip(parts).map(piece).collect()
}

/// A text in the parts that fit into pieces.
fn split(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut room = PIECE_VALUE - HEAD;
    while !text.is_empty() {
        let (part, rest) = text.split_at(text.floor_char_boundary(room));
        parts.push(part);
        text = rest;
        room = PIECE_VALUE;
    }
    parts
}

/// The attribute, name and value, that the pieces of a tag are; `None` if they are none.
pub(super) fn read(properties: &BTreeMap<String, String>, tag: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (head, first) = properties.get(&key(tag, 0)?)?.split_at_checked(HEAD)?;
    let mut characters = head.chars();
    let (form, count) = (characters.next()?, characters.next()?.to_digit(RADIX)?);
    let checksum_there = u64::from_str_radix(characters.as_str().strip_prefix(':')?.strip_suffix(':')?, 16).ok()?;
    let mut text = first.to_owned();
    for number in 1..count {
        text.write_str(properties.get(&key(tag, number)?)?).ok()?;
    }
    let (name, value) = match form {
        't' => text.split_once('=').map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))?,
        'b' => {
            let mut name = BASE64.decode(&text).ok()?;
            let end = name.iter().position(|&byte| byte == 0)?;
            let value = name.split_off(end + 1);
            name.truncate(end);
            (name, value)
        }
        _ => return None,
    };
    let is_it = checksum(&name, &value) == checksum_there && self::tag(&name) == tag && super::is_settable(&name);
    is_it.then_some((name, value))
}
