//! Shared drives as JSON.

use serde_json::{Map, Value, json};

use super::super::fields::Mask;
use super::super::item::SharedDrive;
use super::super::metadata::drive::RESTRICTIONS;
use super::{Object, select};

/// What a drive looks like until somebody chooses another colour.
const COLOR: &str = "#0f9d58";

/// A shared drive, as its organizer sees it.
pub(crate) fn drive(drive: &SharedDrive, mask: &Mask) -> Value {
    let mut object = Object::new(mask);
    object.put("kind", || "drive#drive");
    object.put("id", || drive.id.as_str());
    object.put("name", || drive.name.as_str());
    object.put("colorRgb", || drive.details.get("colorRgb").cloned().unwrap_or_else(|| COLOR.into()));
    object.put("createdTime", || drive.created.to_rfc3339());
    object.put("hidden", || drive.hidden);
    object.nest("capabilities", |mask| select(mask, capabilities()));
    object.nest("restrictions", |mask| {
        let kept = drive.details.get("restrictions");
        let state = |name: &str| kept.and_then(|kept| kept.get(name)).cloned().unwrap_or(Value::Bool(false));
        let all = RESTRICTIONS.iter().map(|name| ((*name).to_owned(), state(name)));
        select(mask, Value::Object(all.collect::<Map<_, _>>()))
    });
    object.finish()
}

/// What the one user may do with any drive: everything but what there is nothing for here.
fn capabilities() -> Value {
    json!({
        "canAddChildren": true,
        "canChangeCopyRequiresWriterPermissionRestriction": true,
        "canChangeDomainUsersOnlyRestriction": true,
        "canChangeDriveBackground": false,
        "canChangeDriveMembersOnlyRestriction": true,
        "canChangeSharingFoldersRequiresOrganizerPermissionRestriction": true,
        "canComment": true,
        "canCopy": true,
        "canDeleteChildren": true,
        "canDeleteDrive": true,
        "canDownload": true,
        "canEdit": true,
        "canListChildren": true,
        "canManageMembers": false,
        "canReadRevisions": true,
        "canRename": true,
        "canRenameDrive": true,
        "canResetDriveRestrictions": true,
        "canShare": false,
        "canTrashChildren": true,
    })
}
