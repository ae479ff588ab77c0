//! Between the words of Drive and the words of the house: [`File`] to [`Item`], and what we say of an item to [`Metadata`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::request::Call;
use super::types::{Capabilities, File, Metadata, NewShortcut};
use crate::clock::Timestamp;
use crate::error::Kind;
use crate::remote::xattrs::MAX_PROPERTY;
use crate::remote::{
    Access, Blob, FileId, Item, ItemKind, Md5, NewItem, NewKind, Patch, Posix, RemoteError, Result, RevisionId,
    Special, Xattrs,
};

/// The media type of a folder.
pub(super) const FOLDER: &str = "application/vnd.google-apps.folder";

/// The media type of a symbolic link, whose content is the target's path. The name is the one that freedesktop.org's
/// shared-mime-info gives to links.
pub(super) const SYMLINK: &str = "inode/symlink";

/// The media types of special files, by shared-mime-info too. Whatever content such an item has is nobody's.
pub(super) const fn special(special: Special) -> &'static str {
    match special {
        Special::Fifo => "inode/fifo",
        Special::Socket => "inode/socket",
        Special::CharDevice => "inode/chardevice",
        Special::BlockDevice => "inode/blockdevice",
    }
}

/// What we say of content that we know nothing of. Drive then looks at the bytes and the name, so that a picture gets its
/// preview.
pub(super) const OCTETS: &str = "application/octet-stream";

/// The media type of what leads to another item.
const SHORTCUT: &str = "application/vnd.google-apps.shortcut";

/// Items of these types have no bytes of their own: documents of the online editors, forms, sites, shortcuts.
const DOCUMENT_PREFIX: &str = "application/vnd.google-apps.";

// POSIX attributes live in `properties`, which every application that may see the file can see, and not in `appProperties`,
// which belong to one OAuth client: the same person's mount on another machine, signed in with another client, shall see
// the same executable bit.
const MODE: &str = "drivemount.mode";
const OWNER: &str = "drivemount.owner";
const TARGET: &str = "drivemount.target";
const DEVICE: &str = "drivemount.device";

/// What tells a shortcut that is a further name of a file from one that a person made.
const LINK: (&str, &str) = ("drivemount.link", "hard");

/// The item that `file` describes.
pub(super) fn item(call: Call, file: File) -> Result<Item> {
    let id = file.id.clone().ok_or_else(|| nonsense(call, "an item has no id"))?;
    let time = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse_rfc3339);
    let modified = time(&file.modified_time).or(time(&file.created_time)).unwrap_or_default();
    let created = time(&file.created_time).unwrap_or(modified);
    Ok(Item {
        id: FileId(id),
        kind: kind(&file),
        version: file.version.unwrap_or(0),
        modified,
        created,
        trashed: file.trashed.unwrap_or(false),
        trashed_itself: file.trashed.unwrap_or(false) && file.explicitly_trashed.unwrap_or(true),
        owned: file.owned_by_me.unwrap_or(false),
        shared: file.shared.unwrap_or(false) || file.drive_id.is_some(),
        access: access(file.capabilities.as_ref()),
        drive: file.drive_id.map(FileId),
        posix: posix(file.properties.as_ref()),
        parent: file.parents.and_then(|parents| parents.into_iter().next()).map(FileId),
        name: file.name.unwrap_or_default(),
    })
}

/// What a drive says that the account may do.
pub(super) fn access(capabilities: Option<&Capabilities>) -> Access {
    let Some(can) = capabilities else { return Access::UNKNOWN };
    Access::of(can.can_modify_content, can.can_add_children, can.can_rename, can.can_trash)
        .moving(can.can_move_item_within_drive, can.can_move_item_out_of_drive)
}

fn kind(file: &File) -> ItemKind {
    let media_type = file.mime_type.as_deref().unwrap_or(OCTETS);
    let target = file.shortcut_details.as_ref().and_then(|details| details.target_id.clone());
    if let (SHORTCUT, Some(target)) = (media_type, target) {
        let property = file.properties.as_ref().and_then(|properties| properties.get(LINK.0));
        let hard = property.is_some_and(|property| property == LINK.1);
        return ItemKind::Shortcut { target: FileId(target), hard };
    }
    if let Some(special) = Special::ALL.into_iter().find(|&kind| special(kind) == media_type) {
        return ItemKind::Special(special);
    }
    match (media_type, blob(file)) {
        (FOLDER, _) => ItemKind::Folder,
        (SYMLINK, Some(blob)) => ItemKind::Symlink(blob),
        (other, Some(blob)) if !other.starts_with(DOCUMENT_PREFIX) => ItemKind::File(blob),
        (other, _) => ItemKind::Document { media_type: other.to_owned(), link: file.web_view_link.clone() },
    }
}

