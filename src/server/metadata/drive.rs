//! What a client may write of a shared drive. Fields that the drive does not know, or cannot write, are ignored; types are
//! checked.

use serde_json::{Map, Value};

use super::super::error::{ApiError, Result};

/// Restrictions that are on or off.
pub(crate) const RESTRICTIONS: [&str; 5] = [
    "adminManagedRestrictions",
    "copyRequiresWriterPermission",
    "domainUsersOnly",
    "driveMembersOnly",
    "sharingFoldersRequiresOrganizerPermission",
];

/// The parsed body.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct DriveBody {
    pub name: Option<String>,
    color: Option<Value>,
    /// Only those that the body names.
    restrictions: Map<String, Value>,
}

impl DriveBody {
    /// Parses a body; an empty one says nothing.
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Err(ApiError::parse_error()) };
        let name = match checked(&fields, "name", Value::is_string)?.and_then(Value::as_str) {
            Some(name) if name.trim().is_empty() => {
                return Err(ApiError::invalid("name", "The name of a shared drive cannot be empty."));
            }
            name => name.map(str::to_owned),
        };
        let color = checked(&fields, "colorRgb", is_color)?.cloned();
        let mut restrictions = Map::new();
        if let Some(Value::Object(given)) = checked(&fields, "restrictions", Value::is_object)? {
            for name in RESTRICTIONS {
                restrictions.extend(checked(given, name, Value::is_boolean)?.map(|value| (name.into(), value.clone())));
            }
        }
        Ok(Self { name, color, restrictions })
    }

    /// Puts what was said into fields that are only kept.
    pub(crate) fn put_details(&self, details: &mut Map<String, Value>) {
        details.extend(self.color.iter().map(|color| ("colorRgb".to_owned(), color.clone())));
        if self.restrictions.is_empty() {
            return;
        }
        let kept = details.entry("restrictions").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(kept) = kept {
            kept.extend(self.restrictions.clone());
        }
    }
}

fn checked<'a>(
    fields: &'a Map<String, Value>,
    name: &'static str,
    fits: fn(&Value) -> bool,
) -> Result<Option<&'a Value>> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) if fits(value) => Ok(Some(value)),
        Some(value) => Err(ApiError::invalid(name, format!("Invalid value for field '{name}': {value}"))),
    }
}

/// `#rrggbb`
fn is_color(value: &Value) -> bool {
    let digits = value.as_str().and_then(|text| text.strip_prefix('#'));
    digits.is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<DriveBody> {
        DriveBody::parse(body.to_string().as_bytes())
    }

    #[test]
    fn restrictions_are_merged_one_by_one() {
        let mut details = Map::new();
        for restrictions in [json!({ "driveMembersOnly": true, "x": 1 }), json!({ "domainUsersOnly": false })] {
            parse(&json!({ "restrictions": restrictions })).expect("parses").put_details(&mut details);
        }
        let expected = json!({ "restrictions": { "driveMembersOnly": true, "domainUsersOnly": false } });
        assert_eq!(Value::Object(details), expected);
    }

    #[test]
    fn wrong_types_are_refused() {
        for body in [
            json!({ "name": 1 }),
            json!({ "name": " " }),
            json!({ "colorRgb": "red" }),
            json!({ "restrictions": [] }),
            json!({ "restrictions": { "driveMembersOnly": "yes" } }),
            json!([]),
        ] {
            assert!(parse(&body).is_err(), "{body}");
        }
        assert_eq!(DriveBody::parse(b" ").expect("parses"), DriveBody::default());
    }
}
