//! The drives that are measured, and the same entries on the local disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::client::Target;
use crate::cloud::Cloud;
use crate::{LATENCY, fill};

/// Files of a folder, where there are many folders.
pub(crate) const IN_A_FOLDER: usize = 100;

/// The name of the large folder.
pub(crate) const LARGE: &str = "large";

/// How much a drive has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Files of the large folder.
    pub(crate) large: usize,
    /// Other folders.
    pub(crate) folders: usize,
    /// Files that those share.
    pub(crate) rest: usize,
}

impl Shape {
    /// Many folders of a hundred files each.
    pub(crate) fn of_folders(files: usize) -> Self {
        Self { large: 0, folders: files.div_ceil(IN_A_FOLDER), rest: files }
    }

    /// Of so many entries a tenth in one folder, and others of a thousand.
    pub(crate) fn with_large_folder(entries: usize) -> Self {
        let large = entries / 10;
        let folders = (entries - large).div_ceil(1001);
        Self { large, folders, rest: entries - large - folders }
    }

    /// Everything that `find` prints, the top included.
    pub(crate) fn found(self) -> usize {
        2 + self.large + self.folders + self.rest
    }

    fn name(self) -> String {
        format!("{}-{}-{}", self.large, self.folders, self.rest)
    }
}

/// A drive of that shape, made if it is not there. It answers as from far away.
pub(crate) fn open(data: &Path, shape: Shape) -> Cloud {
    let folder = data.join(format!("drive-{}", shape.name()));
    let whole = folder.join("whole");
    if !whole.exists() {
        // What was made in part is of no use.
        let _rest = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("makes");
        eprintln!("making a drive of {} entries", shape.found() - 1);
        let cloud = Cloud::start_in(&folder, &[]);
        let token = fs::read_to_string(cloud.token_file()).expect("token");
        let address = cloud.url.trim_start_matches("http://").to_owned();
        let target = Target { address, token: Some(token.trim().to_owned()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let made = runtime.block_on(fill::make_entries(&target, shape.large, shape.folders, shape.rest));
        eprintln!("{:.0} entries a second", made.expect("makes the drive").rate);
        drop(cloud);
        File::create(whole).expect("notes it");
    }
    let cloud = Cloud::start_in(&folder, &[]);
    forget_snapshots(&cloud);
    cloud.make_trouble(&[LATENCY]);
    cloud
}

/// What earlier runs left for other machines is not this run's.
fn forget_snapshots(cloud: &Cloud) {
    for id in snapshots(cloud) {
        cloud.call("DELETE", &format!("/drive/v3/files/{id}"), &[], None);
    }
}

/// Waits until a mount has left something for other machines. Says whether it did.
pub(crate) fn has_snapshot(cloud: &Cloud) -> bool {
    const PATIENCE: Duration = Duration::from_secs(30);
    let start = Instant::now();
    while snapshots(cloud).is_empty() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    true
}

fn snapshots(cloud: &Cloud) -> Vec<String> {
    let query = [("spaces", "appDataFolder"), ("fields", "files(id)"), ("pageSize", "1000")];
    let there = cloud.call("GET", "/drive/v3/files", &query, None);
    let ids = there["files"].as_array().into_iter().flatten().filter_map(|file| file["id"].as_str());
    ids.map(str::to_owned).collect()
}

/// The same entries on the local disk.
pub(crate) fn local(data: &Path, shape: Shape) -> PathBuf {
    let at = data.join(format!("local-{}", shape.name()));
    if !at.exists() {
        let new = data.join("local-new");
        let _rest = fs::remove_dir_all(&new);
        fs::create_dir_all(new.join(LARGE)).expect("makes");
        let folder = |index: usize| new.join(format!("folder {index}"));
        for index in 0..shape.folders {
            fs::create_dir(folder(index)).expect("makes");
        }
        for index in 0..shape.large + shape.rest {
            let place = match index.checked_sub(shape.large) {
                None => new.join(LARGE),
                Some(index) => folder(index % shape.folders),
            };
            File::create(place.join(format!("picture {index:07}.jpg"))).expect("makes");
        }
        fs::rename(new, &at).expect("renames");
    }
    at
}
