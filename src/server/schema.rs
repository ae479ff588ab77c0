//! The answers that the drive gives, field by field: what a `fields` mask may name, and what is sent without one.
//!
//! The lists are those of the official discovery document of `drive:v3` (revision 20261106), deprecated fields included: a
//! name is valid even where this drive never has a value for it.

use std::sync::LazyLock;

use super::fields::{Mask, Schema};

/// One sort of answer.
#[derive(Debug)]
pub(crate) struct Resource {
    /// All fields there are.
    pub schema: Schema,
    /// What is sent when the caller does not say.
    pub default: Mask,
}

impl Resource {
    fn new(fields: &str, default: &str) -> Self {
        let schema = Schema::build(fields, &type_fields);
        let default = Mask::parse(default, &schema).expect("default masks are well-formed");
        Self { schema, default }
    }
}

/// `files.get` and all that answers with one file.
pub(crate) static FILE: LazyLock<Resource> =
    LazyLock::new(|| Resource::new("@File", "kind,id,name,mimeType,resourceKey"));

/// `files.list`.
pub(crate) static FILE_LIST: LazyLock<Resource> = LazyLock::new(|| {
    Resource::new(
        "files(@File),incompleteSearch,kind,nextPageToken",
        "kind,nextPageToken,incompleteSearch,files(kind,id,name,mimeType,resourceKey)",
    )
});

/// `files.generateIds`.
pub(crate) static GENERATED_IDS: LazyLock<Resource> = LazyLock::new(|| Resource::new("ids,kind,space", "*"));

/// `changes.list`.
pub(crate) static CHANGE_LIST: LazyLock<Resource> = LazyLock::new(|| {
    Resource::new(
        "changes(@Change),kind,newStartPageToken,nextPageToken",
        "kind,nextPageToken,newStartPageToken,\
         changes(kind,type,changeType,time,removed,fileId,file(kind,id,name,mimeType,resourceKey),\
         driveId,drive(kind,id,name))",
    )
});

/// `changes.getStartPageToken`.
pub(crate) static START_PAGE_TOKEN: LazyLock<Resource> = LazyLock::new(|| Resource::new("kind,startPageToken", "*"));

/// `revisions.get`.
pub(crate) static REVISION: LazyLock<Resource> =
    LazyLock::new(|| Resource::new("@Revision", "kind,id,mimeType,modifiedTime"));

/// `revisions.list`.
pub(crate) static REVISION_LIST: LazyLock<Resource> = LazyLock::new(|| {
    Resource::new(
        "kind,nextPageToken,revisions(@Revision)",
        "kind,nextPageToken,revisions(kind,id,mimeType,modifiedTime)",
    )
});

/// `permissions.get` and all that answers with one permission.
pub(crate) static PERMISSION: LazyLock<Resource> = LazyLock::new(|| Resource::new("@Permission", "kind,id,type,role"));

/// `permissions.list`.
pub(crate) static PERMISSION_LIST: LazyLock<Resource> = LazyLock::new(|| {
    Resource::new("kind,nextPageToken,permissions(@Permission)", "kind,nextPageToken,permissions(kind,id,type,role)")
});

/// `drives.get` and all that answers with one shared drive.
pub(crate) static DRIVE: LazyLock<Resource> = LazyLock::new(|| Resource::new("@Drive", "kind,id,name"));

/// `drives.list`.
pub(crate) static DRIVE_LIST: LazyLock<Resource> =
    LazyLock::new(|| Resource::new("kind,nextPageToken,drives(@Drive)", "kind,nextPageToken,drives(kind,id,name)"));

/// `about.get`, which has no default: its caller must say what it wants.
pub(crate) static ABOUT: LazyLock<Resource> = LazyLock::new(|| {
    Resource::new(
        "appInstalled,canCreateDrives,canCreateTeamDrives,driveThemes(backgroundImageLink,colorRgb,id),\
         exportFormats(*),folderColorPalette,importFormats(*),kind,maxImportSizes(*),maxUploadSize,\
         storageQuota(limit,usage,usageInDrive,usageInDriveTrash),teamDriveThemes(backgroundImageLink,colorRgb,\
         id),user(@User)",
        "",
    )
});

/// `files.download` and `operations.get`.
pub(crate) static OPERATION: LazyLock<Resource> =
    LazyLock::new(|| Resource::new("done,error(code,details(*),message),metadata(*),name,response(*)", "*"));

