//! Refusals that have to do with shared drives.

use http::StatusCode;

use super::ApiError;

impl ApiError {
    /// A call that is about shared drives, by a client that does not say that it knows of them. What reason the real
    /// service gives for this and the next is not known.
    pub(crate) fn all_drives_not_supported() -> Self {
        let message = "The supportsAllDrives parameter must be set to true when driveId is specified or \
                       includeItemsFromAllDrives is set to true.";
        Self::forbidden("forbidden", message).at("supportsAllDrives")
    }

    pub(crate) fn all_drives_not_included() -> Self {
        let message = "The includeItemsFromAllDrives parameter must be set to true when driveId is specified or \
                       corpora contains drive or allDrives.";
        Self::forbidden("forbidden", message).at("includeItemsFromAllDrives")
    }

    pub(crate) fn drive_and_corpora() -> Self {
        Self::invalid("driveId", "The driveId parameter must be specified if and only if corpora is set to drive.")
    }

    /// Nobody here administers a domain.
    pub(crate) fn not_an_administrator(reason: &'static str) -> Self {
        Self::forbidden(reason, "The user does not have the required administrator privilege.")
    }

    pub(crate) fn item_deletion_not_supported() -> Self {
        let message = "The allowItemDeletion parameter is only supported when useDomainAdminAccess is set to true.";
        Self::invalid("allowItemDeletion", message)
    }

    pub(crate) fn drive_not_empty() -> Self {
        let message = "This resource cannot be deleted because it has children";
        Self::forbidden("cannotDeleteResourceWithChildren", message)
    }

    pub(crate) fn drive_exists() -> Self {
        let message = "A shared drive has already been created with the provided request ID.";
        Self::new(StatusCode::CONFLICT, "teamDriveAlreadyExists", message).at("requestId")
    }

    pub(crate) fn drive_full() -> Self {
        let message = "The file limit for this shared drive has been exceeded.";
        Self::forbidden("teamDriveFileLimitExceeded", message)
    }

    pub(crate) fn drive_too_deep() -> Self {
        let message = "The shared drive hierarchy depth will exceed the limit.";
        Self::forbidden("teamDriveHierarchyTooDeep", message)
    }

    pub(crate) fn folder_move_in() -> Self {
        let message = "Moving folders into shared drives is not supported.";
        Self::forbidden("teamDrivesFolderMoveInNotSupported", message)
    }

    pub(crate) fn trashed_move_in() -> Self {
        let message = "Trashed items cannot be moved into shared drives.";
        Self::forbidden("cannotMoveTrashedItemIntoTeamDrive", message)
    }

    pub(crate) fn trashed_move_out() -> Self {
        let message = "Trashed items cannot be moved out of shared drives.";
        Self::forbidden("cannotMoveTrashedItemOutOfTeamDrive", message)
    }

    pub(crate) fn one_parent_exactly() -> Self {
        Self::forbidden("teamDrivesParentLimit", "A shared drive item must have exactly one parent.")
    }
}
