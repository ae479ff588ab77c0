//! Documents of online editors, and what they are shown as.
//!
//! A tree shows them in one way ([`Docs`]), which is a fact of its database, since their names depend on it: with the extension of a
//! link file, with that of the format that they are exported in, or hidden. What each of them is stands in its node:
//!
//! - `target` is the text of its link file, which also says its type;
//! - `revision`, if it is shown as an export, is the version that the drive has, and the format. It changes with the time of
//!   modification that the drive tells, and with each request of ours, which may have set that time back over an edit;
//! - `size` and `md5` are those of the export that was made of this revision, or [`UNKNOWN_SIZE`] and none.
//!
//! A hidden one has a name that no path can spell: a slash and its id. So whatever else wants its name can have it.

use rusqlite::Connection;

use super::{Ino, Node, NodeKind, Result, Tree, names, nodes};
use crate::clock::Timestamp;
use crate::config::Docs;
use crate::remote::{FileId, Item, ItemKind, Md5, RevisionId};
use crate::state;

/// The way in which they are shown; absent: as links.
const FACT_DOCS: &str = "docs";

/// What the media types of Google's own begin with.
const GOOGLE: &str = "application/vnd.google-apps.";

/// The length that a document has before it was exported. Nobody knows it then. It is too long rather than too short, so that a
/// program that believes it, and does not look again once it has the file open, meets the end too early and says so, instead of
/// taking a part for the whole. What is longer than this is had from the drive by a detour only.
pub const UNKNOWN_SIZE: u64 = 10 << 20;

/// A format that documents are exported in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Its media type.
    pub media_type: &'static str,
    /// The extension of such files.
    pub extension: &'static str,
    /// The sort of document: what comes after [`GOOGLE`].
    sort: &'static str,
}

/// For each sort of document that can be exported, the format that keeps the most of it and that programs read.
const FORMATS: [Format; 5] = [
    Format {
        media_type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        extension: "docx",
        sort: "document",
    },
    Format {
        media_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        extension: "xlsx",
        sort: "spreadsheet",
    },
    Format {
        media_type: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        extension: "pptx",
        sort: "presentation",
    },
    Format { media_type: "image/svg+xml", extension: "svg", sort: "drawing" },
    Format { media_type: "application/vnd.google-apps.script+json", extension: "json", sort: "script" },
];

/// The format that documents of this type are exported in, if they can be.
fn format(media_type: &str) -> Option<&'static Format> {
    let sort = media_type.strip_prefix(GOOGLE)?;
    FORMATS.iter().find(|format| format.sort == sort)
}

/// The extension of the link file of a document of this type.
fn link_extension(media_type: &str) -> &'static str {
    match media_type.strip_prefix(GOOGLE) {
        Some("document") => "gdoc",
        Some("spreadsheet") => "gsheet",
        Some("presentation") => "gslides",
        Some("drawing") => "gdraw",
        Some("form") => "gform",
        Some("shortcut") => "gshortcut",
        _ => "glink",
    }
}

/// How the documents of a tree are shown.
pub(super) fn shown(db: &Connection) -> rusqlite::Result<Docs> {
    let word = state::fact(db, FACT_DOCS)?;
    let known = [Docs::Link, Docs::Export, Docs::Hide].into_iter().find(|docs| word.as_deref() == Some(docs.word()));
    Ok(known.unwrap_or_default())
}

/// The name of a document of this name and type; `None` if it is hidden.
pub(super) fn name(docs: Docs, name: &str, media_type: &str) -> Option<String> {
    extension(docs, media_type).map(|extension| format!("{name}.{extension}"))
}

/// What is added to the names of documents of this type; `None` if they are hidden. What only leads to something else is not.
fn extension(docs: Docs, media_type: &str) -> Option<&'static str> {
    match docs {
        Docs::Hide if media_type.strip_prefix(GOOGLE) == Some("shortcut") => Some(link_extension(media_type)),
        Docs::Hide => None,
        Docs::Link => Some(link_extension(media_type)),
        Docs::Export => Some(format(media_type).map_or_else(|| link_extension(media_type), |format| format.extension)),
    }
}

/// The name that a document would be shown under, had it this name on the drive; `None` if it is hidden.
pub(super) fn name_of(db: &Connection, node: &Node, drive_name: &str) -> rusqlite::Result<Option<String>> {
    Ok(name(shown(db)?, drive_name, &media_type(node)))
}

/// The name on the drive of a document that is given a name here, if that ends as its names do.
pub(super) fn without_extension(db: &Connection, node: &Node, name: &str) -> rusqlite::Result<Option<String>> {
    let stem = extension(shown(db)?, &media_type(node)).and_then(|extension| name.strip_suffix(extension));
    Ok(stem.and_then(|stem| stem.strip_suffix('.')).map(str::to_owned))
}

/// The name of a hidden document.
pub(super) fn hidden(id: &FileId) -> String {
    format!("/{id}")
}

/// The type of a document.
fn media_type(node: &Node) -> String {
    let text = node.target.as_deref().unwrap_or_default();
    let link: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    link["type"].as_str().unwrap_or_default().to_owned()
}

/// The text of the link file of an item.
pub(super) fn text(item: &Item) -> Option<String> {
    let ItemKind::Document { media_type, link } = &item.kind else { return None };
    let text = serde_json::json!({ "url": link, "id": item.id.0, "type": media_type });
    Some(format!("{text}\n"))
}

