//! Refusals that have to do with permissions.

use http::StatusCode;

use super::ApiError;

impl ApiError {
    pub(crate) fn permission_not_found(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", format!("Permission not found: {id}.")).at("permissionId")
    }

    /// A role that does not go with the item or with who shall hold it.
    pub(crate) fn role_not_possible() -> Self {
        Self::invalid("permission.role", "The specified role is not possible for this item or for this type of user.")
    }

    pub(crate) fn ownership_not_asked_for() -> Self {
        let message = "The transferOwnership parameter must be enabled when the permission role is 'owner'.";
        Self::forbidden("forbidden", message).at("transferOwnership")
    }

    /// Nobody here could accept what was given to them.
    pub(crate) fn ownership_not_transferable() -> Self {
        let message = "Consent is required to transfer ownership of a file to another user.";
        Self::forbidden("consentRequiredForOwnershipTransfer", message)
    }

    pub(crate) fn permission_is_inherited() -> Self {
        let message = "Cannot update or delete an inherited permission on an item: change it where it was given.";
        Self::forbidden("cannotModifyInheritedPermission", message)
    }

    pub(crate) fn drive_permission_is_inherited() -> Self {
        let message = "Cannot update or delete an inherited permission on a shared drive item.";
        Self::forbidden("cannotModifyInheritedTeamDrivePermission", message)
    }

    pub(crate) fn expiration_not_allowed() -> Self {
        let message = "Expiration dates must be in the future, and are for people and groups in My Drive only.";
        Self::forbidden("expirationDateNotAllowed", message)
    }
}
