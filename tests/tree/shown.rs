//! What a mount shows, beside what it should.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use drivemount::clock::Timestamp;

use crate::contents::whole;
use crate::rule;
use crate::somebody::{Item, Somebody};

/// What should be seen, by path.
pub(crate) type Expected<'a> = BTreeMap<String, (&'a str, &'a Item)>;

/// All that somebody has on the drive, under the names that the rule gives.
pub(crate) fn expected<'a>(all: &'a Somebody<'_>) -> Expected<'a> {
    let folders = all.folders();
    let mut expected = Expected::new();
    let mut ways = vec![(all.root.as_str(), String::new())];
    while let Some((folder, way)) = ways.pop() {
        let items = folders.get(folder).map_or(&[][..], Vec::as_slice);
        let names = rule::names(items.iter().map(|(id, item)| item.claim(id)).collect());
        for (id, item) in items {
            let path = format!("{way}{}", names[*id]);
            if item.content.is_none() {
                ways.push((*id, format!("{path}/")));
            }
            expected.insert(path, (*id, *item));
        }
    }
    expected
}

/// How what is shown differs. Contents are read of those items that `reads` wants.
pub(crate) fn differences(drive: &Path, expected: &Expected<'_>, reads: impl Fn(&str) -> bool) -> Vec<String> {
    let mut differences = Vec::new();
    let mut found = HashSet::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(drive.join(&folder)).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => {
                differences.push(format!("{folder:?}: cannot be listed: {error}"));
                continue;
            }
        };
        for entry in entries {
            let name = entry.file_name().into_string().expect("UTF-8");
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            match expected.get(&path) {
                Some((id, item)) => {
                    let wrong = difference(drive, &path, item, reads(id)).err();
                    differences.extend(wrong.map(|wrong| format!("{path:?} ({id}): {wrong}")));
                    if item.content.is_none() {
                        folders.push(path.clone());
                    }
                }
                None => differences.push(format!("{path:?}: is not on the drive")),
            }
            found.insert(path);
        }
    }
    let missing = expected.iter().filter(|(path, _)| !found.contains(*path));
    differences.extend(missing.map(|(path, (id, _))| format!("{path:?} ({id}): is not shown")));
    differences
}

fn difference(drive: &Path, path: &str, item: &Item, is_read: bool) -> Result<(), String> {
    let metadata = fs::symlink_metadata(drive.join(path)).map_err(|error| format!("listed, and {error}"))?;
    let Some(version) = item.content else {
        return if metadata.is_dir() { Ok(()) } else { Err("not a folder".to_owned()) };
    };
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    if metadata.len() != item.size {
        return Err(format!("{} bytes instead of {}", metadata.len(), item.size));
    }
    let time = metadata.modified().map_err(|error| error.to_string())?;
    let time = time.duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let expected = Timestamp::parse_rfc3339(&item.modified).expect("a time").millis();
    if i128::try_from(time) != Ok(i128::from(expected)) {
        return Err(format!("changed at {time} ms, and not {expected}"));
    }
    if is_read {
        let bytes = fs::read(drive.join(path)).map_err(|error| format!("cannot be read: {error}"))?;
        let found = whole(&bytes)?;
        if found != version {
            return Err(format!("the content is {found:?} instead of {version:?}"));
        }
    }
    Ok(())
}

/// Those of `paths` that mean something though nothing is there any more.
pub(crate) fn left_over(drive: &Path, paths: &[String], expected: &Expected<'_>) -> Vec<String> {
    let gone = paths.iter().filter(|path| !expected.contains_key(*path));
    gone.filter(|path| fs::symlink_metadata(drive.join(path)).is_ok()).cloned().collect()
}
