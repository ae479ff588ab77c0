//! [`Source`]: what is mounted.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::parse_web_address;

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Google Drive.
    Google,
    /// A folder of this machine, served by an embedded drive within the mount.
    Local(PathBuf),
    /// Any server that speaks the Drive API.
    Http(Url),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "google" {
            return Ok(Self::Google);
        }
        if let Some(dir) = text.strip_prefix("local:") {
            return if dir.is_empty() {
                Err("local: needs a folder, as in local:/path/to/folder".into())
            } else {
                Ok(Self::Local(dir.into()))
            };
        }
        let url = parse_web_address(text);
        url.map(Self::Http).map_err(|_| "not a source; it is `google`, `local:DIR` or `http://HOST:PORT`".to_owned())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Google => f.write_str("google"),
            Self::Local(dir) => write!(f, "local:{}", dir.display()),
            // Userinfo in an address is a secret, and nobody needs the rest of it.
            Self::Http(url) => {
                write!(f, "{}{}", url.origin().ascii_serialization(), url.path().trim_end_matches('/'))
            }
        }
    }
}

impl Source {
    /// A name for the folder of its cache: readable, and different for different sources.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Google => "google".to_owned(),
            Self::Local(dir) => {
                let name = dir.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy());
                format!("local-{}-{}", tame(&name), digest(dir.as_os_str().as_encoded_bytes()))
            }
            Self::Http(url) => {
                let host = url.host_str().unwrap_or("host");
                let origin = url.origin().ascii_serialization() + url.path();
                format!("{}-{}-{}", url.scheme(), tame(host), digest(origin.as_bytes()))
            }
        }
    }
}

pub(super) fn tame(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .take(40)
        .collect()
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..4].iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_shown() {
        for text in ["google", "local:/tmp/drive", "http://127.0.0.1:8080", "https://drive.example"] {
            assert_eq!(text.parse::<Source>().expect("parses").to_string(), text);
        }
        for text in ["", "gogle", "local:", "ftp://host", "http://", "/tmp/drive"] {
            assert!(text.parse::<Source>().is_err(), "{text:?}");
        }
        let secret: Source = "https://me:password@host/".parse().expect("parses");
        assert!(!secret.to_string().contains("password"));
    }

    #[test]
    fn each_source_has_a_cache_of_its_own() {
        let keys = ["google", "local:/a/x", "local:/b/x", "http://h:1", "http://h:2", "https://h:1"];
        let keys: std::collections::HashSet<_> =
            keys.iter().map(|text| text.parse::<Source>().expect("parses").key()).collect();
        assert_eq!(keys.len(), 6);
        assert!(keys.iter().all(|key| !key.contains(['/', ':'])), "{keys:?}");
    }
}
