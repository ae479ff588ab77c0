//! Contents that say what they are: of which file, which version, and how long. So whoever reads one can tell whether it is whole.

use crate::machine::bytes;

/// The content of a version of a file.
pub(crate) fn content(file: u64, version: u64) -> Vec<u8> {
    let chance = u64::from_le_bytes(bytes(file << 24 ^ version, 8).try_into().expect("eight"));
    let length = match chance % 100 {
        // Many requests of the kernel, and several of the mount.
        0..=2 => 1_000_000 + chance % 4_000_000,
        3..=12 => 60_000 + chance % 300_000,
        _ => 40 + chance % 9_000,
    };
    let length = usize::try_from(length).expect("small");
    let mut content = format!("{file} {version} {length}\n").into_bytes();
    let rest = length - content.len();
    content.extend(bytes(file << 24 ^ version ^ 1 << 60, rest));
    content
}

/// Which version of which file these bytes are, if they are one from the first to the last.
pub(crate) fn whole(bytes: &[u8]) -> Result<(u64, u64), String> {
    let head = bytes.iter().take(80).take_while(|byte| **byte != b'\n').copied().collect();
    let head = String::from_utf8(head).unwrap_or_default();
    let mut numbers = head.split(' ').map(str::parse::<u64>);
    let (Some(Ok(file)), Some(Ok(version)), Some(Ok(length))) = (numbers.next(), numbers.next(), numbers.next()) else {
        return Err(format!("{} bytes that do not say what they are: {head:?}", bytes.len()));
    };
    if bytes.len() as u64 != length {
        return Err(format!("{} bytes of file {file}, version {version}, which has {length}", bytes.len()));
    }
    let expected = content(file, version);
    match expected.iter().zip(bytes).position(|(expected, found)| expected != found) {
        Some(at) => Err(format!("file {file} begins as version {version}, and is something else from {at} on")),
        None => Ok((file, version)),
    }
}
