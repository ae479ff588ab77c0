//! What the one user may do with an item.

use serde_json::{Value, json};

use super::super::item::Item;
use super::super::media_type::Kind;

/// Everything that the kind of the item and the place where it is allow.
pub(super) fn capabilities(item: &Item) -> Value {
    let kind = item.kind();
    let is_folder = kind == Kind::Folder;
    let is_file = kind == Kind::File;
    let is_root = item.parent.is_none();
    let mut capabilities = json!({
        "canAcceptOwnership": false,
        "canAddChildren": is_folder,
        "canAddMyDriveParent": false,
        "canChangeCopyRequiresWriterPermission": !is_root,
        "canChangeViewersCanCopyContent": !is_root,
        "canComment": !is_folder,
        "canCopy": !is_folder,
        "canDelete": !is_root,
        "canDownload": is_file,
        "canEdit": true,
        "canListChildren": is_folder,
        "canModifyContent": true,
        "canModifyContentRestriction": is_file,
        "canMoveChildrenOutOfDrive": is_folder,
        "canMoveChildrenWithinDrive": is_folder,
        "canMoveItemIntoTeamDrive": !is_root,
        "canMoveItemOutOfDrive": !is_root,
        "canMoveItemWithinDrive": !is_root,
        "canReadRevisions": is_file,
        "canRemoveChildren": is_folder,
        "canRemoveMyDriveParent": !is_root,
        "canRename": !is_root,
        "canShare": !is_root,
        "canTrash": !is_root,
        "canUntrash": !is_root,
    });
    if item.drive.is_some()
        && let Value::Object(capabilities) = &mut capabilities
    {
        for (name, can) in [
            ("canAddFolderFromAnotherDrive", false),
            ("canDeleteChildren", is_folder),
            ("canReadDrive", true),
            ("canRemoveMyDriveParent", false),
            ("canTrashChildren", is_folder),
        ] {
            capabilities.insert(name.into(), can.into());
        }
    }
    capabilities
}