/// The content, if its size is known: without one it cannot be a file to any program.
fn blob(file: &File) -> Option<Blob> {
    Some(Blob { size: file.size?, md5: md5(file), revision: revision(file) })
}

/// Of photos and videos that Google processed again the checksum is of other bytes than those that come down (seen by
/// `rclone`); such items are also in the space `photos`.
fn md5(file: &File) -> Option<Md5> {
    let processed = file.spaces.as_ref().is_some_and(|spaces| spaces.iter().any(|space| space == "photos"));
    file.md5_checksum.as_deref().filter(|_| !processed).and_then(Md5::parse)
}

/// The identity of the content; where Drive gives none, its checksum and size, or at least the version of the item.
pub(super) fn revision(file: &File) -> RevisionId {
    RevisionId(match (&file.head_revision_id, &file.md5_checksum, file.size) {
        (Some(revision), ..) => revision.clone(),
        (None, Some(md5), Some(size)) => format!("md5:{md5}:{size}"),
        _ => format!("version:{}", file.version.unwrap_or(0)),
    })
}

/// Whether a revision has the name that Drive gave it, rather than one made up by [`revision`]. Drive's have no colon.
pub(super) fn is_named(revision: &RevisionId) -> bool {
    !revision.0.contains(':')
}

fn posix(properties: Option<&BTreeMap<String, String>>) -> Posix {
    let get = |key| properties?.get(key).map(String::as_str);
    Posix {
        mode: get(MODE).and_then(|text| u32::from_str_radix(text, 8).ok()).filter(|mode| *mode <= 0o7777),
        owner: get(OWNER).and_then(|text| {
            let (user, group) = text.split_once(':')?;
            Some((user.parse().ok()?, group.parse().ok()?))
        }),
        target: get(TARGET).map(str::to_owned),
        device: get(DEVICE).and_then(|text| text.parse().ok()),
        xattrs: properties.map(Xattrs::of).unwrap_or_default(),
    }
}

/// All keys of `posix` but for extended attributes, `None` for those that are not set.
fn properties(posix: &Posix) -> BTreeMap<&'static str, Option<String>> {
    let target = posix.target.as_ref().filter(|target| TARGET.len() + target.len() <= MAX_PROPERTY);
    BTreeMap::from([
        (MODE, posix.mode.map(|mode| format!("{:04o}", mode & 0o7777))),
        (OWNER, posix.owner.map(|(user, group)| format!("{user}:{group}"))),
        (TARGET, target.cloned()),
        (DEVICE, posix.device.map(|device| device.to_string())),
    ])
}

/// Properties, and those of extended attributes.
fn and_xattrs(
    properties: BTreeMap<&'static str, Option<String>>,
    xattrs: BTreeMap<String, Option<String>>,
) -> BTreeMap<Cow<'static, str>, Option<String>> {
    let properties = properties.into_iter().map(|(key, value)| (key.into(), value));
    properties.chain(xattrs.into_iter().map(|(key, value)| (key.into(), value))).collect()
}

/// What is said of a new item.
pub(super) fn creation(new: &NewItem) -> Metadata<'_> {
    let mut properties = properties(&new.posix);
    properties.retain(|_, value| value.is_some());
    let link_to = if let NewKind::Link(to) = &new.kind { Some(to) } else { None };
    if link_to.is_some() {
        properties.insert(LINK.0, Some(LINK.1.to_owned()));
    }
    Metadata {
        id: Some(&new.id.0),
        name: Some(&new.name),
        mime_type: match &new.kind {
            NewKind::Folder => Some(FOLDER),
            NewKind::Symlink => Some(SYMLINK),
            NewKind::Special(kind) => Some(special(*kind)),
            NewKind::Link(_) => Some(SHORTCUT),
            NewKind::File => None,
        },
        shortcut_details: link_to.map(|to| NewShortcut { target_id: &to.0 }),
        parents: Some([&new.parent.0]),
        modified_time: Some(new.modified.to_rfc3339()),
        properties: and_xattrs(properties, new.posix.xattrs.since(&Xattrs::default())),
        ..Metadata::default()
    }
}