/// Whether that is the name of a hidden one.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('/')
}

/// Makes a document one that is shown as its tree shows them, and of which no export is known.
pub(super) fn dress(db: &Connection, node: &mut Node, modified: Timestamp) -> rusqlite::Result<()> {
    let format = if shown(db)? == Docs::Export { format(&media_type(node)) } else { None };
    node.revision = format.map(|format| revision(format, modified, None));
    node.md5 = None;
    let text = node.target.as_ref().map_or(0, |text| text.len() as u64);
    node.size = if format.is_some() { UNKNOWN_SIZE } else { text };
    Ok(())
}

/// `docx:1767323045678`, and after a request of ours the version that it led to.
fn revision(format: &Format, modified: Timestamp, version: Option<u64>) -> RevisionId {
    let version = version.map_or_else(String::new, |version| format!(":{version}"));
    RevisionId(format!("{}:{}{version}", format.extension, modified.millis()))
}

/// What the drive tells of a document. Says whether its content may be another. If the drive answers a request of ours, `ours`, that
/// cannot be told from the time, which we have set; so it may.
pub(super) fn heard(node: &mut Node, item: &Item, ours: bool) -> bool {
    let Some(format) = node.export_format() else { return false };
    let now = revision(format, item.modified, None);
    let is_same = node.revision.as_ref().is_some_and(|known| {
        known.0.strip_prefix(&now.0).is_some_and(|version| version.is_empty() || version.starts_with(':'))
    });
    if is_same && !ours {
        return false;
    }
    node.revision = Some(if is_same { revision(format, item.modified, Some(item.version)) } else { now });
    node.md5 = None;
    node.size = UNKNOWN_SIZE;
    true
}

impl Node {
    /// The format that it is exported in, if it is a document that is shown so.
    pub fn export_format(&self) -> Option<&'static Format> {
        let revision = self.revision.as_ref().filter(|_| self.kind == NodeKind::Document)?;
        let (extension, _) = revision.0.split_once(':')?;
        FORMATS.iter().find(|format| format.extension == extension)
    }

    /// Whether it has a length that nobody knows.
    pub fn is_of_unknown_size(&self) -> bool {
        self.md5.is_none() && self.export_format().is_some()
    }
}

impl Tree {
    /// Shows documents so from now on. To be called before anybody looks: nobody is told of the names that change.
    pub fn show_documents(&self, docs: Docs) -> Result<()> {
        self.state.write(|tx| Ok(show(tx, docs)?))
    }

    /// Keeps length and checksum of the export of a revision, if the document is still the same. Says whether it is.
    pub fn exported(&self, ino: Ino, revision: &RevisionId, size: u64, md5: Md5) -> Result<bool> {
        self.state.write(|tx| match nodes::by_ino(tx, ino)?.filter(|node| node.revision.as_ref() == Some(revision)) {
            Some(node) => {
                nodes::update(tx, &Node { size, md5: Some(md5), ..node })?;
                Ok(true)
            }
            None => Ok(false),
        })
    }
}

/// Shows all documents so.
pub(super) fn show(db: &Connection, docs: Docs) -> rusqlite::Result<()> {
    if shown(db)? == docs {
        return Ok(());
    }
    state::set_fact(db, FACT_DOCS, docs.word())?;
    show_anew(db)
}

/// Gives all documents the names and contents of another way to show them: first away with all, so that none is in the way of
/// another, and then each into its place, as if it were told of now.
fn show_anew(db: &Connection) -> rusqlite::Result<()> {
    let mut effects = super::Effects::default();
    let documents = nodes::documents(db)?;
    let mut free = Vec::new();
    for &ino in &documents {
        let Some(mut node) = nodes::by_ino(db, ino)? else { continue };
        let Some(id) = node.id.clone() else { continue };
        let drive_name = node.name_on_drive().to_owned();
        free.push((node.parent, std::mem::replace(&mut node.name, hidden(&id))));
        node.drive_name = Some(drive_name);
        let told = nodes::base(db, ino)?.and_then(|base| base.on_drive).map_or(node.mtime, |there| there.mtime);
        dress(db, &mut node, told)?;
        nodes::update(db, &node)?;
    }
    for (folder, name) in free {
        names::freed(db, folder, &name, &mut effects)?;
    }
    for ino in documents {
        let Some(mut node) = nodes::by_ino(db, ino)? else { continue };
        let Some(id) = node.id.clone() else { continue };
        let wanted = name_of(db, &node, node.name_on_drive())?;
        // It may have one already: that which another gave up.
        if wanted.is_some() && node.name == hidden(&id) {
            node.name = names::place(db, node.parent, wanted.as_deref(), &id, node.created, &mut effects)?;
            nodes::update(db, &node)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_google_will_invent_has_a_name_and_what_is_hidden_has_none() {
        let unknown = format!("{GOOGLE}unknown");
        let shown = [Docs::Link, Docs::Export, Docs::Hide].map(|docs| name(docs, "a", &unknown));
        assert_eq!(shown, [Some("a.glink".to_owned()), Some("a.glink".to_owned()), None]);
        assert_eq!(name(Docs::Hide, "a", "application/vnd.google-apps.shortcut"), Some("a.gshortcut".to_owned()));
    }
}
