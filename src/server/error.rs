//! Errors as the drive reports them: a status and the JSON envelope.
//!
//! Every error has a constructor here, with the wording of the real service where it is known, so that the table of what
//! this server can refuse is one file. Nothing internal reaches the client: a failure of the disk or of the database is
//! logged with its cause and answered with a bare `Internal Error`, or, if there is no room left, like a full drive.

mod permissions;
mod shared_drives;

use std::error::Error;
use std::io;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use rusqlite::ErrorCode;
use serde_json::json;

/// What a call on the drive comes to.
pub(crate) type Result<T> = std::result::Result<T, ApiError>;

/// A refused or failed call.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    domain: &'static str,
    reason: &'static str,
    message: String,
    location: Option<(&'static str, &'static str)>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

const PARAMETER: &str = "parameter";
const HEADER: &str = "header";
/// The reason that comes with a challenge: the token is good, but not for this.
const INSUFFICIENT_SCOPES: &str = "insufficientPermissions";

impl ApiError {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, domain: "global", reason, message: message.into(), location: None, cause: None }
    }

    fn at(self, location: &'static str) -> Self {
        Self { location: Some((PARAMETER, location)), ..self }
    }

    fn usage_limit(self) -> Self {
        Self { domain: "usageLimits", ..self }
    }

    /// What the database said. Where nothing else can go wrong there is nothing else.
    pub(crate) fn into_sqlite(self) -> rusqlite::Error {
        let cause = self.cause.unwrap_or_else(|| self.message.into());
        cause.downcast().map_or_else(rusqlite::Error::UserFunctionError, |error| *error)
    }

    /// The status line of the answer.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The word that a program goes by.
    #[cfg(test)]
    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }

    // 400

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "badRequest", message)
    }

    pub(crate) fn parse_error() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "parseError", "Parse Error")
    }

    pub(crate) fn unsupported_content(media_type: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "badContent", format!("Unsupported content with type: {media_type}"))
    }

    pub(crate) fn invalid(location: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message).at(location)
    }

    /// `q`, `orderBy`, `pageToken`: the service does not say what it disliked.
    pub(crate) fn invalid_value(location: &'static str) -> Self {
        Self::invalid(location, "Invalid Value")
    }

    pub(crate) fn invalid_parameter(location: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalidParameter", message).at(location)
    }

    pub(crate) fn invalid_field_selection(selection: &str) -> Self {
        Self::invalid_parameter("fields", format!("Invalid field selection {selection}"))
    }

    pub(crate) fn required(location: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "required", format!("Required parameter: {location}")).at(location)
    }

    pub(crate) fn fields_required() -> Self {
        let message = "The 'fields' parameter is required for this method.";
        Self::new(StatusCode::BAD_REQUEST, "required", message).at("fields")
    }

    pub(crate) fn not_unkeepable() -> Self {
        let message = "Bad Request. Cannot update a revision to false that is marked as keepForever.";
        Self::new(StatusCode::BAD_REQUEST, "illegalKeepForeverModification", message)
    }

    /// The real service does not say how it refuses this.
    pub(crate) fn too_many_kept() -> Self {
        Self::bad_request("At most 200 revisions of a file can be kept forever.")
    }

    pub(crate) fn id_not_usable() -> Self {
        Self::invalid("file.id", "The provided file ID is not usable.")
    }

    pub(crate) fn generated_id_not_supported() -> Self {
        let message = "Generated IDs are not supported for Docs Editors formats.";
        Self::new(StatusCode::BAD_REQUEST, "generatedIdNotSupported", message).at("file.id")
    }

    // 401

    pub(crate) fn unauthenticated() -> Self {
        let message = "Request had invalid authentication credentials. Expected OAuth 2 access token.";
        let error = Self::new(StatusCode::UNAUTHORIZED, "authError", message);
        Self { location: Some((HEADER, "Authorization")), ..error }
    }

    // 403

    fn forbidden(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason, message)
    }

    pub(crate) fn insufficient_file_permissions() -> Self {
        Self::forbidden("insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
    }

    pub(crate) fn insufficient_parent_permissions() -> Self {
        Self::forbidden("insufficientParentPermissions", "Insufficient permissions for the specified parent.")
    }

    /// Nothing that the caller may read, but not take along.
    pub(crate) fn cannot_download() -> Self {
        Self::forbidden("cannotDownloadFile", "This file cannot be downloaded by the user.")
    }

    /// A token without `drive.appdata`.
    pub(crate) fn app_data_not_granted() -> Self {
        let message = "The granted scopes do not allow use of the Application Data folder.";
        Self::forbidden("insufficientScopes", message)
    }

    pub(crate) fn spaces_not_granted() -> Self {
        let message = "The granted scopes do not give access to all of the requested spaces.";
        Self::forbidden("insufficientScopes", message).at("spaces")
    }

    pub(crate) fn not_for_app_data() -> Self {
        let message = "Method not supported for files within the Application Data folder.";
        Self::forbidden("notSupportedForAppDataFolderFiles", message)
    }

    pub(crate) fn no_storage() -> Self {
        let message =
            "Service Accounts do not have storage quota. Leverage shared drives, or use OAuth delegation instead.";
        Self::forbidden("storageQuotaExceeded", message).usage_limit()
    }

    pub(crate) fn not_downloadable() -> Self {
        let message = "Only files with binary content can be downloaded. Use Export with Docs Editors files.";
        Self::forbidden("fileNotDownloadable", message).at("alt")
    }

    pub(crate) fn not_exportable() -> Self {
        Self::forbidden("fileNotExportable", "Export only supports Docs Editors files.")
    }

    pub(crate) fn flagged_as_abusive() -> Self {
        let message = "This file has been identified as malware or spam and cannot be downloaded.";
        Self::forbidden("cannotDownloadAbusiveFile", message)
    }

    pub(crate) fn export_too_large() -> Self {
        Self::forbidden("exportSizeLimitExceeded", "This file is too large to be exported.")
    }

    pub(crate) fn never_writable() -> Self {
        Self::forbidden("fileNeverWritable", "The content of this file can never be written.")
    }

    /// A token that was granted something, but not this.
    pub(crate) fn insufficient_scopes() -> Self {
        let message = "Insufficient Permission: Request had insufficient authentication scopes.";
        Self::forbidden(INSUFFICIENT_SCOPES, message)
    }

    /// A call in a batch after the hundredth.
    pub(crate) fn too_many_calls() -> Self {
        Self::forbidden("forbidden", "Exceeds allowed inner batch requests soft limit. Please retry.")
    }

    pub(crate) fn revision_not_deletable() -> Self {
        let message = "The revision cannot be deleted: it is the current one, or the only one.";
        Self::forbidden("revisionDeletionNotSupported", message)
    }

    pub(crate) fn revisions_not_supported() -> Self {
        Self::forbidden("revisionsNotSupported", "The file does not support revisions.")
    }

    pub(crate) fn cannot_copy() -> Self {
        Self::forbidden("cannotCopyFile", "This file cannot be copied by the user.")
    }

    pub(crate) fn shortcut_target_invalid() -> Self {
        Self::forbidden("shortcutTargetInvalid", "The target of a shortcut cannot be a shortcut.")
    }

    pub(crate) fn cannot_add_parent() -> Self {
        Self::forbidden("cannotAddParent", "Increasing the number of parents is not allowed")
    }

    pub(crate) fn parent_not_a_folder() -> Self {
        Self::forbidden("parentNotAFolder", "The specified parent is not a folder.")
    }

    pub(crate) fn parents_not_writable() -> Self {
        let message = "The parents field is not directly writable in update requests. \
                       Use the addParents and removeParents parameters instead.";
        Self::forbidden("fieldNotWritable", message)
    }

    pub(crate) fn fields_not_writable() -> Self {
        Self::forbidden("fieldNotWritable", "The resource body includes fields which are not directly writable.")
    }

    pub(crate) fn property_too_long() -> Self {
        let message = "The length of a property's key and value together exceeds 124 bytes in UTF-8.";
        Self::forbidden("propertyLengthLimitExceeded", message)
    }

    pub(crate) fn too_many_properties() -> Self {
        Self::forbidden("propertyCountLimitExceeded", "The limit on the number of properties has been exceeded.")
    }

    pub(crate) fn storage_quota_exceeded() -> Self {
        let message = "The user's Drive storage quota has been exceeded.";
        Self::forbidden("storageQuotaExceeded", message).usage_limit()
    }

    /// The disk has no room where the drive may have some. To a client that is the same: what it sends is not kept, and will
    /// not be however often it tries.
    fn disk_full(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..Self::storage_quota_exceeded() }
    }

    pub(crate) fn too_many_children() -> Self {
        let message = "The limit for the number of children (files and folders) in a folder has been exceeded.";
        Self::forbidden("numChildrenInNonRootLimitExceeded", message)
    }

    pub(crate) fn too_deep() -> Self {
        let message = "Your My Drive can't contain more than 100 levels of folders.";
        Self::forbidden("myDriveHierarchyDepthLimitExceeded", message)
    }

    // 404, 405, 409, 413, 416

    pub(crate) fn file_not_found(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", format!("File not found: {id}.")).at("fileId")
    }

    pub(crate) fn revision_not_found(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", format!("Revision not found: {id}.")).at("revisionId")
    }

    pub(crate) fn drive_not_found(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", format!("Shared drive not found: {id}")).at("driveId")
    }

    pub(crate) fn session_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", "Upload session not found.").at("upload_id")
    }

    pub(crate) fn operation_not_found(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", format!("Operation not found: {name}.")).at("name")
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "notFound", "Not Found")
    }

    pub(crate) fn no_such_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "httpMethodNotAllowed", "Method Not Allowed")
    }

    pub(crate) fn id_in_use() -> Self {
        let message = "A file already exists with the provided ID.";
        Self::new(StatusCode::CONFLICT, "fileIdInUse", message).at("file.id")
    }

    pub(crate) fn body_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "uploadTooLarge", "Request is too large.")
    }

    pub(crate) fn range_not_satisfiable() -> Self {
        let message = "Request range not satisfiable";
        let error = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "requestedRangeNotSatisfiable", message);
        Self { location: Some((HEADER, "Range")), ..error }
    }

    // 500

    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internalError", "Internal Error");
        Self { cause: Some(cause.into()), ..error }
    }

    /// A request that was cut off, or gave way to a later one on the same session. Hardly anybody is there to read it.
    pub(crate) fn interrupted() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "backendError", "The request was interrupted.")
    }

    /// What the real service does with a comparison of names: it fails, and calls it its own fault.
    pub(crate) fn backend() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "backendError", "Backend Error")
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            Self::disk_full(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::disk_full(error),
            _ => Self::internal(error),
        }
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(%cause, "a call failed inside");
        }
        let mut detail = json!({ "domain": self.domain, "reason": self.reason, "message": self.message });
        if let Some((kind, location)) = self.location {
            detail["locationType"] = kind.into();
            detail["location"] = location.into();
        }
        let mut envelope =
            json!({ "error": { "code": self.status.as_u16(), "message": self.message, "errors": [detail] } });
        if self.reason == INSUFFICIENT_SCOPES {
            // Found out by a newer part of the real service, which says more.
            envelope["error"]["status"] = "PERMISSION_DENIED".into();
            envelope["error"]["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                "domain": "googleapis.com",
                "metadata": { "service": "drive.googleapis.com" },
            }]);
        }
        let mut response = (self.status, format!("{envelope:#}")).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer realm="drive", error="invalid_token""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.reason == INSUFFICIENT_SCOPES {
            let challenge = HeaderValue::from_static(r#"Bearer realm="drive", error="insufficient_scope""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_full_drive() {
        let database = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None);
        for error in [ApiError::from(io::Error::from(io::ErrorKind::StorageFull)), ApiError::from(database)] {
            assert_eq!((error.status().as_u16(), error.reason()), (403, "storageQuotaExceeded"));
        }
        assert_eq!(ApiError::from(io::Error::from(io::ErrorKind::NotFound)).status().as_u16(), 500);
    }
}