/// What is said of a copy. It has all properties of its source, so those that it shall not have are cleared.
pub(super) fn copying(new: &NewItem) -> Metadata<'_> {
    let xattrs = new.posix.xattrs.since(&Xattrs::default());
    Metadata { properties: and_xattrs(properties(&new.posix), xattrs), ..creation(new) }
}

/// What is said of an item that changes; a move is no part of it, since Drive takes that from the address.
pub(super) fn change(patch: &Patch) -> Metadata<'_> {
    Metadata {
        name: patch.name.as_deref(),
        modified_time: patch.modified.map(Timestamp::to_rfc3339),
        properties: and_xattrs(patch.posix.as_ref().map(properties).unwrap_or_default(), patch.xattrs.clone()),
        ..Metadata::default()
    }
}

/// An answer that Drive cannot have meant.
pub(super) fn nonsense(call: Call, what: impl std::fmt::Display) -> RemoteError {
    RemoteError::new(Kind::Protocol, call.name, format!("the answer of the drive makes no sense: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::remote::Device;
    use crate::remote::drive::request::GET;

    fn parse(json: serde_json::Value) -> Item {
        item(GET, serde_json::from_value(json).expect("is a file")).expect("is an item")
    }

    #[test]
    fn a_file_becomes_an_item() {
        let item = parse(json!({
            "id": "f1", "name": "a/b", "mimeType": "text/plain", "parents": ["p1"], "size": "3",
            "md5Checksum": "900150983cd24fb0d6963f7d28e17f72", "headRevisionId": "r1", "version": "17",
            "modifiedTime": "2026-01-02T03:04:05.678Z", "createdTime": "2025-01-02T03:04:05.678Z", "trashed": true,
            "properties": {"drivemount.mode": "0755", "drivemount.owner": "1000:100", "other.app": "x"},
        }));
        let blob =
            Blob { size: 3, md5: Md5::parse("900150983cd24fb0d6963f7d28e17f72"), revision: RevisionId("r1".into()) };
        assert_eq!(item.kind, ItemKind::File(blob));
        assert_eq!((item.id.0.as_str(), item.name.as_str(), item.parent), ("f1", "a/b", Some(FileId("p1".into()))));
        assert_eq!((item.version, item.trashed), (17, true));
        assert_eq!(item.modified.to_rfc3339(), "2026-01-02T03:04:05.678Z");
        assert_eq!(item.created.to_rfc3339(), "2025-01-02T03:04:05.678Z");
        assert_eq!(
            item.posix,
            Posix {
                xattrs: item.posix.xattrs.clone(),
                ..Posix { mode: Some(0o755), owner: Some((1000, 100)), ..Posix::default() }
            }
        );
    }

    #[test]
    fn the_media_type_and_the_size_tell_what_an_item_is() {
        let kind = |media_type: &str, size: Option<&str>| {
            parse(json!({"id": "x", "mimeType": media_type, "size": size, "webViewLink": "https://link"})).kind
        };
        assert_eq!(kind(FOLDER, None), ItemKind::Folder);
        assert!(matches!(kind("inode/symlink", Some("4")), ItemKind::Symlink(Blob { size: 4, .. })));
        assert!(matches!(kind("text/plain", Some("0")), ItemKind::File(Blob { size: 0, .. })));
        let link = Some("https://link".to_owned());
        for document in ["document", "shortcut", "drive-sdk.1234"] {
            let media_type = format!("application/vnd.google-apps.{document}");
            let expected = ItemKind::Document { media_type: media_type.clone(), link: link.clone() };
            assert_eq!(kind(&media_type, Some("1024")), expected, "the size of a document is of no use");
        }
        assert!(matches!(kind("text/plain", None), ItemKind::Document { .. }), "no size, no file");
    }

    #[test]
    fn almost_everything_may_be_absent() {
        let item = parse(json!({"id": "x"}));
        assert_eq!((item.name.as_str(), item.parent, item.version, item.trashed), ("", None, 0, false));
        assert_eq!(item.modified, Timestamp::default());
        assert_eq!(super::item(GET, File::default()).expect_err("no id").kind, Kind::Protocol);
    }

    #[test]
    fn a_content_has_an_identity_even_without_a_revision() {
        let revision = |json| match parse(json).kind {
            ItemKind::File(blob) => blob.revision.0,
            other => panic!("{other:?}"),
        };
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        assert_eq!(revision(json!({"id": "x", "size": "3", "headRevisionId": "r", "md5Checksum": md5})), "r");
        assert_eq!(revision(json!({"id": "x", "size": "3", "md5Checksum": md5})), format!("md5:{md5}:3"));
        assert_eq!(revision(json!({"id": "x", "size": "3", "version": 9})), "version:9");
    }

    #[test]
    fn the_checksum_of_a_photo_is_not_trusted() {
        let item = parse(json!({"id": "x", "size": "3", "md5Checksum": "900150983cd24fb0d6963f7d28e17f72",
            "spaces": ["drive", "photos"]}));
        assert!(matches!(item.kind, ItemKind::File(Blob { md5: None, .. })));
    }

    #[test]
    fn attributes_of_others_that_make_no_sense_are_left_out() {
        let item = parse(json!({"id": "x", "properties": {"drivemount.mode": "99", "drivemount.owner": "root"}}));
        assert_eq!(item.posix, Posix::default());
        let item = parse(json!({"id": "x", "properties": {"drivemount.mode": "10000", "drivemount.owner": "1:x"}}));
        assert_eq!(item.posix, Posix::default());
    }

    #[test]
    fn a_patch_of_attributes_sends_all_of_them() {
        let posix = Posix { mode: Some(0o4), target: Some("to".into()), ..Posix::default() };
        let patch = Patch { posix: Some(posix), ..Patch::default() };
        assert_eq!(
            serde_json::to_value(change(&patch)).expect("is JSON"),
            json!({"properties": {"drivemount.mode": "0004", "drivemount.owner": null, "drivemount.target": "to",
                "drivemount.device": null}})
        );
        assert_eq!(serde_json::to_value(change(&Patch::default())).expect("is JSON"), json!({}));
    }

    #[test]
    fn a_target_too_long_for_a_property_is_left_to_the_content() {
        let target = |len: usize| {
            let posix = Posix { target: Some("é".repeat(len)), ..Posix::default() };
            properties(&posix)[TARGET].is_some()
        };
        assert!(target((MAX_PROPERTY - TARGET.len()) / 2));
        assert!(!target((MAX_PROPERTY - TARGET.len()) / 2 + 1));
    }

    #[test]
    fn a_creation_says_only_what_is_set() {
        let new = NewItem {
            id: FileId("i".into()),
            parent: FileId("p".into()),
            name: "run".into(),
            kind: NewKind::File,
            modified: Timestamp::from_millis(1_767_323_045_678),
            posix: Posix { mode: Some(0o755), ..Posix::default() },
        };
        assert_eq!(
            serde_json::to_value(creation(&new)).expect("is JSON"),
            json!({"id": "i", "name": "run", "parents": ["p"], "modifiedTime": "2026-01-02T03:04:05.678Z",
                "properties": {"drivemount.mode": "0755"}})
        );
        let link = NewItem { kind: NewKind::Symlink, posix: Posix::default(), ..new };
        let json = serde_json::to_value(creation(&link)).expect("is JSON");
        assert_eq!((&json["mimeType"], &json["properties"]), (&json!("inode/symlink"), &json!(null)));
        let posix = Posix { device: Some(Device { major: 1, minor: 3 }), ..Posix::default() };
        let null = NewItem { kind: NewKind::Special(Special::CharDevice), posix: posix.clone(), ..link };
        let json = serde_json::to_value(creation(&null)).expect("is JSON");
        assert_eq!(json["mimeType"], "inode/chardevice");
        let there =
            parse(json!({"id": "i", "mimeType": json["mimeType"], "size": "0", "properties": json["properties"]}));
        assert_eq!((there.kind, there.posix), (ItemKind::Special(Special::CharDevice), posix));
    }
}
