//! All that helps to find a bug, in one archive, without what is nobody's business.
//!
//! Everything that goes in is text, and goes through one [`Redactor`] that is told of the secrets of this machine first. Names of
//! files and mail addresses are taken out too, unless they are asked for. The archive is for its owner alone.
//!
//! ```text
//!   secrets   those of this machine, as far as they can be found
//!   settings  the settings file without those in it
//! ```

mod secrets;
mod settings;

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::Report;
use super::mounts::{self, Fares};
use crate::clock;
use crate::config::{self, MountConfig};
use crate::mount::mountpoint::{self, MountLine};
use crate::redact::Redactor;
use crate::state;

/// The folder in the archive.
const TOP: &str = "drivemount-report";

/// So much of the end of each log.
const TAIL: u64 = 512 * 1024;

/// Fields of a status, and of a line of a log, that hold names of files.
const NAMED: [&str; 6] = ["path", "copy", "kept", "folder", "name", "file"];

/// What stands in the place of a name, and of a mail address.
const NAME: &str = "[name]";
const MAIL: &str = "[mail]";

/// What goes in beside what is found.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The answers.
    pub report: &'a Report,
    /// The same, as it was shown.
    pub screen: &'a str,
    /// The mount that was asked about.
    pub config: Option<&'a MountConfig>,
    /// The settings file.
    pub settings: Option<&'a Path>,
    /// Variables of ours whose values are no secrets.
    pub harmless: &'a [String],
    /// Keys of the settings file whose values are none.
    pub harmless_keys: &'a [String],
    /// Names of files may go in.
    pub with_names: bool,
}

/// Writes the archive; says what is in it. A file that is there is left alone.
pub fn write(path: &Path, contents: &Contents<'_>) -> io::Result<Vec<String>> {
    let mut redactor = Redactor::default();
    secrets::know(&mut redactor, contents.config);
    let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let written = pack(file, &redactor, contents);
    if written.is_err() {
        let _gone = fs::remove_file(path);
    }
    written
}

fn pack(file: File, redactor: &Redactor, contents: &Contents<'_>) -> io::Result<Vec<String>> {
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    let mut names = Vec::new();
    let now = u64::try_from(clock::now().millis() / 1000).unwrap_or_default();
    for (name, text) in files(contents) {
        let mut text = redactor.redact(&text);
        if !contents.with_names {
            text = without_mail(&text);
        }
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        archive.append_data(&mut header, format!("{TOP}/{name}"), text.as_bytes())?;
        names.push(name);
    }
    archive.into_inner()?.finish()?.sync_all()?;
    Ok(names)
}

/// All files, by name and text.
fn files(contents: &Contents<'_>) -> Vec<(String, String)> {
    let report = serde_json::to_string_pretty(contents.report).unwrap_or_default();
    let mut files = vec![
        ("doctor.txt".to_owned(), contents.screen.to_owned()),
        ("doctor.json".to_owned(), report),
        ("system.txt".to_owned(), system()),
        ("environment.txt".to_owned(), environment(contents.harmless)),
    ];
    if let Some(text) = contents.settings.and_then(|path| settings::told(path, contents.harmless_keys)) {
        files.push(("config.toml".to_owned(), text));
    }
    let ours: Vec<MountLine> =
        mountpoint::mounts().unwrap_or_default().into_iter().filter(MountLine::is_ours).collect();
    files.push(("mounts.txt".to_owned(), mount_lines()));
    let mut caches: Vec<PathBuf> = contents.config.map(|config| config.cache_dir.clone()).into_iter().collect();
    for (number, mount) in ours.iter().enumerate() {
        let Some(Fares::Well(status)) = mounts::status(mount) else { continue };
        caches.push(status.cache.dir.clone());
        // One that is not in the cache folder.
        if !status.log_file.starts_with(&status.cache.dir)
            && let Some(text) = tail(&status.log_file)
        {
            let text = if contents.with_names { text } else { without_names(&text) };
            files.push((format!("log-{}.log", number + 1), text));
        }
        let mut json = serde_json::to_value(&status).unwrap_or_default();
        if !contents.with_names {
            remove_names(&mut json);
        }
        files.push((format!("status-{}.json", number + 1), serde_json::to_string_pretty(&json).unwrap_or_default()));
    }
    caches.extend(usual_caches());
    caches.sort();
    caches.dedup();
    for (number, cache) in caches.iter().filter(|cache| cache.is_dir()).enumerate() {
        let number = number + 1;
        files.push((format!("cache-{number}/counts.txt"), counts(cache)));
        for log in ["drivemount.log", "drivemount.log.old"] {
            if let Some(text) = tail(&cache.join(log)) {
                let text = if contents.with_names { text } else { without_names(&text) };
                files.push((format!("cache-{number}/{log}"), text));
            }
        }
    }
    files
}

fn system() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    format!("drivemount {}\n{}\n{}", env!("CARGO_PKG_VERSION"), read("/proc/version").trim(), read("/etc/os-release"))
}

