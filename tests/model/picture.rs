//! What a tree looks like, here, in a mount and on the drive, and where that differs.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::cloud::Cloud;
use crate::memory::{Ino, Kind, Last, Memory, Modified, ROOT};
use crate::operation::{md5, told};

/// How far the time that Linux gives a file may be behind the clock.
const COARSE: Duration = Duration::from_millis(50);

/// An entry: what it is, and when it was changed, in nanoseconds since 1970 (0: does not matter).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    text: String,
    nanos: i64,
}

type Picture = BTreeMap<String, Entry>;

/// Says how a folder differs from a part of the model; times to a grain, in nanoseconds.
pub(crate) fn compare(memory: &Memory, base: &Path, part: &str, grain: i64) -> Result<(), String> {
    let found = real(&base.join(part)).map_err(|error| error.to_string())?;
    differences(memory, part, &found, grain, |memory, ino| match &memory.inode(ino).kind {
        Kind::Folder(_) => format!("a folder {:o}", memory.inode(ino).mode),
        Kind::File(content) => {
            format!("a file {:o} {}, {} names", memory.inode(ino).mode, told(content), memory.inode(ino).names)
        }
        Kind::Link(target) => format!("a link to {target}, {} names", memory.inode(ino).names),
    })
}

/// Says how the drive differs from the model.
pub(crate) fn compare_drive(memory: &Memory, cloud: &Cloud) -> Result<(), String> {
    let found = on_drive(cloud)?;
    differences(memory, "", &found, 1_000_000, |memory, ino| match &memory.inode(ino).kind {
        Kind::Folder(_) => "a folder".to_owned(),
        Kind::File(content) => format!("{} {}", content.len(), md5(content)),
        Kind::Link(target) => format!("a link to {}", md5(target.as_bytes())),
    })
}

fn differences(
    memory: &Memory,
    part: &str,
    found: &Picture,
    grain: i64,
    text: impl Fn(&Memory, Ino) -> String,
) -> Result<(), String> {
    let mut differences = Vec::new();
    let mut expected = BTreeMap::new();
    let top = if part.is_empty() { ROOT } else { memory.find(part, Last::Keep).expect("a part") };
    paths(memory, top, "", &mut expected);
    for (path, &ino) in &expected {
        let wanted = text(memory, ino);
        let Some(entry) = found.get(path) else {
            differences.push(format!("{path} is missing ({wanted})"));
            continue;
        };
        if entry.text != wanted {
            differences.push(format!("{path} is {}, not {wanted}", entry.text));
        }
        let is_file = matches!(memory.inode(ino).kind, Kind::File(_));
        let (wrong, time) = match memory.inode(ino).modified {
            Modified::At(nanos) => (entry.nanos.div_euclid(grain) != nanos.div_euclid(grain), format!("{nanos}")),
            Modified::Since(time) => {
                let nanos = time.duration_since(UNIX_EPOCH).expect("after 1970").saturating_sub(COARSE).as_nanos();
                (i128::from(entry.nanos) < nanos.cast_signed(), format!("at least {nanos}"))
            }
        };
        if is_file && wrong {
            differences.push(format!("{path} is of {}, not {time}", entry.nanos));
        }
    }
    differences.extend(
        found
            .iter()
            .filter(|(path, _)| !expected.contains_key(*path))
            .map(|(path, entry)| format!("{path} is too much ({})", entry.text)),
    );
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

/// All paths below a folder of the model.
pub(crate) fn paths(memory: &Memory, folder: Ino, path: &str, into: &mut BTreeMap<String, Ino>) {
    let Ok(entries) = memory.entries(folder) else { return };
    for (name, &ino) in entries {
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        paths(memory, ino, &path, into);
        into.insert(path, ino);
    }
}

/// What the entries below a folder are, by path. Fails if something goes while it is looked at.
pub(crate) fn texts(base: &Path) -> io::Result<BTreeMap<String, String>> {
    Ok(real(base)?.into_iter().map(|(path, entry)| (path, entry.text)).collect())
}

fn real(base: &Path) -> io::Result<Picture> {
    let mut picture = Picture::new();
    let mut folders = vec![base.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            let metadata = std::fs::symlink_metadata(&path).map_err(named)?;
            let mode = metadata.mode() & 0o7777;
            let text = if metadata.is_dir() {
                folders.push(path.clone());
                format!("a folder {mode:o}")
            } else if metadata.is_symlink() {
                format!("a link to {}, {} names", std::fs::read_link(&path).map_err(named)?.display(), metadata.nlink())
            } else {
                let content = std::fs::read(&path).map_err(named)?;
                format!("a file {mode:o} {}, {} names", told(&content), metadata.nlink())
            };
            let nanos = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
            let name = path.strip_prefix(base).expect("below").to_string_lossy().into_owned();
            picture.insert(name, Entry { text, nanos });
        }
    }
    Ok(picture)
}

fn on_drive(cloud: &Cloud) -> Result<Picture, String> {
    let root = cloud.root();
    let files = cloud.all();
    let by_id: BTreeMap<&str, &Value> = files.iter().map(|file| (file["id"].as_str().expect("id"), file)).collect();
    let mut picture = Picture::new();
    for file in &files {
        let mut path = file["name"].as_str().expect("name").to_owned();
        let mut at = file;
        loop {
            let parent = at["parents"][0].as_str().expect("parent");
            if parent == root {
                break;
            }
            // What is in a folder in the trash is in the trash.
            at = by_id.get(parent).ok_or_else(|| format!("{file}: its folder is in the trash"))?;
            path = format!("{}/{path}", at["name"].as_str().expect("name"));
        }
        // Of a further name what it names.
        let file = match file["shortcutDetails"]["targetId"].as_str() {
            Some(target) if file["properties"]["drivemount.link"] == "hard" => {
                by_id.get(target).ok_or_else(|| format!("{file}: what it names is not there"))?
            }
            _ => file,
        };
        let checksum = file["md5Checksum"].as_str().unwrap_or_default();
        let text = match file["mimeType"].as_str().expect("type") {
            "application/vnd.google-apps.folder" => "a folder".to_owned(),
            "inode/symlink" => format!("a link to {checksum}"),
            _ => format!("{} {checksum}", file["size"].as_str().unwrap_or_default()),
        };
        let time: jiff::Timestamp = file["modifiedTime"].as_str().expect("time").parse().expect("a time");
        let nanos = i64::try_from(time.as_nanosecond()).expect("before 2262");
        if let Some(twin) = picture.insert(path.clone(), Entry { text, nanos }) {
            return Err(format!("{path} is twice on the drive, also as {}", twin.text));
        }
    }
    Ok(picture)
}
