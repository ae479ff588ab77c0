//! Whether the drive has what the writers were promised, and nothing else.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::cloud::{Cloud, eventually};
use crate::machine::{Machine, names};
use crate::manifest::{Manifest, sum};
use crate::writer::TEMPORARY;

/// Compares after a flush.
pub(crate) fn check(cloud: &Cloud, machine: &Machine, manifests: &[Manifest]) {
    compare(cloud, manifests);
    let status = machine.status();
    assert_eq!(status["conflicts"], json!([]), "nobody else wrote");
    assert_eq!(status["unsent"]["entries"], 0, "{}", status["unsent"]);
    eventually("no staging is left", || names(machine.cache().join("staging")).is_empty().then_some(()));
    look_into_the_trash(cloud, manifests);
}

/// Compares paths and contents.
fn compare(cloud: &Cloud, manifests: &[Manifest]) {
    let root = cloud.root();
    let items = cloud.all();
    let by_id: HashMap<&str, &Value> = items.iter().map(|item| (text(item, "id"), item)).collect();
    let mut there: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in &items {
        let what = item["md5Checksum"].as_str().map_or("folder", |md5| &md5[..8]).to_owned();
        there.entry(path(item, &by_id, &root)).or_default().push(what);
    }
    let mut here: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, manifest) in manifests.iter().enumerate() {
        here.insert(format!("writer {number}"), vec!["folder".to_owned()]);
        for (path, content) in &manifest.now {
            let what = content.as_ref().map_or_else(|| "folder".to_owned(), |content| sum(content));
            here.insert(format!("writer {number}/{path}"), vec![what]);
        }
    }
    if here != there {
        let paths: std::collections::BTreeSet<_> = here.keys().chain(there.keys()).collect();
        let differ: Vec<String> = paths
            .into_iter()
            .filter(|&path| here.get(path) != there.get(path))
            .map(|path| format!("{path}: here {:?}, on the drive {:?}", here.get(path), there.get(path)))
            .collect();
        panic!("after a flush the drive differs:\n{}", differ.join("\n"));
    }
}

fn path(item: &Value, by_id: &HashMap<&str, &Value>, root: &str) -> String {
    let name = text(item, "name");
    match item["parents"][0].as_str() {
        Some(folder) if folder != root => match by_id.get(folder) {
            Some(folder) => format!("{}/{name}", path(folder, by_id, root)),
            None => format!("(in a folder that is not there)/{name}"),
        },
        _ => name.to_owned(),
    }
}

/// In the trash is what was removed or replaced, and no name of a save that came to its end.
fn look_into_the_trash(cloud: &Cloud, manifests: &[Manifest]) {
    for item in cloud.files("trashed = true") {
        let name = text(&item, "name");
        let is_known = !name.starts_with(TEMPORARY) || manifests.iter().any(|manifest| manifest.removed.contains(name));
        assert!(is_known, "in the trash is {item}");
    }
    cloud.call("DELETE", "/drive/v3/files/trash", &[], None);
}

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item[field].as_str().unwrap_or_else(|| panic!("no {field}: {item}"))
}
