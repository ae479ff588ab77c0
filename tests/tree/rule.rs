//! The rule for names, as docs/SEMANTICS.md has it, written down a second time: place by place, for a whole folder at once.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

/// What the rule looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimant<'a> {
    pub(crate) id: &'a str,
    /// The name that it would have if there were no other.
    pub(crate) wanted: &'a str,
    /// When it was made, as the drive writes it: texts in the order of the times.
    pub(crate) created: &'a str,
}

/// The names of the entries of a folder, by their ids.
pub(crate) fn names(mut entries: Vec<Claimant<'_>>) -> HashMap<String, String> {
    entries.sort_by_key(|entry| (entry.created, entry.id));
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for digits in [0, 6, 16, 64] {
        // The older come first.
        entries.retain(|entry| {
            let name =
                if digits == 0 { entry.wanted.to_owned() } else { tagged(entry.wanted, &tag(entry.id)[..digits]) };
            let fits = is_legal(&name) && !taken.contains_key(&name);
            if fits {
                taken.insert(name, entry.id);
            }
            !fits
        });
    }
    assert!(entries.is_empty(), "no name left for {entries:?}");
    taken.into_iter().map(|(name, id)| (id.to_owned(), name)).collect()
}

pub(crate) fn is_legal(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\0'])
}

/// Where tags come from.
pub(crate) fn tag(id: &str) -> String {
    hex(&Sha256::digest(id))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// `stem (tag).ext`
pub(crate) fn tagged(wanted: &str, tag: &str) -> String {
    let legal = match wanted {
        "" | "." | ".." => "_".to_owned(),
        name => name.replace(['/', '\0'], "_"),
    };
    let dot = legal.rfind('.').filter(|&dot| dot > 0 && legal.len() - dot <= 12 && !legal[dot..].contains(' '));
    let (stem, extension) = legal.split_at(dot.unwrap_or(legal.len()));
    let end = " ()".len() + tag.len() + extension.len();
    let mut stem = stem.to_owned();
    while stem.len() + end > 255 {
        stem.pop();
    }
    format!("{stem} ({tag}){extension}")
}