fn type_fields(name: &str) -> &'static str {
    match name {
        "User" => USER_FIELDS,
        "Permission" => PERMISSION_FIELDS,
        "ContentRestriction" => CONTENT_RESTRICTION_FIELDS,
        "Label" => LABEL_FIELDS,
        "DownloadRestrictionsMetadata" => DOWNLOAD_RESTRICTIONS_METADATA_FIELDS,
        "DownloadRestriction" => DOWNLOAD_RESTRICTION_FIELDS,
        "ClientEncryptionDetails" => CLIENT_ENCRYPTION_DETAILS_FIELDS,
        "DecryptionMetadata" => DECRYPTION_METADATA_FIELDS,
        "Drive" => DRIVE_FIELDS,
        "TeamDrive" => TEAM_DRIVE_FIELDS,
        "File" => FILE_FIELDS,
        "Change" => CHANGE_FIELDS,
        "Revision" => REVISION_FIELDS,
        _ => unreachable!("schemas name only types listed here: {name}"),
    }
}

const USER_FIELDS: &str = "displayName,emailAddress,kind,me,permissionId,photoLink";

const PERMISSION_FIELDS: &str = "allowFileDiscovery,deleted,displayName,domain,emailAddress,expirationTime,id,\
     inheritedPermissionsDisabled,kind,pendingOwner,permissionDetails(inherited,inheritedFrom,permissionType,\
     role),photoLink,role,teamDrivePermissionDetails(inherited,inheritedFrom,role,teamDrivePermissionType),\
     type,view";

const CONTENT_RESTRICTION_FIELDS: &str =
    "ownerRestricted,readOnly,reason,restrictingUser(@User),restrictionTime,systemRestricted,type";

const LABEL_FIELDS: &str = "fields(*),id,kind,revisionId";

const DOWNLOAD_RESTRICTIONS_METADATA_FIELDS: &str = "effectiveDownloadRestrictionWithContext(@DownloadRestriction),\
     itemDownloadRestriction(@DownloadRestriction)";

const DOWNLOAD_RESTRICTION_FIELDS: &str = "restrictedForReaders,restrictedForWriters";

const CLIENT_ENCRYPTION_DETAILS_FIELDS: &str = "decryptionMetadata(@DecryptionMetadata),encryptionState";

const DECRYPTION_METADATA_FIELDS: &str =
    "aes256GcmChunkSize,encryptionResourceKeyHash,jwt,kaclsId,kaclsName,keyFormat,wrappedKey";

const DRIVE_FIELDS: &str = "backgroundImageFile(id,width,xCoordinate,yCoordinate),backgroundImageLink,capabilities(canAddChildren,\
     canChangeCopyRequiresWriterPermissionRestriction,canChangeDomainUsersOnlyRestriction,\
     canChangeDownloadRestriction,canChangeDriveBackground,canChangeDriveMembersOnlyRestriction,\
     canChangeSharingFoldersRequiresOrganizerPermissionRestriction,canComment,canCopy,canDeleteChildren,\
     canDeleteDrive,canDownload,canEdit,canListChildren,canManageMembers,canReadRevisions,canRename,\
     canRenameDrive,canResetDriveRestrictions,canShare,canTrashChildren),colorRgb,createdTime,hidden,id,kind,\
     name,orgUnitId,restrictions(adminManagedRestrictions,copyRequiresWriterPermission,domainUsersOnly,\
     downloadRestriction(@DownloadRestriction),driveMembersOnly,sharingFoldersRequiresOrganizerPermission),\
     themeId";

const TEAM_DRIVE_FIELDS: &str = "backgroundImageFile(id,width,xCoordinate,yCoordinate),backgroundImageLink,capabilities(canAddChildren,\
     canChangeCopyRequiresWriterPermissionRestriction,canChangeDomainUsersOnlyRestriction,\
     canChangeDownloadRestriction,canChangeSharingFoldersRequiresOrganizerPermissionRestriction,\
     canChangeTeamDriveBackground,canChangeTeamMembersOnlyRestriction,canComment,canCopy,canDeleteChildren,\
     canDeleteTeamDrive,canDownload,canEdit,canListChildren,canManageMembers,canReadRevisions,\
     canRemoveChildren,canRename,canRenameTeamDrive,canResetTeamDriveRestrictions,canShare,canTrashChildren),\
     colorRgb,createdTime,id,kind,name,orgUnitId,restrictions(adminManagedRestrictions,\
     copyRequiresWriterPermission,domainUsersOnly,downloadRestriction(@DownloadRestriction),\
     sharingFoldersRequiresOrganizerPermission,teamMembersOnly),themeId";

