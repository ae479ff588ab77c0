//! Shared drives as JSON.

use serde_json::{Map, Value, json};

use super::super::fields::Mask;
use super::super::item::SharedDrive;
use super::super::metadata::drive::RESTRICTIONS;
use super::super::permission::Role;
use super::{Object, select};

/// What a drive looks like until somebody chooses another colour.
const COLOR: &str = "#0f9d58";

/// A shared drive, as a member with `role` sees it.
pub(crate) fn drive(drive: &SharedDrive, role: Role, mask: &Mask) -> Value {
    let mut object = Object::new(mask);
    object.put("kind", || "drive#drive");
    object.put("id", || drive.id.as_str());
    object.put("name", || drive.name.as_str());
    object.put("colorRgb", || drive.details.get("colorRgb").cloned().unwrap_or_else(|| COLOR.into()));
    object.put("createdTime", || drive.created.to_rfc3339());
    object.put("hidden", || drive.hidden);
    object.nest("capabilities", |mask| select(mask, capabilities(role)));
    object.nest("restrictions", |mask| {
        let kept = drive.details.get("restrictions");
        let state = |name: &str| kept.and_then(|kept| kept.get(name)).cloned().unwrap_or(Value::Bool(false));
        let all = RESTRICTIONS.iter().map(|name| ((*name).to_owned(), state(name)));
        select(mask, Value::Object(all.collect::<Map<_, _>>()))
    });
    object.finish()
}

/// What a member may do with a drive, and what there is nothing for here.
fn capabilities(role: Role) -> Value {
    let organizes = role >= Role::Organizer;
    let tidies = role >= Role::FileOrganizer;
    let edits = role >= Role::Writer;
    json!({
        "canAddChildren": edits,
        "canChangeCopyRequiresWriterPermissionRestriction": organizes,
        "canChangeDomainUsersOnlyRestriction": organizes,
        "canChangeDriveBackground": false,
        "canChangeDriveMembersOnlyRestriction": organizes,
        "canChangeSharingFoldersRequiresOrganizerPermissionRestriction": organizes,
        "canComment": role >= Role::Commenter,
        "canCopy": true,
        "canDeleteChildren": organizes,
        "canDeleteDrive": organizes,
        "canDownload": true,
        "canEdit": edits,
        "canListChildren": true,
        "canManageMembers": organizes,
        "canReadRevisions": edits,
        "canRename": edits,
        "canRenameDrive": organizes,
        "canResetDriveRestrictions": organizes,
        "canShare": tidies,
        "canTrashChildren": tidies,
    })
}
