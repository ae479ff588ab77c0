//! The secrets of this machine, for a redactor that is to know them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::config::{self, Credentials, MountConfig, Source};
use crate::redact::Redactor;

/// More than any credential takes.
const LARGEST_SECRET: u64 = 64 * 1024;

/// What names of variables have in them whose values are secrets.
const NAMES: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY"];

/// Tells the redactor of all secrets of this user that it can find.
pub(super) fn know(redactor: &mut Redactor, config: Option<&MountConfig>) {
    know_variables(redactor, env::vars_os());
    let mut places: Vec<PathBuf> =
        ["GOOGLE_APPLICATION_CREDENTIALS", "DRIVEMOUNT_TOKEN_FILE", "DRIVEMOUNT_CREDENTIALS"]
            .iter()
            .filter_map(|name| Some(env::var_os(name)?.into()))
            .collect();
    match config.and_then(|config| config.credentials.as_ref()) {
        Some(Credentials::Token(secret) | Credentials::TokenCommand { line: secret, .. }) => redactor.know(secret),
        Some(other) => places.extend(other.file().cloned()),
        None => {}
    }
    if let Some(Source::Local(data)) = config.map(|config| &config.source) {
        places.push(data.join("token"));
    }
    if let Some(dir) = config::user_dir("XDG_CONFIG_HOME", ".config") {
        places.push(dir.join("drivemount/client.json"));
        places.push(dir.join("gcloud/application_default_credentials.json"));
        let accounts = fs::read_dir(dir.join("drivemount/accounts")).into_iter().flatten().flatten();
        places.extend(accounts.map(|entry| entry.path()));
    }
    for place in places {
        let small = fs::metadata(&place).is_ok_and(|file| file.is_file() && file.len() <= LARGEST_SECRET);
        let Some(text) = small.then(|| fs::read_to_string(&place).ok()).flatten() else { continue };
        match serde_json::from_str::<Value>(&text) {
            Ok(json) => redactor.know_secrets_of(&json),
            Err(_) => redactor.know_lines(&text),
        }
    }
}

/// Variables may hold any bytes. Such a value is known as it is shown.
fn know_variables(redactor: &mut Redactor, variables: impl Iterator<Item = (OsString, OsString)>) {
    for (name, value) in variables {
        let name = name.to_string_lossy().to_uppercase();
        if NAMES.iter().any(|word| name.contains(word)) {
            redactor.know(&value.to_string_lossy());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn variables_that_are_no_text_are_known_as_they_are_shown() {
        let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_owned());
        let variables = [
            (bytes(b"MY_TOKEN\xff"), bytes(b"hush\xffhush")),
            (bytes(b"\xff"), bytes(b"\xfe")),
            (bytes(b"my_password"), bytes(b"hunter2")),
            (bytes(b"HOME"), bytes(b"/home/me")),
        ];
        let mut redactor = Redactor::default();
        know_variables(&mut redactor, variables.into_iter());
        assert_eq!(redactor.redact("hush\u{fffd}hush hunter2 /home/me"), "[redacted] [redacted] /home/me");
    }
}
