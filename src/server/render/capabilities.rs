//! What somebody may do with an item.

use serde_json::{Value, json};

use super::super::item::Item;
use super::super::media_type::Kind;
use super::super::permission::Role;

/// What the kind of the item, the place where it is and a role on it allow.
pub(super) fn capabilities(item: &Item, role: Role) -> Value {
    let kind = item.kind();
    let is_folder = kind == Kind::Folder;
    let is_file = kind == Kind::File;
    let is_root = item.parent.is_none();
    let is_hidden = item.app_data.is_some();
    let in_drive = item.drive.is_some();
    let flag = |name: &str, default: bool| item.details.get(name).and_then(Value::as_bool).unwrap_or(default);

    let edits = role >= Role::Writer;
    let is_locked = item.is_locked();
    let has_content = is_file || kind == Kind::Document;
    let tidies = role >= if in_drive { Role::FileOrganizer } else { Role::Owner };
    let disposes = role >= if in_drive { Role::Organizer } else { Role::Owner };
    let takes = edits || !flag("copyRequiresWriterPermission", false);
    let shares = if in_drive { tidies } else { edits && flag("writersCanShare", true) || disposes };
    let moves = !is_root && !is_hidden;
    let mut capabilities = json!({
        "canAcceptOwnership": false,
        "canAddChildren": is_folder && edits,
        "canAddMyDriveParent": false,
        "canChangeCopyRequiresWriterPermission": !is_root && tidies,
        "canChangeViewersCanCopyContent": !is_root && tidies,
        "canComment": !is_folder && role >= Role::Commenter,
        "canCopy": !is_folder && takes,
        "canDelete": !is_root && disposes,
        "canDownload": has_content && takes,
        "canEdit": edits && !is_locked,
        "canListChildren": is_folder,
        "canModifyContent": edits && !is_locked,
        "canModifyContentRestriction": has_content && edits,
        "canMoveChildrenOutOfDrive": is_folder && disposes,
        "canMoveChildrenWithinDrive": is_folder && tidies,
        "canMoveItemIntoTeamDrive": moves && disposes,
        "canMoveItemOutOfDrive": moves && disposes,
        "canMoveItemWithinDrive": !is_root && tidies,
        "canReadRevisions": has_content && edits,
        "canRemoveChildren": is_folder && tidies,
        "canRemoveMyDriveParent": moves && tidies,
        "canRename": !is_root && edits && !is_locked,
        "canShare": moves && shares,
        "canTrash": moves && tidies,
        "canUntrash": moves && tidies,
    });
    if in_drive && let Value::Object(capabilities) = &mut capabilities {
        for (name, can) in [
            ("canAddFolderFromAnotherDrive", false),
            ("canDeleteChildren", is_folder && disposes),
            ("canReadDrive", true),
            ("canRemoveMyDriveParent", false),
            ("canTrashChildren", is_folder && tidies),
        ] {
            capabilities.insert(name.into(), can.into());
        }
    }
    capabilities
}