/// The names of all variables, and the values of those that are harmless.
fn environment(harmless: &[String]) -> String {
    let mut names: Vec<String> = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    names.sort();
    let line = |name: &String| match env::var(name) {
        Ok(value) if harmless.contains(name) => format!("{name}={value}\n"),
        _ => format!("{name}\n"),
    };
    names.iter().map(line).collect()
}

fn mount_lines() -> String {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    let kind = format!(" fuse.{} ", crate::fuse::NAME);
    table.lines().filter(|line| line.contains(&kind)).flat_map(|line| [line, "\n"]).collect()
}

/// Cache folders at their usual places.
fn usual_caches() -> Vec<PathBuf> {
    let dir = config::user_dir("XDG_CACHE_HOME", ".cache").map(|dir| dir.join("drivemount"));
    let entries = dir.and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.join("state.db").is_file()).collect()
}

/// How much is in a cache folder.
fn counts(cache: &Path) -> String {
    let mut text = format!("{}\n", cache.display());
    match state::count_rows(&cache.join("state.db")) {
        Ok(counts) => text.extend(counts.iter().map(|(table, rows)| format!("state.db {table}: {rows}\n"))),
        Err(error) => text.extend([format!("state.db: {error}\n")]),
    }
    for part in ["blocks", "staging", "unfinished"] {
        let Ok(entries) = fs::read_dir(cache.join(part)) else { continue };
        let sizes: Vec<u64> = entries.flatten().filter_map(|entry| Some(entry.metadata().ok()?.len())).collect();
        text.extend([format!("{part}: {} files, {} bytes\n", sizes.len(), sizes.iter().sum::<u64>())]);
    }
    text
}

fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // The first line is cut.
    if length > TAIL { text.split_once('\n').map(|(_, rest)| rest.to_owned()) } else { Some(text) }
}

/// Takes names out of a status.
fn remove_names(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(remove_names),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if NAMED.contains(&name.as_str()) => NAME.clone_into(text),
                    value => remove_names(value),
                }
            }
        }
        _ => {}
    }
}

/// Takes names out of a log: the values of its fields, which stand in quotes.
fn without_names(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    'text: loop {
        let found = NAMED.iter().filter_map(|name| {
            let field = format!("{name}=\"");
            rest.match_indices(&field)
                .find(|(at, _)| *at == 0 || rest[..*at].ends_with(' '))
                .map(|(at, _)| at + field.len())
        });
        let Some(begin) = found.min() else { break 'text };
        kept.push_str(&rest[..begin]);
        let value = &rest[begin..];
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = matches!(c, '"' | '\n') && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        kept.push_str(NAME);
        rest = &value[end.unwrap_or(value.len())..];
    }
    kept.push_str(rest);
    kept
}

/// Takes mail addresses out.
fn without_mail(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let is_part = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
        let user =
            rest[..at].char_indices().rev().take_while(|&(_, c)| is_part(c)).last().map_or(at, |(begin, _)| begin);
        let after = &rest[at + 1..];
        let host = after.find(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c))).unwrap_or(after.len());
        let is_mail =
            user < at && after.starts_with(|c: char| c.is_ascii_alphanumeric()) && after[..host].contains('.');
        if is_mail {
            kept.push_str(&rest[..user]);
            kept.push_str(MAIL);
            rest = &after[host..];
        } else {
            kept.push_str(&rest[..=at]);
            rest = after;
        }
    }
    kept.push_str(rest);
    kept
}

/// The lines that say what was written, and what to do with it.
pub fn told(path: &Path, names: &[String], with_names: bool) -> String {
    let (place, word) = (path.display(), mountpoint::word(path));
    let hidden = if with_names {
        "Tokens, keys and codes are taken out"
    } else {
        "Tokens, keys, codes, mail addresses and names of files are taken out as far as they can be told"
    };
    format!(
        "wrote {place}, readable for you alone: {}\n{hidden}. Look at it before you send it: `tar -xzOf {word} | less`",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_out_of_a_log() {
        let log =
            "WARN not sent yet path=\"a \\\"b\\\".txt\" error=full attempts=3\nINFO x=1 folder=\"secret plans\" end\n";
        assert_eq!(
            without_names(log),
            "WARN not sent yet path=\"[name]\" error=full attempts=3\nINFO x=1 folder=\"[name]\" end\n"
        );
        assert_eq!(without_names("path=\"cut"), "path=\"[name]");
        assert_eq!(without_names("nothing here"), "nothing here");
    }

    #[test]
    fn mail_addresses_are_taken_out() {
        assert_eq!(without_mail("of me.too@mail.example.org: 3 GiB"), "of [mail]: 3 GiB");
        assert_eq!(without_mail("drivemount@.service, a @ b, x@host"), "drivemount@.service, a @ b, x@host");
    }

    #[test]
    fn names_are_taken_out_of_a_status() {
        let mut json = serde_json::json!({"mountpoint": "/d", "unsent": {"items": [{"path": "x", "bytes": 3}]}});
        remove_names(&mut json);
        assert_eq!(
            json,
            serde_json::json!({"mountpoint": "/d", "unsent": {"items": [{"path": "[name]", "bytes": 3}]}})
        );
    }
}
