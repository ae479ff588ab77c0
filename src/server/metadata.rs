//! What a client may write of an item: the body of create, update, copy and of uploads.
//!
//! Fields that the drive does not know are ignored. Types are checked. Fields that cannot be written are remembered, since
//! an update refuses them while a create ignores them.

pub(crate) mod drive;

use serde_json::{Map, Value};

use crate::clock::Timestamp;

use super::error::{ApiError, Result};

/// A key and a value together, in bytes of UTF-8.
const MAX_PROPERTY_BYTES: usize = 124;

/// What to do with a field that can be cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Patch<T> {
    /// The body does not mention it.
    #[default]
    Keep,
    /// `null`.
    Clear,
    Set(T),
}

/// The parsed body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    /// Says nothing at all that could be written.
    pub empty: bool,
    /// Names a field that only the drive, or only a create, can write.
    pub names_read_only_field: bool,
    pub id: Option<String>,
    pub name: Patch<String>,
    pub mime_type: Option<String>,
    pub parents: Option<Vec<String>>,
    pub created: Option<Timestamp>,
    pub modified: Option<Timestamp>,
    pub viewed: Patch<Timestamp>,
    pub trashed: Option<bool>,
    pub starred: Option<bool>,
    pub original_filename: Option<String>,
    pub indexable_text: Patch<String>,
    pub shortcut_target: Option<String>,
    /// Fields that are kept and given back; `null` clears.
    pub details: Vec<(&'static str, Value)>,
    /// Public properties; `None` deletes.
    pub properties: Vec<(String, Option<String>)>,
    /// Private properties; `None` deletes.
    pub app_properties: Vec<(String, Option<String>)>,
}

/// Fields that an update cannot write. (`kind` is tolerated: many clients send it along.)
const READ_ONLY_ON_UPDATE: [&str; 45] = [
    "capabilities",
    "createdTime",
    "driveId",
    "explicitlyTrashed",
    "exportLinks",
    "fileExtension",
    "fullFileExtension",
    "hasAugmentedPermissions",
    "hasThumbnail",
    "headRevisionId",
    "iconLink",
    "id",
    "imageMediaMetadata",
    "isAppAuthorized",
    "labelInfo",
    "lastModifyingUser",
    "linkShareMetadata",
    "md5Checksum",
    "modifiedByMe",
    "modifiedByMeTime",
    "ownedByMe",
    "owners",
    "parents",
    "permissionIds",
    "permissions",
    "quotaBytesUsed",
    "resourceKey",
    "sha1Checksum",
    "sha256Checksum",
    "shared",
    "sharedWithMeTime",
    "sharingUser",
    "shortcutDetails",
    "size",
    "spaces",
    "teamDriveId",
    "thumbnailLink",
    "thumbnailVersion",
    "trashedTime",
    "trashingUser",
    "version",
    "videoMediaMetadata",
    "viewedByMe",
    "webContentLink",
    "webViewLink",
];

/// Fields that an update can write.
const WRITABLE: [&str; 15] = [
    "appProperties",
    "contentHints",
    "contentRestrictions",
    "copyRequiresWriterPermission",
    "description",
    "folderColorRgb",
    "mimeType",
    "modifiedTime",
    "name",
    "originalFilename",
    "properties",
    "starred",
    "trashed",
    "viewedByMeTime",
    "writersCanShare",
];

impl Metadata {
    /// Parses a body; an empty one says nothing.
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Self::read(&Map::new());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Self::read(&fields),
            _ => Err(ApiError::parse_error()),
        }
    }

    fn read(fields: &Map<String, Value>) -> Result<Self> {
        let body = Body(fields);
        let flag = |name| body.optional(name, Value::as_bool);
        let mut details = Vec::new();
        for name in ["description", "folderColorRgb"] {
            body.detail(name, Value::is_string, &mut details)?;
        }
        for name in ["writersCanShare", "copyRequiresWriterPermission"] {
            body.detail(name, Value::is_boolean, &mut details)?;
        }
        body.detail("contentRestrictions", is_content_restrictions, &mut details)?;
        Ok(Self {
            empty: !WRITABLE.iter().any(|name| fields.contains_key(*name)),
            names_read_only_field: READ_ONLY_ON_UPDATE.iter().any(|name| body.value(name).is_some()),
            id: body.text("id")?,
            name: body.patch("name", text)?,
            mime_type: body.optional("mimeType", media_type)?.filter(|name| !name.is_empty()),
            parents: body
                .optional("parents", |value| value.as_array()?.iter().map(text).collect::<Option<Vec<String>>>())?,
            created: body.optional("createdTime", time)?,
            modified: body.optional("modifiedTime", time)?,
            viewed: body.patch("viewedByMeTime", time)?,
            trashed: flag("trashed")?,
            starred: flag("starred")?,
            original_filename: body.text("originalFilename")?,
            indexable_text: match body.object("contentHints")? {
                Some(hints) => Body(hints).patch("indexableText", text)?,
                None => Patch::Keep,
            },
            shortcut_target: match body.object("shortcutDetails")? {
                Some(details) => Body(details).text("targetId")?,
                None => None,
            },
            details,
            properties: body.properties("properties")?,
            app_properties: body.properties("appProperties")?,
        })
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A media type: nothing that could not stand in a header. An empty one says nothing.
fn media_type(value: &Value) -> Option<String> {
    value.as_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')).map(str::to_owned)
}

/// At most one restriction: whether the content is locked, and why.
fn is_content_restrictions(value: &Value) -> bool {
    let fits = |restriction: &Value| {
        restriction["readOnly"].is_boolean() && (restriction["reason"].is_string() || restriction["reason"].is_null())
    };
    value.as_array().is_some_and(|restrictions| restrictions.len() <= 1 && restrictions.iter().all(fits))
}

fn time(value: &Value) -> Option<Timestamp> {
    let text = value.as_str().filter(|text| is_rfc3339(text))?;
    // The drive keeps milliseconds.
    Timestamp::parse_rfc3339(text).map(|time| Timestamp::from_millis(time.millis()))
}

/// Whether a time is written as RFC 3339 has it, and not as one of its relatives: `2026-01-02T03:04:05.678Z`, or with an
/// offset such as `+01:00`.
fn is_rfc3339(text: &str) -> bool {
    let fits = |text: &str, pattern: &str| {
        let digit_or = |(byte, wanted): (u8, u8)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted };
        text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(digit_or)
    };
    let text = text.to_ascii_uppercase();
    let Some((time, rest)) = text.split_at_checked("0000-00-00T00:00:00".len()) else { return false };
    let zone =
        rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    let is_offset = fits(zone, "+00:00") || fits(zone, "-00:00");
    fits(time, "0000-00-00T00:00:00") && (zone == "Z" || is_offset && zone[1..] <= *"23:59") && !rest.starts_with(".Z")
}