const FILE_FIELDS: &str = "appProperties(*),capabilities(canAcceptOwnership,canAccessViaGenAi,canAddChildren,\
     canAddFolderFromAnotherDrive,canAddMyDriveParent,canChangeCopyRequiresWriterPermission,\
     canChangeItemDownloadRestriction,canChangeSecurityUpdateEnabled,canChangeViewersCanCopyContent,\
     canComment,canCopy,canDelete,canDeleteChildren,canDisableInheritedPermissions,canDownload,canEdit,\
     canEnableInheritedPermissions,canListChildren,canModifyContent,canModifyContentRestriction,\
     canModifyEditorContentRestriction,canModifyLabels,canModifyOwnerContentRestriction,\
     canMoveChildrenOutOfDrive,canMoveChildrenOutOfTeamDrive,canMoveChildrenWithinDrive,\
     canMoveChildrenWithinTeamDrive,canMoveItemIntoTeamDrive,canMoveItemOutOfDrive,canMoveItemOutOfTeamDrive,\
     canMoveItemWithinDrive,canMoveItemWithinTeamDrive,canMoveTeamDriveItem,canReadDrive,canReadLabels,\
     canReadRevisions,canReadTeamDrive,canRemoveChildren,canRemoveContentRestriction,canRemoveMyDriveParent,\
     canRename,canShare,canStartApproval,canTrash,canTrashChildren,canUntrash),\
     clientEncryptionDetails(@ClientEncryptionDetails),contentHints(indexableText,thumbnail(image,mimeType)),\
     contentRestrictions(@ContentRestriction),copyRequiresWriterPermission,createdTime,description,\
     downloadRestrictions(@DownloadRestrictionsMetadata),driveId,explicitlyTrashed,exportLinks(*),\
     fileExtension,folderColorRgb,fullFileExtension,hasAugmentedPermissions,hasThumbnail,headRevisionId,\
     iconLink,id,imageMediaMetadata(aperture,cameraMake,cameraModel,colorSpace,exposureBias,exposureMode,\
     exposureTime,flashUsed,focalLength,height,isoSpeed,lens,location(altitude,latitude,longitude),\
     maxApertureValue,meteringMode,rotation,sensor,subjectDistance,time,whiteBalance,width),\
     inheritedPermissionsDisabled,isAppAuthorized,kind,labelInfo(labels(@Label)),lastModifyingUser(@User),\
     linkShareMetadata(securityUpdateEligible,securityUpdateEnabled),md5Checksum,mimeType,modifiedByMe,\
     modifiedByMeTime,modifiedTime,name,originalFilename,ownedByMe,owners(@User),parents,permissionIds,\
     permissions(@Permission),properties(*),quotaBytesUsed,resourceKey,sha1Checksum,sha256Checksum,shared,\
     sharedWithMeTime,sharingUser(@User),shortcutDetails(targetId,targetMimeType,targetResourceKey),size,\
     spaces,starred,teamDriveId,thumbnailLink,thumbnailVersion,trashed,trashedTime,trashingUser(@User),\
     version,videoMediaMetadata(durationMillis,height,width),viewedByMe,viewedByMeTime,viewersCanCopyContent,\
     webContentLink,webViewLink,writersCanShare";

const CHANGE_FIELDS: &str = "changeType,drive(@Drive),driveId,file(@File),fileId,kind,removed,teamDrive(@TeamDrive),teamDriveId,time,\
     type";

const REVISION_FIELDS: &str = "exportLinks(*),id,keepForever,kind,lastModifyingUser(@User),md5Checksum,mimeType,modifiedTime,\
     originalFilename,publishAuto,published,publishedLink,publishedOutsideDomain,size";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_well_formed() {
        for resource in [
            &FILE,
            &FILE_LIST,
            &GENERATED_IDS,
            &CHANGE_LIST,
            &START_PAGE_TOKEN,
            &REVISION,
            &REVISION_LIST,
            &PERMISSION,
            &PERMISSION_LIST,
            &DRIVE,
            &DRIVE_LIST,
            &ABOUT,
            &OPERATION,
        ] {
            assert!(matches!(resource.schema, Schema::Object(_)));
        }
    }

    #[test]
    fn a_list_shows_the_same_default_fields_as_a_single_file() {
        let listed = FILE_LIST.default.select("files").expect("selected");
        assert_eq!(*listed, FILE.default);
    }
}
