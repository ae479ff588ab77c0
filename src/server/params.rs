//! The query of a call: decoded once, read by name.
//!
//! Names that the drive does not know are ignored, as the real service does with the deprecated ones.

use std::ops::RangeInclusive;

use url::form_urlencoded;

use super::error::{ApiError, Result};

/// Query parameters in the order sent. The last of a repeated name counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes the query of an address, or a form sent in its place.
    pub(crate) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Adds what `other` holds, which counts more.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The value as sent, maybe empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value, where an empty one is as good as none.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }

    /// A comma-separated value, its empty elements left out.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let value = self.get(name).unwrap_or_default();
        value.split(',').map(str::trim).filter(|element| !element.is_empty()).collect()
    }

    /// A `true` or `false`; `default` when absent.
    pub(crate) fn flag(&self, name: &'static str, default: bool) -> Result<bool> {
        match self.filled(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(value) => Err(ApiError::invalid_parameter(name, format!("Invalid boolean value: '{value}'."))),
        }
    }

    /// A number that must be within `range`; `default` when absent.
    pub(crate) fn number(&self, name: &'static str, default: i64, range: &RangeInclusive<i64>) -> Result<i64> {
        let Some(value) = self.filled(name) else { return Ok(default) };
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| out_of_range(name, value, range))
    }

    /// Entries per page: 1 to 1000, what lies outside is moved to the nearer end.
    pub(crate) fn page_size(&self, default: usize) -> Result<usize> {
        let Some(value) = self.filled("pageSize") else { return Ok(default) };
        let size: i64 = value.parse().map_err(|_| out_of_range("pageSize", value, &(1..=1000)))?;
        Ok(usize::try_from(size.clamp(1, 1000)).unwrap_or(1000))
    }

    /// Whether JSON is sent for people (the default) or compact.
    pub(crate) fn pretty(&self) -> bool {
        self.get("prettyPrint") != Some("false")
    }
}

fn out_of_range(name: &'static str, value: &str, range: &RangeInclusive<i64>) -> ApiError {
    let (low, high) = (range.start(), range.end());
    let message = format!("Invalid value '{value}'. Values must be within the range: [{low}, {high}]");
    ApiError::invalid_parameter(name, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_size_is_moved_into_its_range_and_refused_if_no_number() {
        let size = |query: &str| Params::parse(query).page_size(100);
        assert_eq!(size("").ok(), Some(100));
        assert_eq!(size("pageSize=0").ok(), Some(1));
        assert_eq!(size("pageSize=-7").ok(), Some(1));
        assert_eq!(size("pageSize=5000").ok(), Some(1000));
        assert!(size("pageSize=many").is_err());
    }

    #[test]
    fn values_are_decoded_and_the_last_counts() {
        let params = Params::parse("q=name+%3D+%27%C3%A4%27&a=1&a=2&list=x,,%20y");
        assert_eq!(params.get("q"), Some("name = 'ä'"));
        assert_eq!(params.get("a"), Some("2"));
        assert_eq!(params.list("list"), ["x", "y"]);
        assert!(params.flag("a", false).is_err());
    }
}