/// An object of a body.
struct Body<'a>(&'a Map<String, Value>);

impl<'a> Body<'a> {
    /// A field that is there and not `null`.
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn optional<T>(&self, name: &'static str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::invalid(name, format!("Invalid value for field '{name}': {value}"))),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<String>> {
        self.optional(name, text)
    }

    fn object(&self, name: &'static str) -> Result<Option<&'a Map<String, Value>>> {
        self.optional(name, Value::as_object)
    }

    fn patch<T>(&self, name: &'static str, read: fn(&Value) -> Option<T>) -> Result<Patch<T>> {
        Ok(match (self.0.get(name), self.optional(name, read)?) {
            (None, _) => Patch::Keep,
            (Some(_), None) => Patch::Clear,
            (Some(_), Some(value)) => Patch::Set(value),
        })
    }

    fn detail(
        &self,
        name: &'static str,
        fits: fn(&Value) -> bool,
        details: &mut Vec<(&'static str, Value)>,
    ) -> Result<()> {
        self.optional(name, |value| fits(value).then_some(()))?;
        details.extend(self.0.get(name).map(|value| (name, value.clone())));
        Ok(())
    }

    fn properties(&self, name: &'static str) -> Result<Vec<(String, Option<String>)>> {
        let mut properties = Vec::new();
        for (key, value) in self.object(name)?.into_iter().flatten() {
            let value = match value {
                Value::Null => None,
                Value::String(value) => Some(value.clone()),
                _ => return Err(ApiError::invalid(name, format!("Invalid value for property '{key}'"))),
            };
            if value.as_ref().is_some_and(|value| key.len() + value.len() > MAX_PROPERTY_BYTES) {
                return Err(ApiError::property_too_long());
            }
            properties.push((key.clone(), value));
        }
        Ok(properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_clears_and_absence_keeps() {
        let body = Metadata::parse(br#"{"name": null, "description": null, "properties": {"a": null, "b": "c"}}"#);
        let metadata = body.expect("parses");
        assert_eq!(metadata.name, Patch::Clear);
        assert_eq!(metadata.viewed, Patch::Keep);
        assert_eq!(metadata.details, [("description", Value::Null)]);
        assert_eq!(metadata.properties, [("a".into(), None), ("b".into(), Some("c".into()))]);
        assert!(!metadata.empty && !metadata.names_read_only_field);
        assert!(Metadata::parse(b" \n").expect("parses").empty);
        assert!(Metadata::parse(br#"{"kind": "drive#file", "colour": "red"}"#).expect("parses").empty);
    }

    #[test]
    fn wrong_types_and_broken_json_are_refused() {
        for body in [
            r#"{"name": 1}"#,
            r#"{"trashed": "true"}"#,
            r#"{"parents": "root"}"#,
            r#"{"modifiedTime": "yesterday"}"#,
            r#"{"modifiedTime": "20260102T030405Z"}"#,
            r#"{"modifiedTime": "2026-01-02 03:04:05Z"}"#,
            r#"{"modifiedTime": "2026-01-02T03:04:05"}"#,
            r#"{"modifiedTime": "2026-01-02T03:04:05.Z"}"#,
            r#"{"modifiedTime": "2026-01-02T03:04:05+25:00"}"#,
            r#"{"mimeType": "text/plain
"}"#,
            r#"{"properties": {"a": 1}}"#,
            r#"{"description": []}"#,
            r#"{"contentRestrictions": [{"readOnly": "yes"}]}"#,
            "[]",
            "{",
            "{\"name\": \"\u{fffd}",
        ] {
            assert!(Metadata::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Metadata::parse(b"{\"name\": \"\xff\"}").is_err(), "not UTF-8");
    }

    #[test]
    fn a_property_has_room_for_124_bytes_of_utf8() {
        let body = |value: &str| format!(r#"{{"properties": {{"key": "{value}"}}}}"#);
        assert!(Metadata::parse(body(&"x".repeat(121)).as_bytes()).is_ok());
        let error = Metadata::parse(body(&"ä".repeat(61)).as_bytes()).expect_err("125 bytes");
        assert_eq!((error.status().as_u16(), error.reason()), (403, "propertyLengthLimitExceeded"));
    }

    #[test]
    fn times_are_kept_to_the_millisecond() {
        let metadata = Metadata::parse(br#"{"modifiedTime": "2026-01-02T05:04:05.123456789+02:00"}"#).expect("parses");
        assert_eq!(metadata.modified.map(Timestamp::to_rfc3339).as_deref(), Some("2026-01-02T03:04:05.123Z"));
    }
}
